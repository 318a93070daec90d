"""Starts the edges that the tests talk to, and works the levers that stand beside the Worker in workerd."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.edge.workerd.config import ROOT, STAGED, Edge
from tests.edge.workerd.process import Workerd, workerd
from worker.local.seed import seed


class Isolate(httpx.Client):
    """The Worker in workerd: this client speaks HTTP to its socket, `front` to the Worker that is bound to it."""

    def __init__(self, process: Workerd, name: str = "edge") -> None:
        super().__init__(base_url=process.urls[name], timeout=30)
        self.front = httpx.Client(base_url=process.urls["front"], timeout=30)
        self.process = process
        self.binding = name.upper().replace("-", "_")

    def close(self) -> None:
        """Close both clients."""
        super().close()
        self.front.close()

    def ask(self, path: str, body: object = None, /, **query: str) -> Any:
        """What the front Worker answers. Raises `AssertionError` for what was thrown at it."""
        # As escapes: half a surrogate pair has no UTF-8.
        text = None if body is None else json.dumps(body)
        answer = self.front.post(path, content=text, params={"edge": self.binding, **query})
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def isolate(
    variables: Mapping[str, str] | None = None,
    *,
    bundle: Path = STAGED,
    bound: bool = True,
    entries: Mapping[str, object] | None = None,
) -> Iterator[Isolate]:
    """A new isolate of a staged Worker, over a KV of its own that is seeded, or holds these entries.

    What it says is a failure: a stack trace, or work behind a response that ended badly.
    """
    edge = Edge("edge", bundle, {"ALLOW_ANONYMOUS": "true", **(variables or {})}, bound)
    with workerd([edge]) as process:
        with Isolate(process) as client:
            lever(client, put=seed() if entries is None else entries)
            yield client
        said = process.said
    assert "Traceback" not in said, said
    assert "exception" not in said.lower(), said


def lever(edge: Isolate, **given: Any) -> int:
    """Set what KV holds and how it behaves; the number of calls of KV so far."""
    return int(edge.ask("/kv", given)["calls"])


def stored(edge: Isolate, **given: Any) -> dict[str, Any]:
    """What KV holds: `get`, a list of keys, gives values with their metadata; `list`, a prefix, the metadata alone."""
    found: dict[str, Any] = edge.ask("/kv", given)["found"]
    return found


def rpc(edge: Isolate, method: str, *given: Any) -> Any:
    """What a method answers over the service binding."""
    answer = edge.ask(f"/rpc/{method}", list(given))
    assert answer["plain"], "a plain object, not a Map"
    return answer["result"]


def run(edge: Isolate, script: str) -> Any:
    """What JavaScript beside the Worker comes to: the body of an async function of `edge`, the service binding."""
    answer = edge.front.post("/run", content=script, params={"edge": edge.binding})
    assert answer.is_success, answer.text
    return answer.json()["result"]


def eventually(found: Callable[[], Any], wanted: Any = True, seconds: float = 10) -> Any:
    """Ask again until it is what is wanted. Raises `AssertionError` with what it was last."""
    until = time.monotonic() + seconds
    while (last := found()) != wanted:
        assert time.monotonic() < until, last
        time.sleep(0.01)
    return last


def refreshed(edge: Isolate, seconds: float = 0.25) -> None:
    """Let the snapshot grow old, and have it refreshed behind a response. KV must answer."""
    time.sleep(seconds)
    eventually(lambda: edge.get("/health").json()["snapshot"]["age_ms"] < seconds * 1000)


def settled(edge: Isolate) -> None:
    """Wait until no read of KV is under way, and what was read has been taken."""
    quiet = 0
    while quiet < 2:
        found = edge.ask("/kv", {})
        quiet = quiet + 1 if found["underway"] == 0 else 0
        time.sleep(0.01)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with closing(socket.socket()) as end:
        end.bind(("127.0.0.1", 0))
        return int(end.getsockname()[1])


# The local edge


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
