"""HTTP: how many requests a second each host answers, how late the latest are, and what we cost over a constant.

Both hosts run ours and a constant in one process (`local_host.py`, `wasm.mjs serve`), asked in turns over connections
that are kept, on 127.0.0.1. The constant sends the very answer that ours gives for one reference, and reads and decides
nothing. What we cost is compared twice: by the time on the wall, which is what a caller sees, and by the CPU time of
the server's process, which others on the machine change less.

The tail is asked for by fewer callers than the server can answer, since a full queue says nothing of the server; with
KV that answers after 0, 10 and 30 ms: `warm` (the snapshot stays fresh), `refreshing` (it is stale at nearly every
request, and read behind the responses), `cold` (every request finds nothing in memory, and reads first). Each is asked
for three times, and the middle one of the three tails counts: what holds the whole machine up for a moment is in one.
The constant is asked as often in between; its tail is what the machine itself does.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rounds import summary

ROOT = Path(__file__).parents[1]
HOSTS: dict[str, list[str]] = {
    "CPython": [sys.executable, "-m", "benchmarks.local_host"],
    "WebAssembly": ["node", str(ROOT / "benchmarks" / "wasm.mjs"), "serve"],
}
CONNECTIONS = 4
#: The most that any part of this sends to a server, and the longest that it may take, in seconds.
MOST_REQUESTS, LONGEST = 20_000, 60.0


class Ask(NamedTuple):
    """A request: path and body."""

    path: str
    body: object
    cold: bool = False

    @property
    def wire(self) -> bytes:
        """The request as it is sent."""
        body = json.dumps(self.body, separators=(",", ":")).encode()
        cold = "x-bench-cold: 1\r\n" if self.cold else ""
        head = f"POST {self.path} HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\n{cold}"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


ONE = {"references": ["my-prompt@prod"], "key": "user-42"}
TEN = {"input": {"user_id": 4, "deep": True, "items": [1, 2, 3, 4], "channel": "mail"}}
ASKS = {
    "constant": Ask("/constant", ONE),
    "one reference": Ask("/resolve", ONE),
    "ten agents": Ask("/ensembles/ten-agents/resolve", TEN),
}


class Connections:
    """Some connections to one server, each with at most one request under way."""

    def __init__(self, address: str, count: int) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._selector = selectors.DefaultSelector()
        self._open = [socket.create_connection((host, int(port)), timeout=10) for _ in range(count)]
        for connection in self._open:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(connection, selectors.EVENT_READ)

    def close(self) -> None:
        """Close them all."""
        for connection in self._open:
            connection.close()

    def run(self, ask: Ask, requests: int) -> tuple[float, list[float]]:
        """Ask so many times, on all connections; the whole time, and each answer's, in seconds."""
        assert requests <= MOST_REQUESTS
        wire = ask.wire
        taken: list[float] = []
        sent_at: dict[socket.socket, float] = {}
        started = time.perf_counter()
        for connection in self._open:
            connection.sendall(wire)
            sent_at[connection] = time.perf_counter()
        left = requests - len(self._open)
        while len(taken) < requests:
            assert time.perf_counter() - started < LONGEST, "the server takes too long"
            for key, _ in self._selector.select(timeout=10):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                _read(ready)
                now = time.perf_counter()
                taken.append(now - sent_at.pop(ready))
                if left > 0:
                    left -= 1
                    ready.sendall(wire)
                    sent_at[ready] = now
        return time.perf_counter() - started, taken

    def lever(self, **levers: float) -> dict[str, float]:
        """Set the server's levers; its CPU time and reads of KV so far."""
        connection = self._open[0]
        connection.sendall(Ask("/bench", levers).wire)
        answer: dict[str, float] = json.loads(_read(connection))
        return answer


def _read(connection: socket.socket) -> bytes:
    """The body of one answer, which must be a success with its length."""
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), data[:300]
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


@contextmanager
def served(host: str, variables: Mapping[str, str], count: int) -> Iterator[Connections]:
    """A host of our own, and connections to it; stopped by its own process id."""
    environment = {**os.environ, "VARS": json.dumps(dict(variables)), "PORT": "0"}
    process = subprocess.Popen(HOSTS[host], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), f"{host} did not start: {address}"
        connections = Connections(address, count)
        try:
            yield connections
        finally:
            connections.close()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


FRESH = {"FRESH_FOR": "3600", "STALE_FOR": "3600"}


def cost(host: str, rounds: int = 16, requests: int = 150) -> dict[str, Any]:
    """What each kind of request costs, by rounds in turn, and how it compares with the constant of the same round."""
    wall: dict[str, list[float]] = {name: [] for name in ASKS}
    cpu: dict[str, list[float]] = {name: [] for name in ASKS}
    late: dict[str, list[float]] = {name: [] for name in ASKS}
    with served(host, FRESH, CONNECTIONS) as connections:
        for ask in ASKS.values():
            connections.run(ask, 600)
        for number in range(rounds):
            names = list(ASKS)
            for name in names[number % 3 :] + names[: number % 3]:
                before = connections.lever()["cpu"]
                whole, taken = connections.run(ASKS[name], requests)
                cpu[name].append((connections.lever()["cpu"] - before) / requests)
                wall[name].append(whole / requests * 1e6)
                late[name] += taken
    return {
        name: {
            "requests_per_second": 1e6 / statistics.median(wall[name]),
            "wall": summary(wall[name]),
            "cpu": summary(cpu[name]),
            "wall_to_constant": summary([a / b for a, b in zip(wall[name], wall["constant"], strict=True)]),
            "cpu_to_constant": summary([a / b for a, b in zip(cpu[name], cpu["constant"], strict=True)]),
            "late": percentiles(late[name]),
        }
        for name in ASKS
    }


class State(NamedTuple):
    """What the edge has in memory: by which settings, by which kind of request, and how it is asked."""

    variables: Mapping[str, str]
    cold: bool
    callers: int
    requests: int


STATES = {
    "warm": State(FRESH, cold=False, callers=2, requests=2000),
    "refreshing": State({"FRESH_FOR": "0.001", "STALE_FOR": "3600"}, cold=False, callers=2, requests=2000),
    "cold": State(FRESH, cold=True, callers=4, requests=1000),
}
DELAYS = (0, 10, 30)
TAILS = 3


def tails(host: str) -> dict[str, Any]:
    """The latest answers in each state, for each delay of KV."""
    found: dict[str, Any] = {}
    for name, state in STATES.items():
        ask = ASKS["one reference"]._replace(cold=state.cold)
        with served(host, state.variables, state.callers) as connections:
            connections.run(ask, 600)
            for delay in DELAYS:
                before = connections.lever(delay=delay)["reads"]
                runs, constant = [], []
                for _ in range(TAILS):
                    runs.append(percentiles(connections.run(ask, state.requests)[1]))
                    constant.append(percentiles(connections.run(ASKS["constant"], state.requests)[1]))
                found[f"{name}, {delay} ms"] = {
                    "late": {share: statistics.median(run[share] for run in runs) for share in runs[0]},
                    "constant": {share: statistics.median(run[share] for run in constant) for share in runs[0]},
                    "worst": max(run["latest"] for run in runs),
                    "requests": TAILS * state.requests,
                    "reads": connections.lever(delay=delay)["reads"] - before,
                }
    return found


def percentiles(taken: list[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the latest, in milliseconds; p99.9 of 1,000 is the latest but one."""
    ordered = sorted(taken)
    last = len(ordered) - 1
    return {
        **{f"p{share:g}": ordered[min(last, int(len(ordered) * share / 100))] * 1000 for share in (50, 99, 99.9)},
        "latest": ordered[-1] * 1000,
    }


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps({host: {"cost": cost(host), "tails": tails(host)} for host in HOSTS}))


if __name__ == "__main__":
    main()
