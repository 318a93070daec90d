"""Reading KV: one protocol for every store, and one way to read it that is bounded and says when it failed.

Rules:

- several keys are one bulk get; more than 100 are as many as they take;
- every read has a timeout; whatever goes wrong in a store, and whatever it answers that is no answer, is `KvFailed`;
- a key that is not there is None, and so is one that is longer than KV takes, without asking. The empty text and the
  text `null` are values like any other;
- the number of the newest generation, which is announced beside KV, is read by the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from resolver.documents import decode_generation, is_version_map
from resolver.errors import ResolverError

#: The most keys that KV takes in one bulk get.
BULK = 100
#: A version map may come as the bytes of its text.
_MAP_TYPES = (str, bytes, memoryview)
#: The longest key that KV takes, in bytes of UTF-8; asked for a longer one, it fails.
LONGEST_KEY = 512


class Entry(NamedTuple):
    """A value of KV, which is text, and its metadata, which is any JSON.

    Only a version map may come as the bytes of its text; `resolver.documents` reads either.
    """

    value: str
    metadata: object = None


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
    found: dict[str, Entry | None] = dict.fromkeys(keys)
    wanted = [key for key in found if len(key.encode(errors="replace")) <= LONGEST_KEY]
    try:
        async with asyncio.timeout(timeout):
            for start in range(0, len(wanted), BULK):
                part = wanted[start : start + BULK]
                answer = await store.get_many(part)
                for key in part:
                    found[key] = _checked(key, answer.get(key))
    except TimeoutError:
        raise KvFailed(f"KV did not answer within {timeout * 1000:.0f} ms") from None
    except KvFailed:
        raise
    except Exception as error:
        raise KvFailed(f"KV failed: {_shown(error)}") from error
    return found


async def list_keys(store: Store, prefix: str, timeout: float) -> list[str]:
    """All keys below `prefix`, in at most `timeout` seconds. Raises `KvFailed`."""
    try:
        async with asyncio.timeout(timeout):
            return [str(key) for key in await store.list_keys(prefix)]
    except TimeoutError:
        raise KvFailed(f"KV did not list `{prefix}` within {timeout * 1000:.0f} ms") from None
    except KvFailed:
        raise
    except Exception as error:
        raise KvFailed(f"KV failed: {_shown(error)}") from error


async def read_latest(announcements: Announcements, timeout: float) -> int:
    """The number that is announced, in at most `timeout` seconds. Raises `KvFailed` and `InvalidDocument`."""
    try:
        async with asyncio.timeout(timeout):
            text = await announcements.latest()
    except TimeoutError:
        raise KvFailed(f"GENERATION_URL did not answer within {timeout * 1000:.0f} ms") from None
    except KvFailed:
        raise
    except Exception as error:
        raise KvFailed(f"GENERATION_URL failed: {_shown(error)}") from error
    return decode_generation(str(text))


def _checked(key: str, entry: object) -> Entry | None:
    if entry is None:
        return None
    if isinstance(entry, Entry) and isinstance(entry.value, _MAP_TYPES if is_version_map(key) else str):
        return entry
    raise KvFailed(f"KV answered something that is no text for `{key}`")


def _shown(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
