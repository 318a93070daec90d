"""How late the latest answers are, in workerd, by what the Worker has in memory and by how long KV takes.

`warm`: the snapshot stays fresh. `refreshing`: it is stale at every request, and read anew behind the responses, one
read after the other. `cold`: each request finds nothing in memory, as in a new isolate, and reads first; for this the
Worker forgets all at the beginning of each request. KV answers after 0, 10 and 30 ms; its Worker takes some
milliseconds of the one thread besides.

The callers are fewer than the server can answer, since a full queue says nothing of the server. Each state is asked for
three times, and the middle one of the three tails counts: what holds the whole machine up for a moment is in one. The
constant Worker is asked in between; its tail is what the machine and the runtime themselves do.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.client import Run, once, percentiles, run
from benchmarks.cost import RESOLVE
from benchmarks.workers import COLD, CONSTANT, FRESH, alone, lever, ours, serving, with_ours
from tests.edge.workerd.config import STAGED
from tests.edge.workerd.process import Workerd


class State(NamedTuple):
    """What the edge has in memory: by which settings and Worker; how it is asked; calls of KV for 100 requests."""

    variables: Mapping[str, str]
    main: str | None
    callers: int
    requests: int
    least_reads: int
    most_reads: int


#: On a machine that is too busy an answer is late, and no error.
_PATIENT = {"KV_TIMEOUT": "20", **FRESH}
STATES = {
    "warm": State(FRESH, None, 2, 1000, 0, 0),
    "refreshing": State({"FRESH_FOR": "0.001", "STALE_FOR": "3600"}, None, 2, 1000, 1, 1000),
    "cold": State(_PATIENT, COLD, 2, 600, 100, 1000),
}
DELAYS = (0, 10, 30)
TAILS = 3


def measure() -> dict[str, Any]:
    """The latest answers in each state, for each delay of KV; and those of the constant Worker."""
    found: dict[str, Any] = {}
    for name, state in STATES.items():
        with serving([ours(state.variables, _folder(name, state))]) as process:
            run(process.urls["edge"], RESOLVE, 300)
            for delay in DELAYS:
                found[f"{name}, {delay} ms"] = _tail(process, state, delay)
    with serving([ours({}, alone("constant", CONSTANT))]) as process:
        run(process.urls["edge"], RESOLVE, 300)
        found["the constant Worker"] = _latest([run(process.urls["edge"], RESOLVE, 1000, 2) for _ in range(TAILS)])
    return found


def _folder(name: str, state: State) -> Path:
    return STAGED if state.main is None else with_ours(name, state.main)


def _tail(process: Workerd, state: State, delay: int) -> dict[str, Any]:
    lever(process, mode="slow", delay_ms=delay)
    # What was under way with the delay before is over.
    once(process.urls["edge"], RESOLVE)
    before = lever(process)["calls"]
    runs = [run(process.urls["edge"], RESOLVE, state.requests, state.callers) for _ in range(TAILS)]
    reads = lever(process)["calls"] - before
    assert state.least_reads <= reads / TAILS / state.requests * 100 <= state.most_reads, reads
    return {**_latest(runs), "reads": reads}


def _latest(runs: list[Run]) -> dict[str, Any]:
    late = [percentiles(found.taken) for found in runs]
    return {
        "late": {share: statistics.median(one[share] for one in late) for share in late[0]},
        "worst": max(one["latest"] for one in late),
        "requests": sum(len(found.taken) for found in runs),
    }


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
