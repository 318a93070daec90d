"""One read of the version map and all that belongs to it: from KV's entries to a snapshot.

Rules:

- maps and lists of versions are decoded in small steps, a map as its parts come. Between steps requests are answered
  from the snapshot before;
- one bad entry is dropped and named. A document that cannot be read at all fails the whole read, but not the
  percentages: there the last ones stay in force;
- the request that does the work makes the pauses between steps, and every timer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from resolver.documents import (
    ROLLOUT,
    VERSION_MAP,
    Problem,
    Steps,
    decode_index,
    decode_map_metadata,
    decode_rollout,
    index_key,
    version_map_key,
)
from resolver.errors import InvalidDocument
from resolver.history import releases_at
from resolver.rollout import RolloutTable
from resolver.snapshot import Snapshot
from resolver.version_map import MapReader, VersionMap
from worker.kv import Entry, Store, next_part, read

T = TypeVar("T")
Lists = Mapping[str, tuple[str, ...] | None]
"""Component → its versions; None where KV has no list of them."""

#: Versions that are decoded in one step: about a millisecond in WebAssembly.
_VERSIONS_STEP = 200
#: What stands in `/health` of a namespace that was never published to.
_EMPTY = "the key is not in KV: nothing was published here yet, or this is another namespace. Publish, or check the id"


class Fetched(NamedTuple):
    """The entries of one read: the version map, and the others by their keys; `names` are those of the lists."""

    version_map: Entry | None
    others: Mapping[str, Entry | None]
    names: list[str]
    generation: int | None


class SnapshotReader:
    """Reads snapshots. `signs` goes up with every sign that a read goes on."""

    def __init__(self, kv_timeout: float, pause: Callable[[], Awaitable[object]]) -> None:
        self._kv_timeout = kv_timeout
        self._pause = pause
        self.signs = 0

    async def fetch(self, store: Store, before: Snapshot | None, generation: int | None = None) -> Fetched:
        """What KV has of the newest snapshot, or of that of an announced generation. Raises `KvFailed`.

        `before` is the snapshot in memory: its lists of versions are read again.
        """
        self.signs += 1
        key = VERSION_MAP if generation is None else version_map_key(generation)
        names = _carried(before) if before else []
        entries = await read(store, [key, ROLLOUT, *map(index_key, names)], self._kv_timeout)
        return Fetched(entries.pop(key), entries, names, generation)

    async def decode(
        self, fetched: Fetched, before: Snapshot | None, known: Iterable[Problem] | None = None
    ) -> tuple[Snapshot, tuple[Problem, ...]]:
        """The snapshot, and what was dropped from its documents.

        What has not changed since `before` is taken over from it, with the problems `known` of it. Raises `KvFailed`,
        since a map may come in parts, and `InvalidDocument`.
        """
        entry, entries = fetched.version_map, fetched.others
        if fetched.generation is not None:
            _check_announced(fetched.generation, entry)
        problems: list[Problem] = []
        if entry is None:
            if before is not None:
                raise InvalidDocument("the key is not in KV", field=VERSION_MAP)
            # Nothing was ever published here: that is an answer, and every component is unknown.
            problems.append(Problem(VERSION_MAP, "", _EMPTY))
            entry = Entry("{}")
        metadata = decode_map_metadata(entry.metadata)
        pointers = await self._pointers(entry, MapReader(before.pointers if before else None))
        if known is not None and before is not None and pointers is before.pointers:
            problems += [problem for problem in known if problem.document == VERSION_MAP]
        else:
            problems += pointers.problems
        snapshot = Snapshot(
            pointers=pointers,
            types=pointers.types,
            rollout=_rollout(entries[ROLLOUT], before, problems),
            indexes=await self._between_requests(list_steps(fetched.names, entries, problems)),
            revision=metadata.revision or await self._between_requests(pointers.revision_steps()),
            generation=metadata.generation,
        )
        return snapshot, tuple(problems)

    async def lists(self, store: Store, names: Iterable[str]) -> tuple[Lists, tuple[Problem, ...]]:
        """The lists of versions of these components, and what was dropped from them. Raises `KvFailed`."""
        names = list(names)
        entries = await read(store, map(index_key, names), self._kv_timeout)
        problems: list[Problem] = []
        return await self._between_requests(list_steps(names, entries, problems)), tuple(problems)

    async def _pointers(self, entry: Entry, reader: MapReader) -> VersionMap:
        if entry.parts is None:
            await self._between_requests(reader.take(entry.value))
        else:
            while part := await next_part(entry.parts, self._kv_timeout):
                self.signs += 1
                await self._between_requests(reader.take(part))
        return await self._between_requests(reader.end())

    async def _between_requests(self, steps: Steps[T]) -> T:
        """What the steps come to; between them the isolate answers requests."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            self.signs += 1
            await self._pause()


def _rollout(entry: Entry | None, before: Snapshot | None, problems: list[Problem]) -> RolloutTable:
    previous = before.rollout if before else None
    if entry is None:
        return RolloutTable()
    try:
        decoded = decode_rollout(entry.value, previous)
    except InvalidDocument as error:
        problems.append(Problem(ROLLOUT, "", f"{error.detail}; the percentages before it stay in force"))
        return previous or RolloutTable()
    problems += decoded.problems
    return decoded.value


def _carried(snapshot: Snapshot) -> list[str]:
    """The components whose lists of versions are read along with the map.

    A name with neither a list nor a pointer was a caller's slip. Slips would pile up if every refresh read them again.
    """
    return [name for name, versions in snapshot.indexes.items() if versions is not None or name in snapshot.pointers]


def list_steps(
    names: Iterable[str], entries: Mapping[str, Entry | None], problems: list[Problem]
) -> Steps[dict[str, tuple[str, ...] | None]]:
    """The lists of versions of these components, decoded in steps; what is dropped goes to `problems`."""
    indexes: dict[str, tuple[str, ...] | None] = {}
    versions = 0
    for name in names:
        entry = entries[index_key(name)]
        indexes[name] = None
        if entry is None:
            continue
        try:
            decoded = decode_index(index_key(name), entry.value)
        except InvalidDocument as error:
            problems.append(Problem(index_key(name), "", error.detail))
            continue
        indexes[name] = releases_at(decoded.value, None)
        problems += decoded.problems
        versions += len(decoded.value)
        if versions >= _VERSIONS_STEP:
            versions = 0
            yield
    return indexes


def _check_announced(generation: int, entry: Entry | None) -> None:
    """Raises `InvalidDocument` if this is not the map that was announced."""
    key = version_map_key(generation)
    if entry is None:
        raise InvalidDocument("it is announced, and the key is not in KV", field=key)
    found = decode_map_metadata(entry.metadata).generation
    if found != generation:
        raise InvalidDocument(f"it is announced, and the map there is of generation {found}", field=key)
