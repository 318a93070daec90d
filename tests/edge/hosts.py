"""Starts the edges that the tests talk to, and works the levers of tests/edge/host.mjs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from worker.seed import seed

ROOT = Path(__file__).parents[2]


def started(command: list[str], environment: Mapping[str, str]) -> tuple[subprocess.Popen[str], httpx.Client]:
    """A process and a client of it, once it says where it answers."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"answers on (http://[0-9.:]+)", line):
            return process, httpx.Client(base_url=found[1], timeout=30)
    raise AssertionError("".join(said))


def stopped(process: subprocess.Popen[str], client: httpx.Client) -> str:
    """End the process; the rest of what it said."""
    client.close()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    return out


@contextmanager
def isolate(folder: Path, variables: Mapping[str, str] | None = None, **environment: str) -> Iterator[httpx.Client]:
    """A new isolate of the staged Worker over a seeded KV; `environment` is that of host.mjs.

    A stack trace in what it says is a failure.
    """
    file = folder / "seed.json"
    file.write_text(json.dumps(seed()), "utf-8")
    given = {"PORT": "0", "KV": "", "SEED": str(file), "VARS": json.dumps(variables or {}), **environment}
    process, client = started(["node", "tests/edge/host.mjs"], given)
    try:
        yield client
    finally:
        said = stopped(process, client)
    assert "Traceback" not in said, said


def lever(edge: httpx.Client, **given: Any) -> int:
    """Set what KV holds and how it behaves; the number of calls of KV so far."""
    return int(edge.post("/__host/kv", json=given).raise_for_status().json()["reads"])


def rpc(edge: httpx.Client, method: str, *given: Any) -> Any:
    """What a method answers over a service binding."""
    answer = edge.post(f"/__host/rpc/{method}", json=list(given)).raise_for_status().json()
    assert answer["plain"], "a plain object, not a Map"
    return answer["result"]


def refreshed(edge: httpx.Client, seconds: float = 0.25) -> None:
    """Let the snapshot grow old, have it refreshed behind a response, and wait for that."""
    time.sleep(seconds)
    edge.get("/version")
    edge.get("/__host/behind")
