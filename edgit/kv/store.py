"""A KV as publishing sees it, and what it takes.

Rules:

- keys, values and metadata are what KV holds, exactly: a value is text and is never parsed here;
- every call takes any number of keys and makes of it as few calls as the store allows. Over several of them nothing is
  atomic: where the order matters, the caller makes a call for each step;
- "KV failed" (`KvFailed`) is never "not there".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from edgit.errors import NotReached

#: What Workers KV takes, in bytes of UTF-8.
LONGEST_KEY = 512
LARGEST_VALUE = 25 * 1024 * 1024
LARGEST_METADATA = 1024


class KvValue(NamedTuple):
    """A value and its metadata, which is any JSON."""

    value: str
    metadata: object = None


class KvWrite(NamedTuple):
    """A value to be set, and its metadata; None takes away what metadata there was.

    After so many seconds Cloudflare lets go of it by itself; a file keeps it.
    """

    key: str
    value: str
    metadata: object = None
    expires_after: int | None = None


class Kv(Protocol):
    """A KV namespace. Every method may raise `KvFailed`."""

    #: How it is called in a message: "local KV .local/kv.sqlite3".
    name: str
    #: Where git keeps the record of what was published to it, below `refs/edgit/published/`.
    record: str

    def get_many(self, keys: Sequence[str]) -> dict[str, KvValue | None]:
        """The values of the keys; None for a key that is not there."""

    def put_many(self, writes: Sequence[KvWrite]) -> None:
        """Set values; when it raises, any of them may have been set."""

    def list_keys(self, prefix: str) -> dict[str, object]:
        """Key → metadata, for all keys that begin with `prefix`."""

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove keys; one that is not there is no error."""


class KvFailed(NotReached):
    """A KV did not do what it was asked; some of what it was asked may be done."""


#: Seconds between reads that wait for a write to be seen: a minute in all.
_LAG = (1, 2, 4, 8, 15, 30)


def wait_until_visible(
    kv: Kv, written: KvWrite, before: KvValue | None, sleep: Callable[[float], None]
) -> KvValue | None:
    """What KV gives for a key after a write. It may lag, and is read again while it gives what was there before; what
    it gives then is what was written, unless somebody else wrote too. Raises `KvFailed` when it lags for a minute.
    """
    wanted = KvValue(written.value, written.metadata)
    for pause in (*_LAG, 0):
        entry = kv.get_many([written.key])[written.key]
        if entry == wanted or entry != before:
            return entry
        if pause:
            sleep(pause)
    raise KvFailed(
        f"{kv.name} took `{written.key}` and still gives the value before, after {sum(_LAG)} seconds",
        hint="KV may lag: look again later, and run the same command again if it has not come",
    )
