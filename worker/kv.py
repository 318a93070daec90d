"""Reading KV: one protocol for every store, and one way to read it that is bounded and says when it failed.

Rules:

- several keys are one bulk get; more than 100 keys are several;
- every read has a timeout. Whatever goes wrong in a store is `KvFailed`, and so is nonsense that it answers;
- a version map may come in parts, so that only one of them has to be in memory. The timeout holds for each part;
- a key that is not there is None. A key longer than KV takes is None too, and KV is not asked. The empty text and the
  text `null` are values like any other;
- the announced number of the newest generation is read by the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from resolver.documents import VERSION_MAP, decode_generation, is_version_map
from resolver.errors import ResolverError

#: The most keys that KV takes in one bulk get.
BULK = 100
#: The longest key that KV takes, in bytes of UTF-8. A read of a longer one fails.
LONGEST_KEY = 512

T = TypeVar("T")


class Parts(Protocol):
    """The bytes of a text, part by part."""

    async def next(self) -> bytes:
        """The next part; an empty one once all have come. It may raise anything, and may take for ever."""


class Entry(NamedTuple):
    """A value of KV, which is text, and its metadata, which is any JSON.

    A version map may have `parts` instead of a value; nothing else may.
    """

    value: str
    metadata: object = None
    parts: Parts | None = None


class Store(Protocol):
    """A KV namespace. Either method may raise anything, and may take for ever."""

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
        """The values of at most 100 keys; None for a key that is not there."""

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`."""


class Announcements(Protocol):
    """Where the number of the newest generation is announced. It may raise anything, and may take for ever."""

    async def latest(self) -> str:
        """What is announced there now: `{"generation": 21}`."""


class KvFailed(ResolverError):
    """KV gave no answer: it failed, took too long, or answered nonsense. Never the same as "not there"."""

    status = 503
    title = "KV is unreachable"


async def read(store: Store, keys: Iterable[str], timeout: float) -> dict[str, Entry | None]:
    """The values of the keys, in at most `timeout` seconds. Raises `KvFailed`."""
    return await _within(timeout, _read(store, keys), "KV")


async def next_part(parts: Parts, timeout: float) -> bytes:
    """The next part of a version map, in at most `timeout` seconds; an empty one at the end. Raises `KvFailed`."""
    return await _within(timeout, parts.next(), "KV", f"go on with `{VERSION_MAP}`")


async def list_keys(store: Store, prefix: str, timeout: float) -> list[str]:
    """All keys below `prefix`, in at most `timeout` seconds. Raises `KvFailed`."""
    return await _within(timeout, _listed(store, prefix), "KV", f"list `{prefix}`")


async def read_latest(announcements: Announcements, timeout: float) -> int:
    """The number that is announced, in at most `timeout` seconds. Raises `KvFailed` and `InvalidDocument`."""
    return decode_generation(str(await _within(timeout, announcements.latest(), "GENERATION_URL")))


async def _within(timeout: float, work: Awaitable[T], who: str, what: str = "answer") -> T:
    """The result of what is awaited. Raises `KvFailed`, which says who failed to do what, and how."""
    try:
        async with asyncio.timeout(timeout):
            return await work
    except TimeoutError:
        raise KvFailed(f"{who} did not {what} within {timeout * 1000:.0f} ms") from None
    except KvFailed:
        raise
    except Exception as error:
        raise KvFailed(f"{who} failed: {_shown(error)}") from error


async def _read(store: Store, keys: Iterable[str]) -> dict[str, Entry | None]:
    found: dict[str, Entry | None] = dict.fromkeys(keys)
    wanted = [key for key in found if len(key.encode(errors="replace")) <= LONGEST_KEY]
    for start in range(0, len(wanted), BULK):
        part = wanted[start : start + BULK]
        answer = await store.get_many(part)
        for key in part:
            found[key] = _checked(key, answer.get(key))
    return found


async def _listed(store: Store, prefix: str) -> list[str]:
    return [str(key) for key in await store.list_keys(prefix)]


def _checked(key: str, entry: object) -> Entry | None:
    if entry is None:
        return None
    if isinstance(entry, Entry) and isinstance(entry.value, str) and (entry.parts is None or is_version_map(key)):
        # Cloudflare's KV takes a byte order mark from a text that it decodes; the others do not.
        return entry._replace(value=entry.value[1:]) if entry.value.startswith("\ufeff") else entry
    raise KvFailed(f"KV answered something that is no text for `{key}`")


def _shown(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
