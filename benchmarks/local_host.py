"""The local edge beside an application that answers a constant, in one uvicorn as `make dev` has it; to be measured.

    python -m benchmarks.local_host     VARS (a JSON object of variables); prints its address

`/constant` is the constant; `POST /bench` sets KV's delay and tells the CPU time so far; the header `x-bench-cold` asks
an edge with nothing in memory. The same levers as those of wasm.mjs.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvicorn

from worker.app import Edge
from worker.bundle import bundled_ensembles
from worker.cache import Clock
from worker.kv import Entry
from worker.local import LocalEdge, LocalStore, Message, Receive, Send
from worker.seed import seed
from worker.settings import read_settings
from worker.sqlite import SqliteStore

#: What ours answers for one reference, written down.
CONSTANT = (
    b'{"environment":"prod","key":"user-42","snapshot":{"revision":"695c6467a89ec77d49e86be097e405a0d1bf8d09",'
    b'"generation":20,"age_ms":0,"source":"kv"},"references":[{"path":"references[0]","reference":"my-prompt@prod",'
    b'"component":"my-prompt","version":"v1.0.0","route":"pointer"}]}'
)


class SlowStore(LocalStore):
    """The local KV, which takes a while."""

    delay = 0.0
    reads = 0

    async def get_many(self, keys: Sequence[str]) -> dict[str, Entry | None]:
        """The values of the keys, after the delay."""
        self.reads += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        return await super().get_many(keys)


class Host:
    """The ASGI application of all three."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        file = SqliteStore(Path(tempfile.mkdtemp()) / "kv.sqlite3")
        file.fill_if_empty((key, value, metadata) for key, (value, metadata) in seed().items())
        self._store = SlowStore(file)
        self._settings = read_settings({"ALLOW_ANONYMOUS": "true", **variables})
        self._ensembles = bundled_ensembles()
        self._warm = self._edge()

    def _edge(self) -> LocalEdge:
        clock = Clock(time.monotonic, time.time)
        edge = Edge(self._settings, clock, draw_key=lambda: secrets.token_hex(8), ensembles=self._ensembles)
        return LocalEdge(edge, self._store)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/constant":
            return await _answer(send, CONSTANT)
        if scope["path"] == "/bench":
            self._store.delay = json.loads((await receive())["body"]).get("delay", 0) / 1000
            return await _answer(
                send, json.dumps({"cpu": time.process_time() * 1e6, "reads": self._store.reads}).encode()
            )
        cold = any(name == b"x-bench-cold" for name, _ in scope["headers"])
        return await (self._edge() if cold else self._warm)(scope, receive, send)


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until a signal."""
    listener = socket.create_server(("127.0.0.1", 0))
    # As worker/local.py does: without it every answer that is written in two parts waits for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = Host(json.loads(os.environ.get("VARS", "{}")))
    uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
