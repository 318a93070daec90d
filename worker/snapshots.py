"""The snapshot that an isolate keeps between requests.

Rules:

- younger than `fresh_for` it is used; younger than `stale_for` it is used and read again behind the response; older
  than that it is read again first, for at most `read_budget`, and then the last good one is used while the read goes
  on behind the response. After a silence of `patient_after` the wait is `kv_timeout`. Whose turn it is to read says
  `worker/lease.py`;
- with nothing in memory one read is awaited for `kv_timeout`, by one request for all that come meanwhile, then the
  snapshot bundled at deploy time is used, and without one `KvFailed` is raised;
- a read that fails, or is nonsense, never replaces a good snapshot, and the next attempt waits for `RETRY_FOR`;
- of two reads under way the one that began later wins, in whatever order they end;
- the generation never goes down, except where the lower one is still there after `DISTRUST_FOR`, and is not below what
  was announced (`worker/announced.py`). While the number says the held generation, the lower one that KV's own caches
  still have is no failure: the pointers stay, and what was read besides (percentages, lists of versions) is taken;
- of the lists of versions the last wanted are kept, up to a number: what every refresh reads must fit into
  `kv_timeout`;
- the last few snapshots before it are remembered for a while, for runs that began with one of them;
- only values are kept, never a task or a promise: no request may await what another one began.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

from resolver.documents import VERSION_MAP, Problem, index_key
from resolver.errors import InvalidDocument
from resolver.snapshot import Resolver, Snapshot
from resolver.version_map import VersionMap
from worker.announced import DISTRUST_FOR, AnnouncedGeneration, Heard
from worker.clock import Clock
from worker.kv import BULK, Announcements, KvFailed, Store
from worker.lease import NEVER, Behind, ReadLease
from worker.refresh import Lists, SnapshotReader
from worker.settings import Settings

#: After so many seconds without a sign, or a quarter of `kv_timeout`, a new isolate's first read counts as lost. KV's
#: central store may take longer than `read_budget`, and each further read holds one more map in memory.
_LOST_AFTER = 0.25
#: Lists of versions that a snapshot keeps. With the map and the percentages a refresh is five bulk gets.
MOST_LISTS = 5 * BULK - 2

#: Snapshots that are remembered after newer ones were taken, for how many seconds, and in how many bytes. What did not
#: change they share.
MOST_BEFORE = 3
REMEMBERED_FOR = 300.0
BYTES_BEFORE = 512 * 1024

SnapshotSource = Literal["kv", "bundled"]


@dataclass(frozen=True, slots=True)
class Held:
    """A snapshot as this isolate has it, ready to answer. `read_at` is when its read began, on the monotonic clock."""

    resolver: Resolver
    source: SnapshotSource
    read_at: float
    problems: tuple[Problem, ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot itself."""
        return self.resolver.snapshot


class NothingToServe(KvFailed):
    """There is no snapshot: KV gave none that can be read, and the deployment has none."""

    title = "Nothing to serve"


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
        #: The ones before it, the newest last, each with the instant at which it was replaced.
        self._before: deque[tuple[float, Held]] = deque(maxlen=MOST_BEFORE)
        self._asked_at = NEVER
        self._reader = SnapshotReader(settings.kv_timeout, clock.pause)
        self._lease = ReadLease(settings, settings.stale_for, clock.monotonic)
        #: When a generation below the held one was first seen; None once the higher one was seen again.
        self._lower_since: float | None = None
        self._announced = AnnouncedGeneration(
            settings, clock.monotonic, lambda: self._held.snapshot.generation if self._held else None
        )
        self.last_error: str | None = None
        self.refreshes = 0
        self.failures = 0

    @property
    def heard(self) -> Heard:
        """What is known of the announced number."""
        return self._announced.heard

    async def view(self, store: Store, behind: Behind, announcements: Announcements | None = None) -> View:
        """The snapshot for one request. Raises `NothingToServe`."""
        now = self._monotonic()
        asked_before, self._asked_at = self._asked_at, now
        held = self._held
        if held is None:
            view = await self._cold(store, now)
            held, now = self._held, self._monotonic()
            if held is None or announcements is None:
                return view
        age = now - held.read_at
        if age < self._settings.fresh_for and (announcements is None or self._announced.is_fresh(now)):
            return View(held, age, None)
        patient = 0 < self._settings.patient_after <= now - asked_before
        if waits := self._renewed(now, age, patient, store, behind, announcements):
            await asyncio.gather(*waits)
        return self._current(self._held or held)

    def of_generation(self, generation: int) -> View | None:
        """The snapshot of a generation, if it is remembered: a run goes on with the one that it began with."""
        now = self._monotonic()
        for replaced_at, held in reversed(self._before):
            if held.snapshot.generation == generation and now < replaced_at + REMEMBERED_FOR:
                return View(held, now - held.read_at, None)
        return None

    async def with_lists(self, held: Held, names: Iterable[str], store: Store) -> Held:
        """The same snapshot with the lists of versions of these components. Raises `KvFailed`.

        What is read here is read again with every later snapshot, as long as it is of any use and not pushed out by
        what was wanted later.
        """
        wanted = [name for name in dict.fromkeys(names) if name not in held.snapshot.indexes]
        if not wanted:
            return held
        lists, problems = await self._reader.lists(store, wanted)
        current = self._held
        if current is not None and current.read_at == held.read_at:
            self._held = _with_lists(current, lists, problems, MOST_LISTS)
        return _with_lists(held, lists, problems)

    def _renewed(
        self, now: float, age: float, patient: bool, store: Store, behind: Behind, announcements: Announcements | None
    ) -> list[Awaitable[None]]:
        """Have read what is no longer fresh. Gives what this request waits for; both at once, within one budget."""
        waits: list[Awaitable[None] | None] = []
        if announcements is not None and not self._announced.is_fresh(now):
            waits.append(self._announced.begin(announcements, partial(self._read, store), now, patient, behind))
        if age >= self._settings.fresh_for:
            waits.append(self._lease.begin(age, now, patient, partial(self._refresh, store), behind))
        return [wait for wait in waits if wait is not None]

    def _current(self, held: Held) -> View:
        age = self._monotonic() - held.read_at
        if age < self._settings.fresh_for:
            return View(held, age, None)
        late = "the read of KV takes longer than its budget" if age >= self._settings.stale_for else None
        return View(held, age, self.last_error or late)

    async def _cold(self, store: Store, now: float) -> View:
        if (self._bundled is None or now >= self._lease.retry_at) and not await self._read_by_another():
            await self._lease.run(partial(self._refresh, store))
        if self._held is not None:
            return self._current(self._held)
        if self._bundled is None:
            raise NothingToServe(f"{self.last_error}; and no snapshot was bundled with this deployment")
        return View(Held(Resolver(self._bundled), "bundled", now), 0.0, self.last_error)

    async def _read_by_another(self) -> bool:
        """Whether a read that another request has under way ends, well or badly.

        In a burst upon a new isolate one request reads for all: memory would not hold a large map for each. The others
        look whether it has ended, while it gives signs of going on; `_LOST_AFTER` says when it counts as lost.
        """
        glance, reader = self._lease.glance, self._reader
        ended, signs, silence = self._lease.ended, reader.signs, 0.0
        lost = min(_LOST_AFTER, self._settings.kv_timeout / 4)
        while silence < lost and self._monotonic() < self._lease.until:
            await asyncio.sleep(glance)
            if self._lease.ended != ended:
                return True
            signs, silence = reader.signs, silence + glance if signs == reader.signs else 0.0
        return False

    async def _refresh(self, store: Store) -> None:
        """Read KV and take what it says, if it can be taken. Never raises: a failure is noted and the old one stays."""
        started = self._monotonic()
        try:
            await self._read(store)
        except (KvFailed, InvalidDocument) as error:
            self.failures += 1
            # A read that began before the held one says nothing about it.
            if self._held is None or started >= self._held.read_at:
                self.last_error = str(error)
                self._lease.failed()

    async def _read(self, store: Store, generation: int | None = None) -> None:
        """Read the newest snapshot, or that of a generation, and take it. Raises `KvFailed`, `InvalidDocument`."""
        started = self._monotonic()
        self.refreshes += 1
        fetched = await self._reader.fetch(store, self._held.snapshot if self._held else None, generation)
        # What was taken meanwhile is what stands now.
        before, known = (self._held.snapshot, self._held.problems) if self._held else (self._bundled, None)
        snapshot, problems = await self._reader.decode(fetched, before, known)
        self._take(Held(Resolver(snapshot), "kv", started, problems))

    def _take(self, new: Held) -> None:
        held = self._held
        if held is not None:
            if new.read_at < held.read_at:
                return
            below, above = new.snapshot.generation, held.snapshot.generation
            if below is not None and above is not None and below < above:
                if self._announced.announces(above):
                    # To be expected: the number came faster than KV's caches dropped the map before.
                    new = _with_pointers_of(held, new)
                else:
                    new = self._distrusted(new, below, above)
            if below != above:
                self._before.append((self._monotonic(), held))
                self._forget_beside(new)
        self._lower_since = None
        self._held = new
        self._lease.retry_at = NEVER
        self.last_error = None

    def _forget_beside(self, new: Held) -> None:
        """Keep of the earlier snapshots what fits into a bound; of a large map that moved whole nothing does."""
        current = new.snapshot.pointers
        room = BYTES_BEFORE
        for earlier in reversed(tuple(self._before)):
            pointers = earlier[1].snapshot.pointers
            if isinstance(pointers, VersionMap) and isinstance(current, VersionMap):
                room -= pointers.bytes_beside(current)
            if room < 0:
                self._before.remove(earlier)

    def _distrusted(self, new: Held, below: int, above: int) -> Held:
        """A lower generation that was not announced, if it has been there for long. Raises `InvalidDocument`."""
        now = self._monotonic()
        if self._lower_since is None:
            self._lower_since = now
        if now - self._lower_since < DISTRUST_FOR:
            raise InvalidDocument(f"KV answered generation {below}, and {above} is known: a stale read, refused")
        warning = f"generation {below} was taken after {above}: it stayed in KV; was the namespace reset?"
        return replace(new, problems=(*new.problems, Problem(VERSION_MAP, "", warning)))


def _with_pointers_of(held: Held, new: Held) -> Held:
    """What was read, with the version map that is held."""
    snapshot = replace(held.snapshot, rollout=new.snapshot.rollout, indexes=new.snapshot.indexes)
    of_map = [problem for problem in held.problems if problem.document == VERSION_MAP]
    others = [problem for problem in new.problems if problem.document != VERSION_MAP]
    return replace(new, resolver=Resolver(snapshot), problems=(*of_map, *others))


def _with_lists(held: Held, found: Lists, problems: Iterable[Problem], most: int | None = None) -> Held:
    """The same with these lists of versions; of all lists no more than the last `most` are kept."""
    lists = {**held.snapshot.indexes, **found}
    for name in list(lists)[:-most] if most else ():
        del lists[name]
    gone = {index_key(name) for name in held.snapshot.indexes if name not in lists}
    before = [problem for problem in held.problems if problem.document not in gone]
    resolver = Resolver(replace(held.snapshot, indexes=lists))
    return replace(held, resolver=resolver, problems=(*before, *problems))
