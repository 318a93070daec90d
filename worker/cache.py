"""What an isolate remembers between requests: one snapshot, and contents.

Rules of the snapshot:

- younger than `fresh_for` it is used; younger than `stale_for` it is used and refreshed behind the response, one
  refresh at a time by a lease that expires; older than that it is read again first, for at most `read_budget`, and
  then the last good one is used while the read goes on behind the response;
- what is read first is read by one request, and those that come meanwhile wait with it. Where KV failed lately only
  that one waits: in an outage all others answer at once. After a silence of `patient_after` the wait is `kv_timeout`;
- with nothing in memory one read is awaited for `kv_timeout`, by one request for all that come meanwhile, then the
  snapshot bundled at deploy time is used, and without one `KvFailed` is raised;
- a read that fails, or is nonsense, never replaces a good snapshot, and the next attempt waits for `retry_for`;
- of two reads under way the one that began later wins, in whatever order they end;
- the generation never goes down, except where the lower one is still there after `distrust_for`, and is not below what
  was announced;
- a map is decoded as its parts come, in small steps, between which requests are answered from the snapshot before it,
  and so are lists of versions. Of these the last wanted are kept, up to a number: what every refresh reads must fit
  into `kv_timeout`;
- only values are kept, never a task or a promise: what one request began no other may await. So a pause between steps
  is made by the request that does the work, and so is every timer;
- what lets other requests in only the host knows: `Clock.pause`. `asyncio.sleep` does it for no wait under 3 ms.

Rules of the announced number, where there is a GENERATION_URL:

- it is heard again by the snapshot's rules, with `generation_fresh_for` and `generation_stale_for`;
- a number above the held generation is followed by a read of that generation's own key, which no cache can have an old
  answer to. A number below it is an old copy, and says nothing;
- while the number says the held generation, the lower one that KV's own caches still have is no failure: the pointers
  stay, and what was read besides (percentages, lists of versions) is taken;
- a number whose map is not there is tried for `distrust_for`, and then ignored until another one comes;
- whatever fails here leaves KV's own way as it is. It is told in `/health`, and no answer is stale for it.

Contents are immutable, so they stay until the budget pushes out the one that was not used for longest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
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
    version_map_key,
)
from resolver.errors import InvalidDocument
from resolver.history import releases_at
from resolver.rollout import RolloutTable
from resolver.version_map import MapReader, VersionMap
from worker.kv import BULK, Announcements, Entry, KvFailed, Store, next_part, read, read_latest
from worker.settings import Settings

Behind = Callable[[Awaitable[None]], None]
"""Runs something after the response, as `ctx.waitUntil` does."""

T = TypeVar("T")
#: How often a request looks for what another one reads, within `read_budget`.
_GLANCES = 8
#: The shortest wait on a timer, in seconds. Pyodide ends one of up to 2 ms at once, before anything else may run.
SHORTEST_WAIT = 0.003
#: After so many seconds without a sign, or a quarter of `kv_timeout`, a new isolate's first read is lost. KV's central
#: store may well take longer than `read_budget`, and every read more holds one more map in memory.
_LOST_AFTER = 0.25
#: Lists of versions that a snapshot keeps: with the map and the percentages that is five bulk gets a refresh.
MOST_LISTS = 5 * BULK - 2
#: Versions that are decoded in one step: about a millisecond in WebAssembly.
_VERSIONS_STEP = 200

SnapshotSource = Literal["kv", "bundled"]


def _next_turn() -> Awaitable[object]:
    return asyncio.sleep(0)


class Clock(NamedTuple):
    """`monotonic` in seconds, for ages; `now` is the wall clock as seconds since 1970.

    `pause` ends once everything else that is ready has had its turn. CPython's event loop does that for a wait of 0 s.
    """

    monotonic: Callable[[], float]
    now: Callable[[], float]
    pause: Callable[[], Awaitable[object]] = _next_turn


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


class Heard(NamedTuple):
    """What is known of the announced number: since how many seconds, which one it is, and what went wrong last."""

    age: float | None
    number: int | None
    error: str | None


class _Renewal:
    """Whose turn it is to read something again, and who waits for it. Times are on the monotonic clock."""

    def __init__(self, settings: Settings, stale_for: float, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._stale_for = stale_for
        self._monotonic = monotonic
        #: After a failure: when it may be read again.
        self.retry_at = float("-inf")
        #: Behind a response, or by a new isolate, no second read begins before that.
        self.lease_until = float("-inf")
        #: No second read that is waited for begins before that,
        self._first_until = float("-inf")
        #: and until then the requests that come meanwhile wait too.
        self._waited_until = float("-inf")
        #: How many reads have ended, well or badly.
        self.ended = 0

    def begin(
        self, age: float, now: float, patient: bool, read: Callable[[], Awaitable[None]], behind: Behind
    ) -> Awaitable[None] | None:
        """Have it read if it is this request's turn. Gives what the request has to wait for, if anything."""
        if now < self.retry_at:
            return None
        if age < self._stale_for:
            if now >= self.lease_until:
                # At once: what runs behind the response may not have begun when the next request comes.
                self.lease_until = now + self._settings.lease_for
                behind(self.run(read))
            return None
        if now < self._first_until:
            return self._look_out(self._waited_until - now) if now < self._waited_until else None
        budget = self._settings.kv_timeout if patient else self._settings.read_budget
        failed_lately = now < self.retry_at + self._stale_for
        self._first_until = now + self._settings.kv_timeout
        self._waited_until = now if failed_lately else now + budget
        return self._first(read, budget, behind)

    async def run(self, read: Callable[[], Awaitable[None]]) -> None:
        """Read it, under the lease."""
        self.lease_until = self._monotonic() + self._settings.lease_for
        try:
            await read()
        finally:
            self.lease_until = self._first_until = float("-inf")
            self.ended += 1

    def failed(self) -> None:
        """Let the next read wait for `retry_for`."""
        self.retry_at = self._monotonic() + self._settings.retry_for

    async def _first(self, read: Callable[[], Awaitable[None]], budget: float, behind: Behind) -> None:
        reading = asyncio.ensure_future(self.run(read))
        done, _ = await asyncio.wait({reading}, timeout=budget)
        if not done:
            behind(reading)

    async def _look_out(self, left: float) -> None:
        """Look, on timers of this request's own, whether the read that another one has under way has ended."""
        ended = self.ended
        glance = _glance(self._settings)
        while left >= SHORTEST_WAIT and self.ended == ended:
            # What would be left and is too short for a wait is waited for with this one.
            pause = glance if left - glance >= SHORTEST_WAIT else left
            await asyncio.sleep(pause)
            left -= pause


def _glance(settings: Settings) -> float:
    """How long a request waits before it looks again for what another one reads."""
    return max(SHORTEST_WAIT, settings.read_budget / _GLANCES)


class SnapshotCache:
    """The isolate's snapshot; see the rules above."""

    def __init__(self, settings: Settings, clock: Clock, bundled: Snapshot | None = None) -> None:
        self._settings = settings
        self._monotonic = clock.monotonic
        self._pause = clock.pause
        self._bundled = bundled
        self._held: Held | None = None
        self._asked_at = float("-inf")
        self._reading = _Renewal(settings, settings.stale_for, clock.monotonic)
        #: Goes up with every sign that a read is under way.
        self._signs = 0
        #: When a generation below the one held was seen first, without the higher one being seen since.
        self._lower_since: float | None = None
        self.last_error: str | None = None
        self.refreshes = 0
        self.failures = 0
        self._hearing = _Renewal(settings, settings.generation_stale_for, clock.monotonic)
        self._heard_at = float("-inf")
        #: The number that was heard last.
        self._announced: int | None = None
        #: A number above the held one, and since when its map is wanted.
        self._wanted: tuple[int, float] | None = None
        self._hearing_error: str | None = None

    async def view(self, store: Store, behind: Behind, announcements: Announcements | None = None) -> View:
        """The snapshot for one request. Raises `KvFailed` when there is nothing at all to serve."""
        now = self._monotonic()
        asked_before, self._asked_at = self._asked_at, now
        held = self._held
        if held is None:
            view = await self._cold(store, now)
            held, now = self._held, self._monotonic()
            if held is None or announcements is None:
                return view
        age = now - held.read_at
        if age < self._settings.fresh_for and (
            announcements is None or now - self._heard_at < self._settings.generation_fresh_for
        ):
            return View(held, age, None)
        patient = 0 < self._settings.patient_after <= now - asked_before
        if waits := self._renewed(now, age, patient, store, behind, announcements):
            await asyncio.gather(*waits)
        return self._current(self._held or held)

    def _renewed(
        self, now: float, age: float, patient: bool, store: Store, behind: Behind, announcements: Announcements | None
    ) -> list[Awaitable[None]]:
        """Have read what is no longer fresh. Gives what this request waits for; both at once, within one budget."""
        waits: list[Awaitable[None] | None] = []
        if announcements is not None and now - self._heard_at >= self._settings.generation_fresh_for:
            hear = partial(self._hear, announcements, store)
            waits.append(self._hearing.begin(now - self._heard_at, now, patient, hear, behind))
        if age >= self._settings.fresh_for:
            waits.append(self._reading.begin(age, now, patient, partial(self._refresh, store), behind))
        return [wait for wait in waits if wait is not None]

    @property
    def has_read(self) -> bool:
        """Whether there is a snapshot from KV in memory."""
        return self._held is not None

    def peek(self) -> View | None:
        """What is in memory, without a read."""
        return None if self._held is None else self._current(self._held)

    async def with_indexes(self, view: View, names: Iterable[str], store: Store) -> View:
        """The same view with the lists of versions of these components. Raises `KvFailed`.

        What is read here is read again with every later snapshot, as long as it is of any use and not pushed out by
        what was wanted later.
        """
        wanted = [name for name in dict.fromkeys(names) if name not in view.held.snapshot.indexes]
        if not wanted:
            return view
        entries = await read(store, map(index_key, wanted), self._settings.kv_timeout)
        problems: list[Problem] = []
        indexes = await self._between_requests(_index_steps(wanted, entries, problems))
        current = self._held
        if current is not None and current.read_at == view.held.read_at:
            self._held = _with(current, indexes, problems, MOST_LISTS)
        return view._replace(held=_with(view.held, indexes, problems))

    @property
    def heard(self) -> Heard:
        """What is known of the announced number."""
        age = None if self._announced is None else self._monotonic() - self._heard_at
        return Heard(age, self._announced, self._hearing_error)

    def _current(self, held: Held) -> View:
        age = self._monotonic() - held.read_at
        if age < self._settings.fresh_for:
            return View(held, age, None)
        late = "the read of KV takes longer than its budget" if age >= self._settings.stale_for else None
        return View(held, age, self.last_error or late)

    async def _cold(self, store: Store, now: float) -> View:
        if (self._bundled is None or now >= self._reading.retry_at) and not await self._read_by_another():
            await self._reading.run(partial(self._refresh, store))
        if self._held is not None:
            return self._current(self._held)
        if self._bundled is None:
            raise KvFailed(f"{self.last_error}; and no snapshot was bundled with this deployment")
        return View(Held(self._bundled, "bundled", now), 0.0, self.last_error)

    async def _read_by_another(self) -> bool:
        """Whether a read that another request has under way ends, well or badly.

        In a burst upon a new isolate one request reads for all: not even memory would bear a large map for each. It is
        looked for, not awaited, as long as the read gives signs of going on; `_LOST_AFTER` says when it is lost.
        """
        glance = _glance(self._settings)
        ended, signs, silence = self._reading.ended, self._signs, 0.0
        lost = min(_LOST_AFTER, self._settings.kv_timeout / 4)
        while silence < lost and self._monotonic() < self._reading.lease_until:
            await asyncio.sleep(glance)
            if self._reading.ended != ended:
                return True
            signs, silence = self._signs, silence + glance if signs == self._signs else 0.0
        return False

    async def _refresh(self, store: Store) -> None:
        """Read KV and take what it says, if it can be taken. Never raises: a failure is noted and the old one stays."""
        started = self._monotonic()
        try:
            await self._read(store, VERSION_MAP)
        except (KvFailed, InvalidDocument) as error:
            self.failures += 1
            # A read that began before the one that is held has nothing to say of it.
            if self._held is None or started >= self._held.read_at:
                self.last_error = str(error)
                self._reading.failed()

    async def _hear(self, announcements: Announcements, store: Store) -> None:
        """Hear the announced number, and read its map if it is above the held one. Never raises."""
        started = self._monotonic()
        try:
            number = await read_latest(announcements, self._settings.kv_timeout)
            if started < self._heard_at:
                return
            self._heard_at, self._announced = started, number
            held = self._held.snapshot.generation if self._held else None
            # A map that was written by hand has no number, and is not written over by one.
            if held is None or number <= held:
                self._wanted = None
            elif self._wants(number):
                await self._read(store, version_map_key(number), number)
            else:
                return
            self._hearing_error = None
        except (KvFailed, InvalidDocument) as error:
            # As with the snapshot: an older hearing has nothing to say of a newer one.
            if started >= self._heard_at:
                self._hearing_error = str(error)
                self._hearing.failed()

    def _wants(self, number: int) -> bool:
        """Whether the map of a number above the held one should be read: not if that has failed for long."""
        now = self._monotonic()
        if self._wanted is None or self._wanted[0] != number:
            self._wanted = number, now
        return now - self._wanted[1] < self._settings.distrust_for

    async def _read(self, store: Store, key: str, generation: int | None = None) -> None:
        """Read the map under this key and all that belongs to it, and take it. Raises `KvFailed`, `InvalidDocument`."""
        started = self._monotonic()
        self._signs += 1
        before = self._held
        names = _carried(before.snapshot) if before else []
        self.refreshes += 1
        entries = await read(store, [key, ROLLOUT, *map(index_key, names)], self._settings.kv_timeout)
        if generation is not None:
            _check_announced(key, entries[key], generation)
        self._take(await self._decoded(entries, key, names, started))

    async def _decoded(self, entries: dict[str, Entry | None], key: str, names: list[str], started: float) -> Held:
        before = self._held
        entry = entries.pop(key)
        if entry is None:
            if before is not None or self._bundled is not None:
                raise InvalidDocument("the key is not in KV", field=VERSION_MAP)
            # Nothing was ever published here: that is an answer, and every component is unknown.
            entry = Entry("{}")
        metadata = decode_map_metadata(entry.metadata)
        pointers = await self._pointers(entry, MapReader(before.snapshot.pointers if before else None))
        if before is not None and pointers is before.snapshot.pointers:
            problems = [problem for problem in before.problems if problem.document == VERSION_MAP]
        else:
            problems = list(pointers.problems)
        snapshot = Snapshot(
            pointers=pointers,
            rollout=self._rollout(entries[ROLLOUT], problems),
            indexes=await self._between_requests(_index_steps(names, entries, problems)),
            revision=metadata.revision or await self._between_requests(pointers.revision_steps()),
            generation=metadata.generation,
        )
        return Held(snapshot, "kv", started, tuple(problems))

    async def _pointers(self, entry: Entry, reader: MapReader) -> VersionMap:
        if entry.parts is None:
            await self._between_requests(reader.take(entry.value))
        else:
            while part := await next_part(entry.parts, self._settings.kv_timeout):
                self._signs += 1
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
            self._signs += 1
            await self._pause()

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
        if held is not None:
            if new.read_at < held.read_at:
                return
            below, above = new.snapshot.generation, held.snapshot.generation
            if below is not None and above is not None and below < above:
                if self._announced is not None and self._announced >= above:
                    # To be expected: the number came here faster than KV's caches have let go of the map before.
                    new = _with_pointers_of(held, new)
                else:
                    new = self._distrusted(new, below, above)
        self._lower_since = None
        self._held = new
        self._reading.retry_at = float("-inf")
        self.last_error = None

    def _distrusted(self, new: Held, below: int, above: int) -> Held:
        """A lower generation that nothing was announced of, if it has been there for long. Raises `InvalidDocument`."""
        now = self._monotonic()
        if self._lower_since is None:
            self._lower_since = now
        if now - self._lower_since < self._settings.distrust_for:
            raise InvalidDocument(f"KV answered generation {below}, and {above} is known: a stale read, refused")
        warning = f"generation {below} was taken after {above}: it stayed in KV; was the namespace reset?"
        return replace(new, problems=(*new.problems, Problem(VERSION_MAP, "", warning)))


def _carried(snapshot: Snapshot) -> list[str]:
    """The components whose lists of versions are read along with the map.

    A name with neither a list nor a pointer was a caller's slip: carried along, slips would pile up in every refresh.
    """
    return [name for name, versions in snapshot.indexes.items() if versions is not None or name in snapshot.pointers]


def _index_steps(
    names: Iterable[str], entries: dict[str, Entry | None], problems: list[Problem]
) -> Steps[dict[str, tuple[str, ...] | None]]:
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


def _check_announced(key: str, entry: Entry | None, generation: int) -> None:
    """Raises `InvalidDocument` for what is not the map that was announced."""
    if entry is None:
        raise InvalidDocument("it is announced, and the key is not in KV", field=key)
    found = decode_map_metadata(entry.metadata).generation
    if found != generation:
        raise InvalidDocument(f"it is announced, and the map there is of generation {found}", field=key)


def _with_pointers_of(held: Held, new: Held) -> Held:
    """What was read, with the version map that is held."""
    snapshot = replace(held.snapshot, rollout=new.snapshot.rollout, indexes=new.snapshot.indexes)
    of_map = [problem for problem in held.problems if problem.document == VERSION_MAP]
    others = [problem for problem in new.problems if problem.document != VERSION_MAP]
    return replace(new, snapshot=snapshot, problems=(*of_map, *others))


def _with(
    held: Held, indexes: dict[str, tuple[str, ...] | None], problems: list[Problem], most: int | None = None
) -> Held:
    """The same with these lists of versions, and of all no more than the last `most`."""
    lists = {**held.snapshot.indexes, **indexes}
    for name in list(lists)[:-most] if most else ():
        del lists[name]
    gone = {index_key(name) for name in held.snapshot.indexes if name not in lists}
    before = [problem for problem in held.problems if problem.document not in gone]
    return replace(held, snapshot=replace(held.snapshot, indexes=lists), problems=(*before, *problems))


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
