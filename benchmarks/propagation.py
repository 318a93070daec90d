"""A rollback's way to the whole world, simulated: how long after the write does some isolate answer the old version?

Rules:

- time is in seconds and 0 is the write; an answer is wrong when it is given after 0 and from before it;
- a world is isolates in locations, each with its own rate of requests, Poisson, from hundreds a second to one in hours;
- a policy is the state machine of `worker/cache.py`. With other numbers it is a plain cache of an hour, and a client
  cache of a minute that revalidates behind the answer;
- a source is what an isolate reads: KV with its caches, an authority that is asked directly, a URL that is purged;
- requests that change nothing are counted by their rate, not played, which is what makes 5,000 isolates cheap;
- `agreement` plays every request twice, through this model and through the real `SnapshotCache` on a clock of its own,
  and compares the answers one by one.

What Cloudflare does not document stands in `Assumptions`, and nowhere else.

    python benchmarks/propagation.py --json FILE --svg FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import selectors
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from heapq import heappop, heappush
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from resolver.documents import ROLLOUT, VERSION_MAP, is_version_map, version_map_key
from worker.cache import Clock, SnapshotCache
from worker.kv import Entry
from worker.settings import Settings

MONTH = 30 * 86400.0
LOCATIONS = 300
REGIONS = 12
BUSIEST, QUIETEST = 300.0, 1 / 10800.0


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the documentation leaves open. Latencies are medians and sigmas of log-normal distributions, in seconds."""

    #: A read of KV that its location has in cache, that only the regional tier has, that goes to the central store.
    local: tuple[float, float] = (0.003, 0.6)
    regional: tuple[float, float] = (0.025, 0.5)
    central: tuple[float, float] = (0.150, 0.6)
    #: When a write is in the central store that a region reads from.
    replication: tuple[float, float] = (0.5, 1.0)
    #: From the write of the authority to the call that purges, and from that call to a location's cache.
    publish_to_purge: float = 0.3
    purge: tuple[float, float] = (0.15, 0.5)
    #: A round trip from a location to a Durable Object: a base, and up to so much more.
    object_near: float = 0.005
    object_far: float = 0.250
    #: CPU of one refresh in the Worker.
    refresh_cpu_ms: float = 1.0


ASSUMED = Assumptions()


def drawn(draw: random.Random, shape: tuple[float, float]) -> float:
    """A value of the log-normal distribution with this median and sigma."""
    return shape[0] * math.exp(draw.gauss(0.0, shape[1]))


# --- Policies ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Policy:
    """How an isolate holds a snapshot, in the terms of `worker.settings`; all times in seconds."""

    fresh_for: float
    stale_for: float
    read_budget: float
    kv_timeout: float = 1.0
    lease_for: float = 5.0
    retry_for: float = 1.0
    #: After a silence this long a request waits for `kv_timeout`, not for `read_budget`.
    patient_after: float = math.inf
    #: What is read is an announced number, followed by its map where it is new: a lower one is an old copy, no failure.
    announced: bool = False
    #: The part of the refreshes behind a response that the platform drops before they begin.
    lost: float = 0.0


OURS = Policy(5.0, 30.0, 0.04)
HOUR = Policy(3600.0, 3600.0, 10.0, kv_timeout=10.0)
MINUTE = Policy(60.0, math.inf, 0.0, kv_timeout=10.0)


# --- Sources ----------------------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """What a read that began now will answer, and how long it takes."""

    new: bool
    latency: float


class Source(Protocol):
    """Where isolates read. `settle` is how long before the write its caches must run to be as they always are."""

    settle: float

    def read(self, location: int, now: float, draw: random.Random) -> Read:
        """A read from this location that begins now."""

    def keep(self, location: int, rate: float) -> None:
        """An isolate that has the new version is played no longer; it goes on reading at this rate."""


@dataclass(slots=True)
class _Cached:
    new: bool = False
    filled: float = -math.inf
    until: float = -math.inf


def _filled(caches: int, begin: float, ttl: float, draw: random.Random) -> list[_Cached]:
    """Caches that hold the old version at `begin`, each since another moment: they must not all expire together."""
    return [_Cached(False, begin, begin + draw.random() * ttl) for _ in range(caches)]


class Kv:
    """KV: a cache in each location, with two tiers one in each region behind it, and a central store.

    With two tiers each has a time of its own, so that ages add up: that is how "60 seconds or more" comes about with
    `cacheTtl` 30. With one, the age of a value is known to all.
    """

    def __init__(self, seed: int, tiers: int = 2, ttl: float = 30.0, assumed: Assumptions = ASSUMED) -> None:
        draw = random.Random(f"kv {seed}")
        self.settle = 2.0 * ttl
        self._ttl = ttl
        self._tiers = tiers
        self._assumed = assumed
        self.lag = [drawn(draw, assumed.replication) for _ in range(REGIONS)]
        self._local = _filled(LOCATIONS, -self.settle, ttl, draw)
        self._regional = _filled(REGIONS, -self.settle, ttl, draw)
        self._kept = [0.0] * LOCATIONS

    @property
    def bound(self) -> float:
        """The age after which no read answers the old version any more."""
        return max(self.lag) + self._tiers * self._ttl

    def keep(self, location: int, rate: float) -> None:
        self._kept[location] += rate

    def read(self, location: int, now: float, draw: random.Random) -> Read:
        local = self._local[location]
        if now < local.until:
            return Read(local.new, drawn(draw, self._assumed.local))
        kept = self._kept[location]
        if kept and draw.random() < -math.expm1(-kept * self._ttl):
            return Read(True, drawn(draw, self._assumed.local))
        region = location % REGIONS
        regional = self._regional[region]
        if self._tiers == 1 or now >= regional.until:
            regional.new = now >= self.lag[region]
            regional.until = now + self._ttl
            latency = drawn(draw, self._assumed.central)
        else:
            latency = drawn(draw, self._assumed.regional)
        local.new = regional.new
        local.until = now + self._ttl
        return Read(local.new, latency)


class Authority:
    """A store that every read asks directly, and that is never behind: a Durable Object, or a prompt server's API."""

    settle = 10.0

    def __init__(self, seed: int, assumed: Assumptions = ASSUMED) -> None:
        draw = random.Random(f"authority {seed}")
        self._trip = [assumed.object_near + draw.random() * assumed.object_far for _ in range(LOCATIONS)]

    def keep(self, location: int, rate: float) -> None:
        """Nothing is cached on the way."""

    def read(self, location: int, now: float, draw: random.Random) -> Read:
        return Read(now >= 0, self._trip[location] * drawn(draw, (1.0, 0.2)))


class Purged:
    """A URL in the zone's cache, in two tiers, over an authority that is never behind; purged after the write.

    With `beacon` the URL holds only the number of the generation, and the isolate that sees a new one reads that map
    under a key of KV that was never read before: nobody can have an old answer to it. `purges` are the times of the
    calls, after `publish_to_purge`. A location that is purged before its upper tier is filled with the old answer
    again, and waits for the next purge, or for the end of `ttl`.
    """

    def __init__(
        self,
        seed: int,
        *,
        beacon: bool = True,
        tiers: int = 2,
        purges: Sequence[float] = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0),
        ttl: float = 30.0,
        assumed: Assumptions = ASSUMED,
    ) -> None:
        draw = random.Random(f"purged {seed}")
        self.settle = ttl
        self._ttl = ttl
        self._tiers = tiers
        self._beacon = beacon
        self._assumed = assumed
        self._local = _filled(LOCATIONS, -self.settle, ttl, draw)
        self._upper = _filled(REGIONS, -self.settle, ttl, draw)

        def reached() -> list[float]:
            return [assumed.publish_to_purge + at + drawn(draw, assumed.purge) for at in purges]

        self._purged = [reached() for _ in range(LOCATIONS)]
        self._purged_upper = [reached() for _ in range(REGIONS)]
        self._has_map: set[int] = set()
        self._kept = [0.0] * LOCATIONS

    def keep(self, location: int, rate: float) -> None:
        self._kept[location] += rate

    def read(self, location: int, now: float, draw: random.Random) -> Read:
        local = self._local[location]
        kept = self._kept[location]
        if _holds(local, self._purged[location], now):
            latency = drawn(draw, self._assumed.local)
        elif kept and draw.random() < -math.expm1(-kept * self._ttl):
            return self._answer(True, drawn(draw, self._assumed.local), location, draw)
        else:
            region = location % REGIONS
            upper = self._upper[region]
            if self._tiers == 2 and _holds(upper, self._purged_upper[region], now):
                latency = drawn(draw, self._assumed.regional)
            else:
                upper.new, upper.filled, upper.until = now >= 0, now, now + self._ttl
                latency = drawn(draw, self._assumed.central)
            local.new, local.filled, local.until = upper.new, now, now + self._ttl
        return self._answer(local.new, latency, location, draw)

    def _answer(self, new: bool, latency: float, location: int, draw: random.Random) -> Read:
        if not new or not self._beacon:
            return Read(new, latency)
        shape = self._assumed.local if location in self._has_map else self._assumed.central
        self._has_map.add(location)
        return Read(True, latency + drawn(draw, shape))


def _holds(cached: _Cached, purged: Sequence[float], now: float) -> bool:
    return now < cached.until and not any(cached.filled < at <= now for at in purged)


# --- Worlds -----------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """One isolate: where it is, and its requests a second."""

    location: int
    rate: float


def world(isolates: int, seed: int) -> list[Place]:
    """Isolates whose rates are spread evenly over the orders of magnitude, in locations of which few hold most."""
    draw = random.Random(f"world {isolates} {seed}")
    ranks = range(LOCATIONS)
    locations = draw.choices(ranks, [1 / (rank + 1) for rank in ranks], k=isolates)
    ratio = QUIETEST / BUSIEST
    return [Place(at, BUSIEST * ratio ** ((i + 0.5) / isolates)) for i, at in enumerate(locations)]


def refreshes_per_second(places: Sequence[Place], fresh_for: float) -> float:
    """Reads a second in the long run: one for each first request after a snapshot is no longer fresh."""
    return sum(1 / (fresh_for + 1 / place.rate) for place in places)


# --- The model --------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """One answer: by which isolate to which of its requests, when, and whether it was the new version."""

    isolate: int
    request: int
    at: float
    new: bool


def bound(policy: Policy, visible: float) -> float:
    """When no request is answered wrongly any more, `visible` being the time from which on every read is new.

    It holds where reads end within the budget that their request waits for; where they do not, the next request is
    answered with what is held, however late that is.
    """
    return visible + policy.stale_for + policy.read_budget


class _Isolate:
    __slots__ = (
        "arrivals", "asked_at", "draw", "ended", "first_until", "last_wrong", "lease_until", "location", "losses",
        "new", "number", "rate", "read_at", "request", "retry_at", "silences", "since", "token", "until",
        "waited_until",
    )  # fmt: skip

    def __init__(self, number: int, place: Place, seed: int, read_at: float) -> None:
        self.number = number
        self.location, self.rate = place
        self.draw = random.Random(f"isolate {number} {seed}")
        self.losses = random.Random(f"losses {number} {seed}")
        self.silences = random.Random(f"silences {number} {seed}")
        self.read_at = self.asked_at = read_at
        self.new = False
        self.lease_until = self.retry_at = self.first_until = self.waited_until = -math.inf
        self.ended = 0
        #: Only the last-scheduled arrival counts; requests in `since` to `until` change nothing and are not played.
        self.token = 0
        self.since = self.until = read_at
        self.last_wrong = 0.0
        #: Its requests, where they are given.
        self.arrivals: Sequence[float] | None = None
        self.request = 0


BIN = 0.1
HORIZON = 7200.0


@dataclass(slots=True)
class Outcome:
    """What was measured. `last_wrong` has one entry an isolate, 0 where it never answered wrongly."""

    places: Sequence[Place]
    last_wrong: list[float]
    #: Wrong answers a second, in steps of `BIN`.
    wrong: list[float]
    reads_per_second: float
    answers: list[Answer] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second of the whole world."""
        return sum(place.rate for place in self.places)

    def share_wrong(self, at: float) -> float:
        """The part of the world's requests, from 0 to 1, that was answered wrongly in the step around this time."""
        return self.wrong[int(at / BIN)] / self.rate

    def below(self, share: float) -> float:
        """The time from which on no more than this share of the requests is answered wrongly.

        Not a number where one answer alone would be more than that.
        """
        limit = share * self.rate
        if limit * BIN < 1:
            return math.nan
        last = max((i for i, wrong in enumerate(self.wrong) if wrong > limit), default=-1)
        return (last + 1) * BIN


_ARRIVES, _DONE, _ANSWERS, _LOOKS = range(4)
#: How often a request that waits for another one's read looks for its end, within `read_budget`.
_GLANCES = 8


class _Simulation:
    def __init__(self, places: Sequence[Place], policy: Policy, source: Source, seed: int) -> None:
        self.policy = policy
        self.source = source
        self.begin = -source.settle
        self.reads = 0
        self.bins = [0.0] * (int(HORIZON / BIN) + 2)
        self.steps = [0.0] * len(self.bins)
        self.answers: list[Answer] = []
        self.events: list[tuple[float, int, int, _Isolate, Any]] = []
        self.sequence = 0
        self.isolates = [
            _Isolate(number, place, seed, self.begin - _age(random.Random(f"age {number} {seed}"), place.rate, policy))
            for number, place in enumerate(places)
        ]

    def push(self, at: float, kind: int, isolate: _Isolate, what: Any) -> None:
        self.sequence += 1
        heappush(self.events, (at, self.sequence, kind, isolate, what))

    # Requests: drawn where they matter, or, to be compared one by one, given.

    def next(self, isolate: _Isolate, now: float, matters: float) -> None:
        """Schedule the first request after `now` that is not before `matters`."""
        if isolate.arrivals is not None:
            isolate.request += 1
            if isolate.request < len(isolate.arrivals):
                self.push(isolate.arrivals[isolate.request], _ARRIVES, isolate, isolate.token)
            return
        isolate.token += 1
        isolate.since, isolate.until = now, max(now, matters)
        self.push(isolate.until + isolate.draw.expovariate(isolate.rate), _ARRIVES, isolate, isolate.token)

    def matters(self, isolate: _Isolate, now: float) -> float:
        """The time of the first request that does more than answer with what is held."""
        if now < isolate.read_at + self.policy.fresh_for:
            return isolate.read_at + self.policy.fresh_for
        blocked = max(isolate.lease_until, isolate.retry_at)
        first = max(isolate.read_at + self.policy.stale_for, isolate.retry_at)
        if first <= now and isolate.waited_until <= now < isolate.first_until:
            return isolate.first_until
        return min(blocked, first)

    def count(self, isolate: _Isolate, now: float) -> None:
        """Account for the requests that were not played."""
        since, end = isolate.since, min(isolate.until, now)
        isolate.since = now
        if self.policy.patient_after < math.inf and end > since:
            isolate.asked_at = max(isolate.asked_at, end - isolate.silences.expovariate(isolate.rate))
        begin = max(since, 0.0)
        if isolate.new or end <= begin or isolate.arrivals is not None:
            return
        self.spread(begin, min(end, HORIZON), isolate.rate)
        at = end - isolate.draw.expovariate(isolate.rate)
        if at > begin:
            isolate.last_wrong = max(isolate.last_wrong, at)

    def spread(self, begin: float, end: float, rate: float) -> None:
        """Wrong answers at this rate, from here to there. Whole steps are kept as differences, which `run` adds up."""
        if end <= begin:
            return
        first, last = int(begin / BIN), int(end / BIN)
        if first == last:
            self.bins[first] += rate * (end - begin) / BIN
            return
        self.bins[first] += rate * (first + 1 - begin / BIN)
        self.bins[last] += rate * (end / BIN - last)
        self.steps[first + 1] += rate
        self.steps[last] -= rate

    def answer(self, isolate: _Isolate, request: int, now: float) -> None:
        if isolate.arrivals is not None:
            self.answers.append(Answer(isolate.number, request, now, isolate.new))
        if isolate.new or now <= 0:
            return
        isolate.last_wrong = max(isolate.last_wrong, now)
        if now < HORIZON:
            self.bins[int(now / BIN)] += 1 / BIN

    # The state machine of `SnapshotCache`.

    def read(self, isolate: _Isolate, now: float) -> float:
        """Begin a read. Gives how long it takes."""
        found = self.source.read(isolate.location, now, isolate.draw)
        self.reads += now < 0
        ok = found.latency < self.policy.kv_timeout
        takes = found.latency if ok else self.policy.kv_timeout
        self.push(now + takes, _DONE, isolate, (now, found.new, ok))
        return takes

    def arrives(self, isolate: _Isolate, now: float) -> None:
        policy = self.policy
        age = now - isolate.read_at
        patient = now - isolate.asked_at >= policy.patient_after
        isolate.asked_at = now
        request = isolate.request
        if age >= policy.stale_for and now >= isolate.retry_at:
            if now >= isolate.first_until:
                budget = policy.kv_timeout if patient else policy.read_budget
                failed_lately = now < isolate.retry_at + policy.stale_for
                isolate.first_until = now + policy.kv_timeout
                isolate.waited_until = now if failed_lately else now + budget
                # Later than the read that it waits for, where both are at the same time.
                takes = self.read(isolate, now)
                self.push(now + min(takes, budget), _ANSWERS, isolate, request)
            else:
                self.looks(isolate, now, request, isolate.ended, isolate.waited_until - now)
            self.next(isolate, now, max(now, self.matters(isolate, now)))
            return
        if policy.fresh_for <= age < policy.stale_for and now >= max(isolate.lease_until, isolate.retry_at):
            isolate.lease_until = now + policy.lease_for
            if isolate.losses.random() >= policy.lost:
                self.read(isolate, now)
        self.answer(isolate, request, now)
        self.next(isolate, now, self.matters(isolate, now))

    def looks(self, isolate: _Isolate, now: float, request: int, ended: int, left: float) -> None:
        """A request that waits for another one's read looks whether that has ended, for so much longer at most."""
        if left <= 0 or isolate.ended != ended:
            self.answer(isolate, request, now)
            return
        pause = min(left, self.policy.read_budget / _GLANCES)
        self.push(now + pause, _LOOKS, isolate, (request, ended, left - pause))

    def done(self, isolate: _Isolate, now: float, started: float, new: bool, ok: bool) -> None:
        isolate.lease_until = isolate.first_until = -math.inf
        isolate.ended += 1
        if started >= isolate.read_at:
            if not ok or (isolate.new and not new and not self.policy.announced):
                isolate.retry_at = now + self.policy.retry_for
            else:
                isolate.read_at = started
                isolate.new = isolate.new or new
                isolate.retry_at = -math.inf
        if isolate.arrivals is not None:
            return
        if isolate.new:
            isolate.token += 1
            self.source.keep(isolate.location, 1 / (self.policy.fresh_for + 1 / isolate.rate))
        else:
            self.next(isolate, now, self.matters(isolate, now))

    def run(self) -> Outcome:
        """Play until every isolate has the new version, or has no more requests."""
        for isolate in self.isolates:
            if isolate.arrivals is None:
                self.next(isolate, self.begin, self.matters(isolate, self.begin))
        while self.events:
            now, _, kind, isolate, what = heappop(self.events)
            if kind == _ARRIVES:
                if what == isolate.token:
                    self.count(isolate, now)
                    self.arrives(isolate, now)
            elif kind == _DONE:
                self.count(isolate, now)
                self.done(isolate, now, *what)
            elif kind == _LOOKS:
                self.looks(isolate, now, *what)
            else:
                self.answer(isolate, what, now)
        places = [Place(isolate.location, isolate.rate) for isolate in self.isolates]
        last_wrong = [isolate.last_wrong for isolate in self.isolates]
        wrong = [apart + whole for apart, whole in zip(self.bins, accumulate(self.steps), strict=True)]
        return Outcome(places, last_wrong, wrong, self.reads / -self.begin, self.answers)


def _age(draw: random.Random, rate: float, policy: Policy) -> float:
    """How old a snapshot is at a moment that nobody chose."""
    if draw.random() < policy.fresh_for / (policy.fresh_for + 1 / rate):
        return draw.random() * policy.fresh_for
    return policy.fresh_for + draw.expovariate(rate)


def simulate(places: Sequence[Place], policy: Policy, source: Source, seed: int) -> Outcome:
    """One write, and the world after it until its last isolate has seen it."""
    return _Simulation(places, policy, source, seed).run()


# --- The real cache, on a clock of its own ----------------------------------------------------------------------------


class _Selector(selectors.DefaultSelector):
    """Never waits: what would have been waited for is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulated loop has nothing left to wait for")
        self.now += max(timeout, 0.0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now


@dataclass(frozen=True, slots=True)
class Skew:
    """How far apart clocks are: seconds ahead or behind, and the part by which they are too fast or slow; at most."""

    offset: float = 0.0
    drift: float = 0.0


class _Store:
    """What a source answers, as a KV namespace."""

    def __init__(self, source: Source, location: int, draw: random.Random, now: Callable[[], float]) -> None:
        self._source = source
        self._location = location
        self._draw = draw
        self._now = now

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
        found = self._source.read(self._location, self._now(), self._draw)
        await asyncio.sleep(found.latency)
        return _entries(keys, found.new)

    async def list_keys(self, prefix: str) -> list[str]:
        return [key for key in (VERSION_MAP, ROLLOUT) if key.startswith(prefix)]


class _Url:
    """What a source answers, as the number that is announced; its latency holds that of the map's own key."""

    def __init__(self, source: Source, location: int, draw: random.Random, now: Callable[[], float]) -> None:
        self._source = source
        self._location = location
        self._draw = draw
        self._now = now

    async def latest(self) -> str:
        found = self._source.read(self._location, self._now(), self._draw)
        await asyncio.sleep(found.latency)
        return json.dumps({"generation": 2 if found.new else 1})


class Primed:
    """Answers at once: with the old version, and with the map of the new one where that is asked for by its number."""

    async def latest(self) -> str:
        return json.dumps({"generation": 1})

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
        return _entries(keys, version_map_key(2) in keys)

    async def list_keys(self, prefix: str) -> list[str]:
        return [VERSION_MAP] if VERSION_MAP.startswith(prefix) else []


def _entries(keys: Sequence[str], new: bool) -> dict[str, Entry | None]:
    text = json.dumps({"my-prompt": {"prod": "v1.0.0" if new else "v1.1.0"}})
    entry = Entry(text, {"generation": 2 if new else 1, "revision": "new" if new else "old"})
    return {key: entry if is_version_map(key) else None for key in keys}


def settings_of(policy: Policy) -> Settings:
    """The Worker's settings with this policy's numbers; with an announced number, KV is read for that alone."""
    return Settings(
        fresh_for=1e6 if policy.announced else policy.fresh_for,
        stale_for=1e6 if policy.announced else policy.stale_for,
        generation_fresh_for=policy.fresh_for,
        generation_stale_for=policy.stale_for,
        read_budget=policy.read_budget,
        kv_timeout=policy.kv_timeout,
        lease_for=policy.lease_for,
        retry_for=policy.retry_for,
        # Of 0 the model makes always, and the Worker never.
        patient_after=0.0 if policy.patient_after == math.inf else max(policy.patient_after, 1e-9),
    )


def arrivals_of(places: Sequence[Place], seed: int, begin: float, end: float) -> list[list[float]]:
    """Every request of every isolate in that time."""
    found = []
    for number, place in enumerate(places):
        draw = random.Random(f"arrivals {number} {seed}")
        times = [begin]
        while times[-1] < end:
            times.append(times[-1] + draw.expovariate(place.rate))
        found.append(times[1:-1])
    return found


def play_model(
    places: Sequence[Place], policy: Policy, source: Source, arrivals: Sequence[Sequence[float]], seed: int
) -> Outcome:
    """Every one of these requests, through the model."""
    simulation = _Simulation(places, policy, source, seed)
    for isolate, times in zip(simulation.isolates, arrivals, strict=True):
        isolate.read_at = isolate.asked_at = simulation.begin
        isolate.arrivals = times
        if times:
            simulation.push(times[0], _ARRIVES, isolate, isolate.token)
    return simulation.run()


def play_real(
    places: Sequence[Place],
    policy: Policy,
    source: Source,
    arrivals: Sequence[Sequence[float]],
    seed: int,
    skew: Skew = Skew(),
) -> list[Answer]:
    """Every one of these requests, through the Worker's own `SnapshotCache`."""
    loop = SimulatedLoop()
    answers: list[Answer] = []
    begin = -source.settle

    def now() -> float:
        return loop.time() + begin

    async def isolate(number: int, place: Place) -> None:
        clocks = random.Random(f"clock {number} {seed}")
        offset = clocks.uniform(-skew.offset, skew.offset)
        speed = 1 + clocks.uniform(-skew.drift, skew.drift)
        clock = Clock(lambda: loop.time() * speed + offset, lambda: 1.7e9 + loop.time() * speed + offset)
        cache = SnapshotCache(settings_of(policy), clock)
        draw = random.Random(f"isolate {number} {seed}")
        store = Primed() if policy.announced else _Store(source, place.location, draw, now)
        url = _Url(source, place.location, draw, now) if policy.announced else None
        losses = random.Random(f"losses {number} {seed}")
        tasks: set[asyncio.Future[None]] = set()

        def behind(work: Awaitable[None]) -> None:
            # As on the platform: what is lost never begins. A read that a request waited for has begun.
            if asyncio.iscoroutine(work) and losses.random() < policy.lost:
                work.close()
                return
            task = asyncio.ensure_future(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def request(index: int) -> None:
            view = await cache.view(store, behind, url)
            answers.append(Answer(number, index, now(), view.held.snapshot.generation == 2))

        await cache.view(Primed(), behind, Primed() if url else None)
        requests = []
        for index, at in enumerate(arrivals[number]):
            await asyncio.sleep(at - now())
            requests.append(asyncio.ensure_future(request(index)))
        await asyncio.gather(*requests)
        await asyncio.gather(*tasks)

    async def all_of_them() -> None:
        await asyncio.gather(*(isolate(number, place) for number, place in enumerate(places)))

    try:
        loop.run_until_complete(all_of_them())
    finally:
        loop.close()
    return answers


class Agreement(NamedTuple):
    """The model against the real cache: answers compared, wrong ones among them, and how many differ."""

    answers: int
    wrong: int
    differing: int
    #: The largest difference between the times at which an isolate answered wrongly for the last time.
    apart: float


def agreement(
    policy: Policy,
    source: Callable[[], Source],
    seed: int,
    *,
    isolates: int = 40,
    skew: Skew = Skew(),
) -> Agreement:
    """Play a small world both ways. `source` makes a new source each time, since sources remember."""
    places = [Place(place.location % 8, min(place.rate, 4.0)) for place in world(isolates, seed)]
    arrivals = arrivals_of(places, seed, -source().settle, 200.0)
    model = play_model(places, policy, source(), arrivals, seed).answers
    real = play_real(places, policy, source(), arrivals, seed, skew)
    ours = {(answer.isolate, answer.request): answer for answer in model}
    theirs = {(answer.isolate, answer.request): answer for answer in real}
    differing = sum(
        key not in theirs or theirs[key].new != answer.new or abs(theirs[key].at - answer.at) > 1e-6
        for key, answer in ours.items()
    )
    wrong = sum(answer.at > 0 and not answer.new for answer in real)
    apart = max(
        abs(_last_wrong(model, number) - _last_wrong(real, number)) for number in range(isolates)
    )  # fmt: skip
    return Agreement(len(real), wrong, differing + abs(len(ours) - len(theirs)), apart)


def _last_wrong(answers: Sequence[Answer], isolate: int) -> float:
    return max((a.at for a in answers if a.isolate == isolate and not a.new and a.at > 0), default=0.0)


# --- A new version whose content was asked for too early --------------------------------------------------------------


def missing_content(seed: int, *, tiers: int = 2, ttl: float = 30.0, previews: float = 1 / 60) -> list[float]:
    """Seconds in which each location knows a new version and not its content, because a miss is cached too.

    The content is written 2 s before the map. Somebody asked for it too early, `previews` times a second a location;
    the map is in that location's cache since a time that nobody chose. A rollback goes to a content that exists:
    nothing here applies to it.
    """
    draw = random.Random(f"missing {seed}")
    kv = Kv(seed, tiers, ttl)
    gaps = []
    for location in range(LOCATIONS):
        lag = kv.lag[location % REGIONS]
        asked = -2.0 - draw.expovariate(previews)
        content = max(-2.0 + lag, asked + sum(draw.uniform(0.5, 1.0) * ttl for _ in range(tiers)))
        known = lag + sum(draw.random() * ttl for _ in range(tiers))
        gaps.append(max(0.0, content - known))
    return gaps


# --- Prices -----------------------------------------------------------------------------------------------------------


class Price(NamedTuple):
    """US dollars a million, and what a month includes."""

    million: float
    included: float

    def of(self, count: float) -> float:
        """Dollars for so many in a month."""
        return max(0.0, count - self.included) * self.million / 1e6


KV_READ = Price(0.50, 10e6)
OBJECT_REQUEST = Price(0.15, 1e6)
OBJECT_GB_S = Price(12.50, 400e3)
BUCKET_READ = Price(0.36, 10e6)
CPU_MS = Price(0.02, 30e6)
#: The map and the percentages; lists of versions that ranges asked for come on top.
KEYS = 2


def cpu_cost(refreshes: float) -> float:
    """Dollars a month for the CPU of so many refreshes a month."""
    return CPU_MS.of(refreshes * ASSUMED.refresh_cpu_ms)


def kv_cost(refreshes: float) -> float:
    """Dollars a month for so many refreshes of the snapshot from KV; a bulk get is billed by its keys."""
    return KV_READ.of(refreshes * KEYS)


def object_cost(refreshes: float) -> float:
    """Dollars a month for asking a Durable Object instead; it is never idle, so it is billed for the whole month."""
    return OBJECT_REQUEST.of(refreshes) + OBJECT_GB_S.of(MONTH * 0.128)


def bucket_cost(ttl: float) -> float:
    """Dollars a month for filling the zone's cache from a bucket, if every location had to go there itself."""
    return BUCKET_READ.of(LOCATIONS * MONTH / ttl)


# --- What is run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tables: several worlds of one kind. Times in seconds, of the middle world where not the worst."""

    name: str
    isolates: int
    worlds: int
    #: The part of the isolates that gave a wrong answer at all.
    wrong_isolates: float
    #: When half, 90 %, 99 % of the isolates had answered wrongly for the last time.
    p50: float
    p90: float
    p99: float
    #: When the last isolate had, and in the worst world.
    last: float
    worst: float
    #: When no more than half, 1 %, 0.1 % of the requests were answered wrongly.
    below_half: float
    below_1_percent: float
    below_0_1_percent: float
    #: The last wrong answer of isolates with more than one request a second; between that and one a minute; with fewer.
    busy: float
    middling: float
    quiet: float
    reads_per_second: float


Make = Callable[[int], Source]


def measured(name: str, isolates: int, policy: Policy, make: Make) -> tuple[Row, list[Outcome]]:
    """Play as many worlds of this size as `WORLDS` says."""
    outcomes = [simulate(world(isolates, seed), policy, make(seed), seed) for seed in range(WORLDS[isolates])]

    def middle(of: Callable[[Outcome], float]) -> float:
        return sorted(map(of, outcomes))[len(outcomes) // 2]

    def among(low: float, high: float) -> float:
        return middle(
            lambda outcome: max(
                (at for at, place in zip(outcome.last_wrong, outcome.places, strict=True) if low <= place.rate < high),
                default=0.0,
            )
        )

    row = Row(
        name,
        isolates,
        len(outcomes),
        middle(lambda outcome: sum(at > 0 for at in outcome.last_wrong) / isolates),
        middle(lambda outcome: quantile(outcome.last_wrong, 0.5)),
        middle(lambda outcome: quantile(outcome.last_wrong, 0.9)),
        middle(lambda outcome: quantile(outcome.last_wrong, 0.99)),
        middle(lambda outcome: max(outcome.last_wrong)),
        max(max(outcome.last_wrong) for outcome in outcomes),
        middle(lambda outcome: outcome.below(0.5)),
        middle(lambda outcome: outcome.below(0.01)),
        middle(lambda outcome: outcome.below(0.001)),
        among(1.0, math.inf),
        among(1 / 60, 1.0),
        among(0.0, 1 / 60),
        middle(lambda outcome: outcome.reads_per_second),
    )
    return row, outcomes


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def kv(tiers: int = 2) -> Make:
    """KV, one for each seed."""
    return lambda seed: Kv(seed, tiers)


#: How many worlds of each size.
WORLDS = {10: 20, 100: 10, 1000: 5, 5000: 3}
LARGEST = max(WORLDS)
PATIENT = replace(OURS, patient_after=60.0)

POLICIES: dict[str, tuple[Policy, Make]] = {
    "ours, KV as documented (two tiers)": (OURS, kv()),
    "ours, KV at its best (one tier)": (OURS, kv(1)),
    "ours, isolates gone after 15 idle minutes": (replace(OURS, patient_after=900.0), kv()),
    "ours, patient after 60 s": (PATIENT, kv()),
    "a 60 s client cache": (MINUTE, Authority),
    "Conductor's 3600 s": (HOUR, kv()),
}

#: What reads a tiny thing from a cache nearby can afford to wait for sooner.
QUICK = replace(OURS, fresh_for=0.5, stale_for=1.0, patient_after=5.0)
#: The same, where a new number is followed by a second read, which has a timeout of its own.
TWICE = replace(QUICK, kv_timeout=2.0, announced=True)

OPTIONS: dict[str, tuple[Policy, Make]] = {
    "as it is, 5 s / 30 s": (OURS, kv()),
    "the same, patient after 60 s": (PATIENT, kv()),
    "(a) Durable Object, 1 s / 30 s": (replace(QUICK, fresh_for=1.0, stale_for=30.0), Authority),
    "(a) Durable Object, 1 s / 2 s": (replace(QUICK, fresh_for=1.0, stale_for=2.0), Authority),
    "(b) map at a purged URL, 0.5 s / 1 s": (QUICK, lambda seed: Purged(seed, beacon=False)),
    "(c) number in KV, 0.5 s / 1 s": (QUICK, kv()),
    "(b+c) number at a purged URL, 1 s / 30 s": (replace(TWICE, fresh_for=1.0, stale_for=30.0), Purged),
    "(b+c) 1 s / 2 s": (replace(TWICE, fresh_for=1.0, stale_for=2.0), Purged),
    "(b+c) 0.5 s / 1 s": (TWICE, Purged),
    "(b+c) 0.25 s / 0.5 s": (replace(TWICE, fresh_for=0.25, stale_for=0.5), Purged),
    "(b+c) 0.5 s / 1 s, purged once": (TWICE, lambda seed: Purged(seed, purges=(0.0,))),
    "(b+c) 0.5 s / 1 s, one tier": (TWICE, lambda seed: Purged(seed, tiers=1)),
    "(b+c) 0.5 s / 1 s, never patient": (replace(TWICE, patient_after=math.inf), Purged),
    "(b+c) 0.5 s / 1 s, always patient": (replace(TWICE, patient_after=0.0), Purged),
}
#: The one that is also drawn.
CHOSEN = "(b+c) 0.5 s / 1 s"


def option_cost(name: str, refreshes: float, usual: float) -> float:
    """Dollars a month of one way, from its refreshes a second and from those of the snapshot, which go on."""
    month, snapshots = refreshes * MONTH, usual * MONTH
    cpu = cpu_cost(month + snapshots)
    if name.startswith("(a)"):
        return object_cost(month) + kv_cost(snapshots) + cpu
    if name.startswith("(b"):
        return bucket_cost(30.0) + kv_cost(snapshots) + cpu
    if name.startswith("(c)"):
        return KV_READ.of(month + snapshots * KEYS) + cpu
    return kv_cost(month) + cpu_cost(month)


def patience(places: Sequence[Place], after: float) -> float:
    """The part of all requests that find a snapshot older than this, which is how many could be made to wait."""
    return sum(place.rate * math.exp(-place.rate * after) for place in places) / sum(place.rate for place in places)


def experiments() -> dict[str, Any]:
    """Everything that is measured, as JSON; `curves` holds what the plots show."""
    began = time.perf_counter()
    sizes: list[Row] = []
    curves: dict[str, dict[str, list[float]]] = {}
    for name, (policy, make) in POLICIES.items():
        for isolates in WORLDS:
            row, outcomes = measured(name, isolates, policy, make)
            sizes.append(row)
            if isolates == LARGEST:
                curves[name] = _curve(outcomes[0])
    fresh = []
    for seconds in (1.0, 2.0, 5.0, 10.0, 30.0):
        policy = replace(OURS, fresh_for=seconds, stale_for=max(OURS.stale_for, 2 * seconds))
        row, _ = measured(f"FRESH_FOR {seconds:g}", 1000, policy, kv())
        month = refreshes_per_second(world(1000, 0), seconds) * MONTH
        fresh.append(
            asdict(row)
            | {"fresh_for": seconds, "counted": row.reads_per_second, "expected": month / MONTH}
            | {"kv_reads": month * KEYS, "dollars": kv_cost(month), "cpu_dollars": cpu_cost(month)}
            | {f"dollars_{n}_busy": kv_cost(n / seconds * MONTH) for n in (10, 300, 5000)}
        )
    lost = []
    for part in (0.0, 0.01, 0.1, 0.5, 0.9):
        row, _ = measured(f"{part:.0%}", 1000, replace(PATIENT, lost=part), kv())
        lost.append(asdict(row))
    options = []
    usual = {each: refreshes_per_second(world(1000, 0), each) for each in (5.0, 30.0)}
    for name, (policy, make) in OPTIONS.items():
        row, outcomes = measured(name, 1000, policy, make)
        costs = {f"dollars_{each:g}": option_cost(name, row.reads_per_second, usual[each]) for each in usual}
        options.append(asdict(row) | costs)
        if name == CHOSEN:
            curves[f"{name}: a number at a purged URL"] = _curve(outcomes[0])
    gaps = [gap for seed in range(5) for gap in missing_content(seed)]
    return {
        "assumptions": asdict(ASSUMED),
        "kv_bound": [Kv(seed).bound for seed in range(WORLDS[LARGEST])],
        "patience": {f"{after:g}": patience(world(LARGEST, 0), after) for after in (1.0, 5.0, 30.0, 60.0, 900.0)},
        "sizes": [asdict(row) for row in sizes],
        "fresh_for": fresh,
        "lost": lost,
        "options": options,
        "missing_content": {
            "share": sum(gap > 0 for gap in gaps) / len(gaps),
            "p50": quantile(gaps, 0.5),
            "p99": quantile(gaps, 0.99),
            "max": max(gaps),
        },
        "agreement": agreements(),
        "curves": curves,
        "seconds": time.perf_counter() - began,
    }


def agreements() -> dict[str, dict[str, float]]:
    """The model against the real cache, in all that can go wrong."""
    hard = replace(OURS, lost=0.3)
    slow = replace(ASSUMED, central=(0.4, 1.2), regional=(0.1, 1.0))
    cases = {
        "usual": agreement(OURS, lambda: Kv(1), 1),
        "30 % lost": agreement(hard, lambda: Kv(2), 2),
        "slow, timing out, 30 % lost": agreement(hard, lambda: Kv(3, assumed=slow), 3),
        "FRESH_FOR 1": agreement(replace(OURS, fresh_for=1.0), lambda: Kv(4), 4),
        "clocks an hour apart": agreement(hard, lambda: Kv(5, assumed=slow), 5, skew=Skew(offset=3600.0)),
        "clocks 200 ppm fast or slow": agreement(OURS, lambda: Kv(6), 6, skew=Skew(drift=200e-6)),
        "patient after 20 s, slow": agreement(replace(hard, patient_after=20.0), lambda: Kv(7, assumed=slow), 7),
        "a number at a purged URL": agreement(TWICE, lambda: Purged(8), 8),
        "the same, slow, 30 % lost, purged once": agreement(
            replace(TWICE, lost=0.3, kv_timeout=1.0), lambda: Purged(9, assumed=slow, purges=(0.0,)), 9
        ),
    }
    return {name: case._asdict() for name, case in cases.items()}


#: Where the plots are drawn: from a tenth of a second to two hours, evenly on a logarithmic scale.
_TIMES = [0.1 * (HORIZON / 0.1) ** (i / 120) for i in range(121)]


def _curve(outcome: Outcome) -> dict[str, list[float]]:
    last = sorted(outcome.last_wrong)
    return {
        "time": [round(at, 3) for at in _TIMES],
        "requests": [abs(round(outcome.share_wrong(min(at, HORIZON - BIN)), 6)) for at in _TIMES],
        "isolates": [round(sum(wrong > at for wrong in last) / len(last), 6) for at in _TIMES],
    }


# --- Output -----------------------------------------------------------------------------------------------------------


_FRESH_HEAD = (
    "FRESH_FOR",
    "refreshes/s, counted",
    "by formula",
    "KV reads/month",
    "$/month",
    "CPU $",
    "$ 10 busy",
    "$ 300 busy",
    "$ 5,000 busy",
    "busy: last",
    "99 % of requests right",
)
_OPTIONS_HEAD = (
    "fresh / stale",
    "p50",
    "p99",
    "last",
    "worst",
    "busy: last",
    "half of requests right",
    "99 %",
    "refreshes/s",
    "$/month",
    "$ with FRESH_FOR 30",
)


def tables(found: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["### After a write, how long is the old version answered?", ""]
    lines += ["Seconds; of 20, 10, 5, 3 worlds the middle one, and the worst for its last isolate.", ""]
    lines += _table(
        ["", "isolates", "ever wrong", "p50", "p90", "p99", "last", "worst", "99 % of requests right", "99.9 %"],
        [
            [row["name"], row["isolates"], f"{row['wrong_isolates']:.0%}"]
            + [_seconds(row[key]) for key in ("p50", "p90", "p99", "last", "worst")]
            + [_seconds(row[key]) for key in ("below_1_percent", "below_0_1_percent")]
            for row in found["sizes"]
        ],
    )
    lines += ["", "### By how busy an isolate is", "", "The last wrong answer, in seconds; 5,000 isolates.", ""]
    lines += _table(
        ["", "more than 1 request/s", "1/s to 1/min", "fewer than 1/min"],
        [
            [row["name"], *(_seconds(row[key]) for key in ("busy", "middling", "quiet"))]
            for row in found["sizes"]
            if row["isolates"] == LARGEST
        ],
    )
    lines += ["", "### What FRESH_FOR costs and brings", "", "1,000 isolates of all rates, then n busy ones.", ""]
    lines += _table(
        _FRESH_HEAD,
        [
            [f"{row['fresh_for']:g} s", f"{row['counted']:.1f}", f"{row['expected']:.1f}"]
            + [f"{row['kv_reads'] / 1e6:.0f} M", f"{row['dollars']:.0f}", f"{row['cpu_dollars']:.1f}"]
            + [f"{row[f'dollars_{n}_busy']:.0f}" for n in (10, 300, 5000)]
            + [_seconds(row["busy"]), _seconds(row["below_1_percent"])]
            for row in found["fresh_for"]
        ],
    )
    lines += ["", "### Lost refreshes", ""]
    lines += ["1,000 isolates, patient after 60 s; a part of what is handed to waitUntil never runs.", ""]
    lines += _table(
        ["lost", "p50", "p99", "busy: last", "1/s to 1/min: last", "99 % of requests right"],
        [
            [row["name"], *(_seconds(row[key]) for key in ("p50", "p99", "busy", "middling", "below_1_percent"))]
            for row in found["lost"]
        ],
    )
    lines += ["", "### Ways to less than a second", "", "1,000 isolates; the KV reads that stay are in the price.", ""]
    lines += _table(
        _OPTIONS_HEAD,
        [
            [
                row["name"],
                *(
                    _seconds(row[key])
                    for key in ("p50", "p99", "last", "worst", "busy", "below_half", "below_1_percent")
                ),
                f"{row['reads_per_second']:.0f}",
                f"{row['dollars_5']:.0f}",
                f"{row['dollars_30']:.0f}",
            ]
            for row in found["options"]
        ],
    )
    gap = found["missing_content"]
    lines += ["", "### A new version whose content was asked for before it was published", ""]
    lines.append(
        f"{gap['share']:.0%} of locations know the version before its content: p50 {_seconds(gap['p50'])} s, "
        f"p99 {_seconds(gap['p99'])} s, at most {_seconds(gap['max'])} s. A rollback has no such gap."
    )
    lines += ["", "### Who would wait, if old snapshots were waited for longer", ""]
    lines.append(
        "; ".join(f"older than {after} s: {share:.4%} of requests" for after, share in found["patience"].items()) + "."
    )
    lines += ["", "### The model against the real SnapshotCache, answer by answer", ""]
    lines += _table(
        ["", "answers", "wrong ones", "differing", "last wrong answer apart by"],
        [
            [name, f"{row['answers']:,}", f"{row['wrong']:,}", row["differing"], f"{row['apart'] * 1000:.3f} ms"]
            for name, row in found["agreement"].items()
        ],
    )
    return "\n".join(lines) + "\n"


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(map(str, line))} |" for line in (head, ["---"] * len(head), *rows)]


_COLOURS = ("#1b6ca8", "#7fb2d9", "#8a8a8a", "#2a9d5c", "#d98c1f", "#b3382c", "#6b4fa0")


def svg(found: Mapping[str, Any]) -> str:
    """Two plots over the time since the write: requests answered wrongly, and isolates that still will."""
    curves = found["curves"]
    width, height, left, top = 460, 260, 56, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * (width + left) + 40}" height="{height + 170}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for panel, (key, title) in enumerate(
        (("requests", "requests answered with the old version"), ("isolates", "isolates that will answer it again"))
    ):
        x0 = left + panel * (width + left + 20)
        parts.append(f'<text x="{x0}" y="{top - 14}" font-size="13">{title}</text>')
        for percent in (0, 25, 50, 75, 100):
            y = top + height * (1 - percent / 100)
            parts.append(f'<line x1="{x0}" x2="{x0 + width}" y1="{y}" y2="{y}" stroke="#ddd"/>')
            parts.append(f'<text x="{x0 - 6}" y="{y + 4}" text-anchor="end">{percent} %</text>')
        for seconds, label in ((0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h")):
            x = x0 + width * math.log(seconds / 0.1) / math.log(HORIZON / 0.1)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + height}" stroke="#eee"/>')
            parts.append(f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{label}</text>')
        for colour, curve in zip(_COLOURS, curves.values(), strict=True):
            points = " ".join(
                f"{x0 + width * i / (len(curve[key]) - 1):.1f},{top + height * (1 - min(share, 1)):.1f}"
                for i, share in enumerate(curve[key])
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for i, (colour, name) in enumerate(zip(_COLOURS, curves, strict=True)):
        x, y = left + (i % 3) * 340, top + height + 48 + (i // 3) * 22
        parts.append(f'<rect x="{x}" y="{y - 9}" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 24}" y="{y - 3}">{name}</text>')
    parts.append(
        f'<text x="{left}" y="{top + height + 118}">5,000 isolates in 300 locations, one write at 0; '
        "the purged URL with 1,000. Time on a logarithmic scale.</text></svg>"
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    """Run everything and write what was asked for."""
    parser = argparse.ArgumentParser(description="A rollback's way to the whole world, simulated.")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--svg", type=Path, help="write the two plots here")
    given = parser.parse_args()
    found = experiments()
    print(tables(found))
    print(f"{found['seconds']:.1f} s")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if given.svg:
        given.svg.write_text(svg(found), "utf-8")


if __name__ == "__main__":
    main()
