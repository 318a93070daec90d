"""What an isolate remembers between requests: one snapshot, and contents.

Rules of the snapshot:

- younger than `fresh_for` it is used; younger than `stale_for` it is used and refreshed behind the response, one
  refresh at a time by a lease that expires; older than that it is read again first, for at most `read_budget`, and
  then the last good one is used while the read goes on behind the response;
- with nothing in memory one bulk get is awaited for `kv_timeout`, by one request for all that come meanwhile, then the
  snapshot bundled at deploy time is used, and without one `KvFailed` is raised;
- a read that fails, or is nonsense, never replaces a good snapshot, and the next attempt waits for `retry_for`;
- of two reads under way the one that began later wins, in whatever order they end;
- the generation never goes down, except where the lower one is still there after `distrust_for`;
- a map is decoded in small steps, between which requests are answered from the snapshot before it;
- only values are kept, never a task or a promise: what one request began no other may await.

Contents are immutable, so they stay until the budget pushes out the one that was not used for longest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from resolver.documents import (
    ROLLOUT,
    VERSION_MAP,
    Problem,
    Snapshot,
    Steps,
    decode_index,
    decode_map_metadata,
    decode_rollout,
    index_key,
    version_map_steps,
)
from resolver.errors import InvalidDocument
from resolver.history import releases_at
from resolver.rollout import RolloutTable
from worker.kv import Entry, KvFailed, Store, read
from worker.settings import Settings

Behind = Callable[[Awaitable[None]], None]
"""Runs something after the response, as `ctx.waitUntil` does."""

T = TypeVar("T")
#: How often a request looks for the snapshot that another one reads, within `read_budget`.
_GLANCES = 8

SnapshotSource = Literal["kv", "bundled"]


class Clock(NamedTuple):
    """`monotonic` in seconds, for ages; `now` is the wall clock as seconds since 1970."""

    monotonic: Callable[[], float]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Held:
    """A snapshot as this isolate has it. `read_at` is when its read began, on the monotonic clock."""

    snapshot: Snapshot
    source: SnapshotSource
    read_at: float
    problems: tuple[Problem, ...] = ()


class View(NamedTuple):
    """The snapshot that a request uses; `stale` says why it is older than it should be."""

    held: Held
    age: float
    stale: str | None


class SnapshotCache:
    """The isolate's snapshot; see the rules above."""

    def __init__(self, settings: Settings, clock: Clock, bundled: Snapshot | None = None) -> None:
        self._settings = settings
        self._monotonic = clock.monotonic
        self._bundled = bundled
        self._held: Held | None = None
        self._lease_until = float("-inf")
        self._retry_at = float("-inf")
        #: Goes up with every sign that a read is under way.
        self._signs = 0
        #: When a generation below the one held was seen first, without the higher one being seen since.
        self._lower_since: float | None = None
        self.last_error: str | None = None
        self.refreshes = 0
        self.failures = 0

    async def view(self, store: Store, behind: Behind) -> View:
        """The snapshot for one request. Raises `KvFailed` when there is nothing at all to serve."""
        now = self._monotonic()
        held = self._held
        if held is None:
            return await self._cold(store, now)
        age = now - held.read_at
        if age < self._settings.fresh_for:
            return View(held, age, None)
        if age < self._settings.stale_for:
            if now >= max(self._lease_until, self._retry_at):
                # At once: what runs behind the response may not have begun when the next request comes.
                self._lease_until = now + self._settings.lease_for
                behind(self._refresh(store))
            return View(held, age, self.last_error)
        if now >= self._retry_at:
            refresh = asyncio.ensure_future(self._refresh(store))
            done, _ = await asyncio.wait({refresh}, timeout=self._settings.read_budget)
            if not done:
                behind(refresh)
        return self._current(self._held or held)

    def peek(self) -> View | None:
        """What is in memory, without a read."""
        return None if self._held is None else self._current(self._held)

    async def with_indexes(self, view: View, names: Iterable[str], store: Store) -> View:
        """The same view with the lists of versions of these components. Raises `KvFailed`.

        What is read here is read again with every later snapshot, in the same bulk get, as long as it is of any use.
        """
        wanted = [name for name in dict.fromkeys(names) if name not in view.held.snapshot.indexes]
        if not wanted:
            return view
        entries = await read(store, map(index_key, wanted), self._settings.kv_timeout)
        problems: list[Problem] = []
        indexes = _indexes(wanted, entries, problems)
        held = _with(view.held, indexes, problems)
        current = self._held
        if current is not None and current.read_at == view.held.read_at:
            self._held = _with(current, indexes, problems)
        return view._replace(held=held)

    def _current(self, held: Held) -> View:
        age = self._monotonic() - held.read_at
        late = "the read of KV takes longer than its budget" if age >= self._settings.stale_for else None
        return View(held, age, self.last_error or late)

    async def _cold(self, store: Store, now: float) -> View:
        if (self._bundled is None or now >= self._retry_at) and not await self._read_by_another():
            await self._refresh(store)
        if self._held is not None:
            return self._current(self._held)
        if self._bundled is None:
            raise KvFailed(f"{self.last_error}; and no snapshot was bundled with this deployment")
        return View(Held(self._bundled, "bundled", now), 0.0, self.last_error)

    async def _read_by_another(self) -> bool:
        """Whether a read that another request has under way ends, well or badly.

        In a burst upon a new isolate one request reads for all: not even memory would bear a large map for each. It is
        looked for, not awaited, as long as the read gives signs of going on; without one for `read_budget` it is lost.
        """
        failures, signs, left = self.failures, self._signs, _GLANCES
        while left and self._monotonic() < self._lease_until:
            await asyncio.sleep(self._settings.read_budget / _GLANCES)
            if self._held is not None or self.failures != failures:
                return True
            signs, left = self._signs, left - 1 if signs == self._signs else _GLANCES
        return False

    async def _refresh(self, store: Store) -> None:
        """Read KV and take what it says, if it can be taken. Never raises: a failure is noted and the old one stays."""
        started = self._monotonic()
        self._lease_until = started + self._settings.lease_for
        self._signs += 1
        before = self._held
        names = _carried(before.snapshot) if before else []
        self.refreshes += 1
        try:
            entries = await read(store, [VERSION_MAP, ROLLOUT, *map(index_key, names)], self._settings.kv_timeout)
            self._take(await self._decoded(entries, names, started))
        except (KvFailed, InvalidDocument) as error:
            self.failures += 1
            # A read that began before the one that is held has nothing to say of it.
            if self._held is None or started >= self._held.read_at:
                self.last_error = str(error)
                self._retry_at = self._monotonic() + self._settings.retry_for
        finally:
            self._lease_until = float("-inf")

    async def _decoded(self, entries: dict[str, Entry | None], names: list[str], started: float) -> Held:
        before = self._held
        entry = entries.pop(VERSION_MAP)
        if entry is None:
            if before is not None or self._bundled is not None:
                raise InvalidDocument("the key is not in KV", field=VERSION_MAP)
            # Nothing was ever published here: that is an answer, and every component is unknown.
            entry = Entry("{}")
        metadata = decode_map_metadata(entry.metadata)
        steps = version_map_steps(entry.value, before.snapshot.pointers if before else None)
        # The text of a large map goes as soon as the steps have taken from it what they need.
        del entry
        pointers = await self._between_requests(steps)
        if before is not None and pointers is before.snapshot.pointers:
            problems = [problem for problem in before.problems if problem.document == VERSION_MAP]
        else:
            problems = list(pointers.problems)
        snapshot = Snapshot(
            pointers=pointers,
            rollout=self._rollout(entries[ROLLOUT], problems),
            indexes=_indexes(names, entries, problems),
            revision=metadata.revision or await self._between_requests(pointers.revision_steps()),
            generation=metadata.generation,
        )
        return Held(snapshot, "kv", started, tuple(problems))

    async def _between_requests(self, steps: Steps[T]) -> T:
        """What the steps come to; between them the isolate answers requests."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            self._signs += 1
            await asyncio.sleep(0)

    def _rollout(self, entry: Entry | None, problems: list[Problem]) -> RolloutTable:
        before = self._held.snapshot if self._held else self._bundled
        previous = before.rollout if before else None
        if entry is None:
            return RolloutTable()
        try:
            decoded = decode_rollout(entry.value, previous)
        except InvalidDocument as error:
            table = previous or RolloutTable()
            problems.append(Problem(ROLLOUT, "", f"{error.detail}; the percentages before it stay in force"))
            return table
        problems += decoded.problems
        return decoded.value

    def _take(self, new: Held) -> None:
        held = self._held
        now = self._monotonic()
        if held is not None:
            if new.read_at < held.read_at:
                return
            below, above = new.snapshot.generation, held.snapshot.generation
            if below is not None and above is not None and below < above:
                if self._lower_since is None:
                    self._lower_since = now
                if now - self._lower_since < self._settings.distrust_for:
                    raise InvalidDocument(
                        f"KV answered generation {below}, and {above} is known: a stale read, refused"
                    )
                warning = f"generation {below} was taken after {above}: it stayed in KV; was the namespace reset?"
                new = replace(new, problems=(*new.problems, Problem(VERSION_MAP, "", warning)))
        self._lower_since = None
        self._held = new
        self._retry_at = float("-inf")
        self.last_error = None


def _carried(snapshot: Snapshot) -> list[str]:
    """The components whose lists of versions are read along with the map.

    A name with neither a list nor a pointer was a caller's slip: carried along, slips would pile up in every refresh.
    """
    return [name for name, versions in snapshot.indexes.items() if versions is not None or name in snapshot.pointers]


def _indexes(
    names: Iterable[str], entries: dict[str, Entry | None], problems: list[Problem]
) -> dict[str, tuple[str, ...] | None]:
    indexes: dict[str, tuple[str, ...] | None] = {}
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
    return indexes


def _with(held: Held, indexes: dict[str, tuple[str, ...] | None], problems: list[Problem]) -> Held:
    snapshot = replace(held.snapshot, indexes={**held.snapshot.indexes, **indexes})
    return replace(held, snapshot=snapshot, problems=(*held.problems, *problems))


class Content(NamedTuple):
    """A component's text, and the type that its publisher gave it."""

    text: str
    type: str | None


class ContentCache:
    """Contents by name and version, within a budget in bytes; the least recently used goes first."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._contents: OrderedDict[tuple[str, str], tuple[Content, int]] = OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0

    def get(self, name: str, version: str) -> Content | None:
        """The content, if it is in memory."""
        found = self._contents.get((name, version))
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._contents.move_to_end((name, version))
        return found[0]

    def put(self, name: str, version: str, content: Content) -> None:
        """Keep a content, if it fits into the budget at all."""
        size = len(content.text.encode(errors="surrogatepass"))
        if size > self._budget or (name, version) in self._contents:
            return
        self._contents[name, version] = (content, size)
        self.size += size
        while self.size > self._budget:
            _, (_, dropped) = self._contents.popitem(last=False)
            self.size -= dropped
