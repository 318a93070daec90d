"""A KV namespace in one SQLite file, as the local edge reads it and the operator's command writes it.

Rules:

- each call opens the file anew, so that any number of processes may read and write it;
- several writes are one transaction: a reader sees all of them or none;
- a value is text as it was put, metadata is any JSON, None where there is none. Nothing is checked here.

Every method may raise `sqlite3.Error`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

#: How many keys one query asks for; SQLite takes 32,766 parameters, older ones 999.
_ASKED_AT_ONCE = 900

Row = tuple[str, str, object]
"""Key, value, metadata."""


class SqliteStore:
    """The namespace. The file and its folder are made where they are missing. Raises `OSError` where they cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as database:
            database.execute("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, metadata TEXT)")

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as database:
            yield database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database() as database:
            # It is begun for writing: a second writer waits, and then sees what the first has done.
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def get_many(self, keys: Sequence[str]) -> dict[str, tuple[str, object]]:
        """Value and metadata of those keys that are there; any number, read at one instant."""
        found: dict[str, tuple[str, object]] = {}
        with self._database() as database:
            # Without a transaction each query could see another state of the file.
            database.execute("BEGIN")
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                part = tuple(keys[start : start + _ASKED_AT_ONCE])
                marks = ",".join("?" * len(part))
                rows = database.execute(f"SELECT key, value, metadata FROM kv WHERE key IN ({marks})", part)
                found |= {key: (value, json.loads(metadata or "null")) for key, value, metadata in rows}
        return found

    def list_keys(self, prefix: str = "") -> dict[str, object]:
        """All keys that begin with `prefix`, sorted, with their metadata."""
        with self._database() as database:
            rows = database.execute(
                "SELECT key, metadata FROM kv WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
            )
            return {key: json.loads(metadata or "null") for key, metadata in rows}

    def put_many(self, rows: Iterable[Row]) -> None:
        """Set keys to values and metadata; all of them or none."""
        with self._transaction() as database:
            _insert(database, rows)

    def fill_if_empty(self, rows: Iterable[Row]) -> bool:
        """Put the rows if there is no key yet; False if there was one. If two fill at the same time, only one does."""
        with self._transaction() as database:
            (count,) = database.execute("SELECT count(*) FROM kv").fetchone()
            if count == 0:
                _insert(database, rows)
        return bool(count == 0)

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove keys; how many of them there were."""
        with self._transaction() as database:
            return sum(database.execute("DELETE FROM kv WHERE key = ?", (key,)).rowcount for key in keys)


def _insert(database: sqlite3.Connection, rows: Iterable[Row]) -> None:
    encoded = (
        (key, value, None if metadata is None else json.dumps(metadata, ensure_ascii=False))
        for key, value, metadata in rows
    )
    database.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", encoded)
