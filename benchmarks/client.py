"""A client that asks a server over a few connections, and how late the answers were."""

from __future__ import annotations

import json
import selectors
import socket
import time
from contextlib import ExitStack
from typing import NamedTuple

#: The most requests of one run, and the longest that it may take, in seconds.
MOST_REQUESTS, LONGEST = 20_000, 60.0


class Ask(NamedTuple):
    """A request: its path, its body, and its method."""

    path: str
    body: object
    method: str = "POST"

    @property
    def wire(self) -> bytes:
        """The request as it is sent."""
        body = b"" if self.method == "GET" else json.dumps(self.body, separators=(",", ":")).encode()
        head = f"{self.method} {self.path} HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Run(NamedTuple):
    """What some requests took, in seconds: all of them, and each one by itself."""

    whole: float
    taken: list[float]


def run(address: str, ask: Ask, requests: int, connections: int = 4) -> Run:
    """Ask so many times, over new connections that each have at most one request under way."""
    assert requests <= MOST_REQUESTS
    wire = ask.wire
    with ExitStack() as closing:
        selector = closing.enter_context(selectors.DefaultSelector())
        opened = [closing.enter_context(_connected(address)) for _ in range(min(connections, requests))]
        for connection in opened:
            selector.register(connection, selectors.EVENT_READ)
        taken: list[float] = []
        sent_at: dict[object, float] = {}
        left = requests - len(opened)
        started = time.perf_counter()
        for connection in opened:
            connection.sendall(wire)
            sent_at[connection] = time.perf_counter()
        while len(taken) < requests:
            assert time.perf_counter() - started < LONGEST, "the server takes too long"
            for key, _ in selector.select(timeout=10):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                _read(ready)
                now = time.perf_counter()
                taken.append(now - sent_at.pop(ready))
                if left > 0:
                    left -= 1
                    ready.sendall(wire)
                    sent_at[ready] = now
        return Run(time.perf_counter() - started, taken)


def once(address: str, ask: Ask) -> tuple[float, bytes]:
    """Ask once; the time in seconds, and the body."""
    with _connected(address) as connection:
        started = time.perf_counter()
        connection.sendall(ask.wire)
        body = _read(connection)
        return time.perf_counter() - started, body


def _connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read(connection: socket.socket) -> bytes:
    """The body of one answer, with its length or in chunks. An answer that is neither 200 nor 404 is no answer."""
    data = _more(connection)
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")), data[:500]
    head = head.lower()
    if b"transfer-encoding: chunked" in head:
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body += _more(connection)
        return body
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(1 << 16)
    assert part, "the server has closed the connection"
    return part


def percentiles(taken: list[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the latest, in milliseconds; p99.9 of 1,000 is the latest but one, of 600 the latest."""
    ordered = sorted(taken)
    last = len(ordered) - 1
    return {
        **{f"p{share:g}": ordered[min(last, int(len(ordered) * share / 100))] * 1000 for share in (50, 99, 99.9)},
        "latest": ordered[-1] * 1000,
    }
