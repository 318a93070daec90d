"""What a start of the Worker costs in workerd, beside that of a Worker that answers a constant.

`with the snapshot` is what Cloudflare does: it imports the Worker once, at deploy, keeps a snapshot of its memory, and
begins each isolate from that. It is the time from the command that starts workerd to the first answer, workerd's own
start included, KV filled beforehand. `without` imports everything; what ours takes longer than the constant is what
Cloudflare counts at deploy against its limit of start-up CPU. Each is started several times, in turns.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.client import once
from benchmarks.cost import RESOLVE
from benchmarks.rounds import summary
from benchmarks.workers import CONSTANT, alone, lever, ours, worked
from tests.edge.workerd.config import Edge
from tests.edge.workerd.process import snapshot_of, workerd
from worker.local.seed import seed

#: How often each is started: from the snapshot, and with everything to be imported.
TIMES = {"with the snapshot": 9, "without": 3}


def measure() -> dict[str, Any]:
    """Milliseconds to the first answer, and of CPU, for both Workers and both ways; MiB of the snapshots."""
    edges = {"ours": ours(), "a constant": ours(folder=alone("constant", CONSTANT))}
    found: dict[str, Any] = {
        "snapshots": {name: snapshot_of(edge).stat().st_size / 2**20 for name, edge in edges.items()}
    }
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with workerd([edges["ours"]], state) as process:
            lever(process, put=seed())
        for way, times in TIMES.items():
            taken = [
                {name: _started(edge, state, snapshot=way == "with the snapshot") for name, edge in edges.items()}
                for _ in range(times)
            ]
            found[way] = {
                name: {
                    "ms": summary([turn[name][0] for turn in taken]),
                    "cpu_ms": summary([turn[name][1] for turn in taken]),
                }
                for name in edges
            }
            found[way]["more"] = {
                "ms": summary([turn["ours"][0] - turn["a constant"][0] for turn in taken]),
                "cpu_ms": summary([turn["ours"][1] - turn["a constant"][1] for turn in taken]),
            }
    return found


def _started(edge: Edge, state: Path, *, snapshot: bool) -> tuple[float, float]:
    """The time from the command to the first answer, and what workerd has worked by then, in milliseconds."""
    began = time.monotonic()
    with workerd([edge], state, snapshot=snapshot) as process:
        # What stands between this and workerd's own start, above all the snapshot's hash, is not the Worker's.
        outside = time.monotonic() - began - process.started_in
        once(process.urls["edge"], RESOLVE)
        return (time.monotonic() - began - outside) * 1000, worked(process) / 1000


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
