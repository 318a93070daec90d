"""The local edge as an ASGI application: the same edge on CPython, over a KV that is one SQLite file."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from worker.bundle import bundled_ensembles
from worker.clock import Clock
from worker.edge import Edge, Platform
from worker.http import LARGEST_BODY, Request, handle
from worker.kv import Entry
from worker.local.sqlite import SqliteStore
from worker.settings import read_settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class LocalStore:
    """A KV file as the edge reads it."""

    def __init__(self, kv: SqliteStore) -> None:
        self._kv = kv

    async def get_many(self, keys: Sequence[str]) -> dict[str, Entry | None]:
        """The values of the keys; None for a key that is not there."""
        found = self._kv.get_many(keys)
        return {key: Entry(*found[key]) if key in found else None for key in keys}

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        return list(self._kv.list_keys(prefix))


class LocalEdge:
    """The edge as an ASGI application."""

    def __init__(self, edge: Edge, store: LocalStore) -> None:
        self._edge = edge
        self._store = store
        # A task that nobody holds may be collected before it ends.
        self._behind: set[asyncio.Future[None]] = set()

    def _run_behind(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            text = value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=await _body(receive),
        )
        started = time.monotonic()
        response = await handle(self._edge, request, Platform(self._store, self._run_behind))
        # Only on this host: Cloudflare's clock stands still while a Worker computes.
        taken = f"total;dur={(time.monotonic() - started) * 1000:.3f}"
        answered = (*response.headers, ("server-timing", taken))
        sent = [(name.encode(), value.encode("latin-1", "replace")) for name, value in answered]
        if response.status != 304 and request.method != "HEAD":
            sent.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        await send({"type": "http.response.body", "body": response.body})


async def _body(receive: Receive) -> bytes:
    """The body, or as much of it as shows that it is too large."""
    body = bytearray()
    more = True
    while more and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def local_edge(kv: SqliteStore, variables: dict[str, str] | None = None) -> LocalEdge:
    """A local edge over a KV file; `variables` are settings as in wrangler.toml. Raises `ResolverError`."""
    settings = read_settings({"ALLOW_ANONYMOUS": "true", **(variables or {})})
    edge = Edge(
        settings,
        Clock(time.monotonic, time.time),
        draw_key=lambda: secrets.token_hex(8),
        ensembles=bundled_ensembles(),
    )
    return LocalEdge(edge, LocalStore(kv))
