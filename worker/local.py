"""The local edge: the same edge on CPython over HTTP, with a KV kept in one SQLite file.

    python -m worker.local serve             serve on 127.0.0.1:8787 (PORT and KV change port and file)
    python -m worker.local kv put KEY VALUE  edit that KV while the server runs, as `wrangler kv key` would

A KV that is new or empty is seeded with the world of `worker/seed.py`. This is for development: callers need no token.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import uvicorn

from resolver.errors import ResolverError, listed
from worker.app import LARGEST_BODY, Edge, Platform, Request
from worker.bundle import bundled_ensembles
from worker.cache import Clock
from worker.kv import Entry
from worker.seed import seed
from worker.settings import read_settings
from worker.sqlite import SqliteStore

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
        response = await self._edge.handle(request, Platform(self._store, self._run_behind))
        # Of this host alone: Cloudflare's clock stands still while a Worker computes.
        taken = f"total;dur={(time.monotonic() - started) * 1000:.3f}"
        answered = (*response.headers, ("server-timing", taken))
        sent = [(name.encode(), value.encode("latin-1", "replace")) for name, value in answered]
        if response.status != 304:
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


def _open(path: Path) -> SqliteStore:
    try:
        store = SqliteStore(path)
        seeded = store.fill_if_empty((key, value, metadata) for key, (value, metadata) in seed().items())
    except (sqlite3.Error, OSError) as error:
        raise click.ClickException(f"{path} cannot be used as a KV file: {error}") from None
    if seeded:
        click.echo(f"{path} was empty: seeded with the sample components and their history", err=True)
    return store


_kv_file = click.option(
    "--kv",
    "path",
    envvar="KV",
    default=".local/kv.sqlite3",
    show_default=True,
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The SQLite file that holds the KV.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The resolver's edge on this machine, and the KV that it reads."""


@main.command()
@_kv_file
@click.option(
    "--port",
    envvar="PORT",
    default=8787,
    show_default=True,
    show_envvar=True,
    type=click.IntRange(0, 65535),
    help="0 takes a free one.",
)
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A setting, as in wrangler.toml.")
def serve(path: Path, port: int, variables: tuple[str, ...]) -> None:
    """Serve the edge on 127.0.0.1 until Ctrl-C."""
    given = {}
    for variable in variables:
        name, equals, value = variable.partition("=")
        if not equals:
            raise click.BadParameter(f"`{variable}` is not NAME=VALUE", param_hint="--var")
        given[name] = value
    store = _open(path)
    try:
        app = local_edge(store, given)
    except ResolverError as error:
        raise click.ClickException(str(error)) from None
    # Named as TCP: asyncio sets TCP_NODELAY on such sockets alone, and without it each answer waits for 40 ms.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise click.ClickException(
            f"port {port} cannot be used ({error.strerror}); choose another: make dev PORT={port + 1}"
        ) from None
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False))
    click.echo(_welcome(address, path))
    # uvicorn finishes what is under way and then hands the signal on.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    click.echo("stopped")


def _welcome(address: str, path: Path) -> str:
    body = """'{"input": {"user_id": 4}}'"""
    return f"""the edge answers on {address}, its KV is {path}; Ctrl-C stops it. Try:

  curl -s {address}/ensembles/ab-test-historical/resolve -d {body}
  curl -s {address}/version
  curl -s '{address}/history?at=2024-11-12T14:47:00Z'
"""


@main.group()
def kv() -> None:
    """Read and edit the KV, as `wrangler kv key` does; a running server sees it within seconds."""


# From the first argument on everything is taken as it is: a value may begin with `-`, or be `--` or `--help`.
_VERBATIM = {"allow_interspersed_args": False}


@kv.command(context_settings=_VERBATIM)
@_kv_file
@click.argument("key")
@click.argument("value")
def put(path: Path, key: str, value: str) -> None:
    """Set KEY to VALUE, any text, unchecked and without metadata. Options stand before KEY."""
    for text in (key, value):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise click.ClickException("KEY and VALUE are text, and this is not UTF-8") from None
    if not key or len(key.encode()) > 512:
        raise click.ClickException(f"a key has 1 to 512 bytes, and this one {len(key.encode())}")
    _open(path).put_many([(key, value, None)])
    click.echo(f"put {key} ({len(value.encode())} bytes)", err=True)


@kv.command(context_settings=_VERBATIM)
@_kv_file
@click.argument("key")
def get(path: Path, key: str) -> None:
    """Print the value of KEY, exactly."""
    store = _open(path)
    found = store.get_many([key])
    if not found:
        raise click.ClickException(f"there is no key `{key}`; there are {listed(store.list_keys())}")
    click.echo(found[key][0], nl=sys.stdout.isatty())


@kv.command("list")
@_kv_file
@click.option("--prefix", default="", help="Only the keys that begin so.")
def list_(path: Path, prefix: str) -> None:
    """Print the keys, one a line."""
    for key in _open(path).list_keys(prefix):
        click.echo(key)


@kv.command(context_settings=_VERBATIM)
@_kv_file
@click.argument("key")
def delete(path: Path, key: str) -> None:
    """Remove KEY."""
    if not _open(path).delete_many([key]):
        raise click.ClickException(f"there is no key `{key}`; nothing was deleted")
    click.echo(f"deleted {key}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m worker.local")
