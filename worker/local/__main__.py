"""The local edge: the same edge on CPython over HTTP, with a KV kept in one SQLite file.

    python -m worker.local serve             serve on 127.0.0.1:8787 (PORT and KV change port and file)
    python -m worker.local kv put KEY VALUE  edit that KV while the server runs, as `wrangler kv key` would

A KV that is new or empty is seeded with the world of `worker/local/seed.py`. This is for development: callers need no
token.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from pathlib import Path

import click
import uvicorn

from resolver.errors import ResolverError
from worker.local.kv import kv, kv_file, open_kv
from worker.local.server import local_edge


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The resolver's edge on this machine, and the KV that it reads."""


@main.command()
@kv_file
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
    store = open_kv(path)
    try:
        app = local_edge(store, given)
    except ResolverError as error:
        raise click.ClickException(str(error)) from None
    # Named as TCP: asyncio sets TCP_NODELAY only on such sockets. Without it each answer waits for 40 ms.
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


main.add_command(kv)

if __name__ == "__main__":
    main(prog_name="python -m worker.local")
