"""`make edge`: the staged Worker in workerd, over a KV that is kept in a folder and seeded where it is empty.

python -m tests.edge.workerd.serve     PORT (8788; 0: a free one), KV (a folder; .local/edge),
                                       VARS (a JSON object of variables and secrets)
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx

from tests.edge.workerd.config import Edge
from tests.edge.workerd.process import until_stopped, workerd
from worker.local.seed import seed


def main() -> None:
    """Serve until a signal comes."""
    port = int(os.environ.get("PORT") or 8788)
    state = Path(os.environ.get("KV") or ".local/edge")
    variables = {"ALLOW_ANONYMOUS": "true", **json.loads(os.environ.get("VARS") or "{}")}
    print("starting workerd; the first start after a change takes some ten seconds …", flush=True)
    with workerd([Edge(variables=variables)], state, ports={"edge": port}) as process:
        front = process.urls["front"]
        if not httpx.post(f"{front}/kv", json={"list": ""}, timeout=60).raise_for_status().json()["found"]:
            httpx.post(f"{front}/kv", json={"put": seed()}, timeout=60).raise_for_status()
        print(f"the Worker answers on {process.urls['edge']}; KV is {state}", flush=True)
        print(f"the Worker that is bound to it, for RPC: {front}/rpc/resolve", flush=True)
        until_stopped(process)


if __name__ == "__main__":
    try:
        main()
    except SystemExit as end:
        if not end.code:
            print("stopped")
        raise
