"""The KV file of the local edge, and the commands that read and edit it, as `wrangler kv key` does."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import click

from resolver.errors import listed
from worker.local.seed import seed
from worker.local.sqlite import SqliteStore

kv_file = click.option(
    "--kv",
    "path",
    envvar="KV",
    default=".local/kv.sqlite3",
    show_default=True,
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The SQLite file that holds the KV.",
)


def open_kv(path: Path) -> SqliteStore:
    try:
        store = SqliteStore(path)
        seeded = store.fill_if_empty((key, value, metadata) for key, (value, metadata) in seed().items())
    except (sqlite3.Error, OSError) as error:
        raise click.ClickException(f"{path} cannot be used as a KV file: {error}") from None
    if seeded:
        click.echo(f"{path} was empty: seeded with the sample components and their history", err=True)
    return store


@click.group()
def kv() -> None:
    """Read and edit the KV, as `wrangler kv key` does; a running server sees it within seconds."""


# Everything from the first argument on is taken as it is: a value may begin with `-`, or be `--` or `--help`.
_VERBATIM = {"allow_interspersed_args": False}


@kv.command(context_settings=_VERBATIM)
@kv_file
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
    open_kv(path).put_many([(key, value, None)])
    click.echo(f"put {key} ({len(value.encode())} bytes)", err=True)


@kv.command(context_settings=_VERBATIM)
@kv_file
@click.argument("key")
def get(path: Path, key: str) -> None:
    """Print the value of KEY, exactly."""
    store = open_kv(path)
    found = store.get_many([key])
    if not found:
        raise click.ClickException(f"there is no key `{key}`; there are {listed(store.list_keys())}")
    click.echo(found[key][0], nl=sys.stdout.isatty())


@kv.command("list")
@kv_file
@click.option("--prefix", default="", help="Only the keys that begin so.")
def list_(path: Path, prefix: str) -> None:
    """Print the keys, one a line."""
    for key in open_kv(path).list_keys(prefix):
        click.echo(key)


@kv.command(context_settings=_VERBATIM)
@kv_file
@click.argument("key")
def delete(path: Path, key: str) -> None:
    """Remove KEY."""
    if not open_kv(path).delete_many([key]):
        raise click.ClickException(f"there is no key `{key}`; nothing was deleted")
    click.echo(f"deleted {key}", err=True)
