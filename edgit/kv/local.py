"""The KV of the local edge, a file on this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from edgit.kv.store import KvFailed, KvValue, KvWrite
from worker.local.sqlite import SqliteStore

T = TypeVar("T")


class LocalKv:
    """The KV of the local edge, one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"local KV {path}"
        self._store = self._asked(lambda: SqliteStore(path))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (sqlite3.Error, OSError) as error:
            raise KvFailed(
                f"{self.path} cannot be used as a KV file: {error}",
                hint="name another: `--kv local=PATH`, or the variable KV",
            ) from None

    def get_many(self, keys: Sequence[str]) -> dict[str, KvValue | None]:
        found = self._asked(lambda: self._store.get_many(keys))
        return {key: KvValue(*found[key]) if key in found else None for key in keys}

    def put_many(self, writes: Sequence[KvWrite]) -> None:
        self._asked(lambda: self._store.put_many([(write.key, write.value, write.metadata) for write in writes]))

    def list_keys(self, prefix: str) -> dict[str, object]:
        return self._asked(lambda: self._store.list_keys(prefix))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._asked(lambda: self._store.delete_many(keys))
