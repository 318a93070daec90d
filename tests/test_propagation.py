"""The laws of the simulated propagation: it agrees with the real cache, and it cannot beat its own bounds."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

# The benchmarks are scripts beside the packages; nothing installs them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.propagation import (
    ASSUMED,
    HOUR,
    KEYS,
    KV_READ,
    MONTH,
    OURS,
    TWICE,
    Assumptions,
    Authority,
    Kv,
    Place,
    Policy,
    Primed,
    Purged,
    SimulatedLoop,
    Skew,
    agreement,
    arrivals_of,
    bound,
    kv_cost,
    missing_content,
    patience,
    play_model,
    play_real,
    refreshes_per_second,
    simulate,
    world,
)
from worker.cache import Clock, SnapshotCache
from worker.kv import Entry
from worker.settings import Settings

#: Reads that always end within the budget.
PROMPT = replace(ASSUMED, local=(0.001, 0.1), regional=(0.005, 0.1), central=(0.010, 0.1))
SLOW = replace(ASSUMED, central=(0.4, 1.2), regional=(0.1, 1.0))


@pytest.mark.parametrize(
    ("policy", "assumed", "skew"),
    [
        (OURS, ASSUMED, Skew()),
        (replace(OURS, lost=0.3), SLOW, Skew()),
        (replace(OURS, fresh_for=0.5, stale_for=1.0), SLOW, Skew()),
        (replace(OURS, lost=0.3), SLOW, Skew(offset=3600.0)),
    ],
)
@pytest.mark.parametrize("seed", [11, 12])
def test_the_model_answers_as_the_real_cache_does(policy: Policy, assumed: Assumptions, skew: Skew, seed: int) -> None:
    found = agreement(policy, lambda: Kv(seed, assumed=assumed), seed, isolates=16, skew=skew)
    assert found.answers > 1000
    assert found.wrong > 20
    assert found.differing == 0


@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_the_model_answers_as_a_cache_does_that_hears_a_number(lost: float) -> None:
    policy = replace(TWICE, lost=lost)
    found = agreement(policy, lambda: Purged(13, assumed=SLOW, purges=(0.0,)), 13, isolates=16)
    assert found.answers > 1000
    assert found.wrong > 20
    assert found.differing == 0


def test_the_model_answers_as_a_patient_cache_does() -> None:
    policy = replace(OURS, patient_after=20.0)
    found = agreement(policy, lambda: Kv(14, assumed=SLOW), 14, isolates=16)
    assert found.differing == 0
    plain = agreement(OURS, lambda: Kv(14, assumed=SLOW), 14, isolates=16)
    assert found.wrong < plain.wrong


class Stalling:
    """A KV, and a GENERATION_URL, that never answer; how often each was asked."""

    def __init__(self) -> None:
        self.reads: list[float] = []
        self.heard: list[float] = []
        self.clock: Callable[[], float] = lambda: 0.0

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
        self.reads.append(self.clock())
        await asyncio.sleep(1e6)
        raise AssertionError(keys)

    async def latest(self) -> str:
        self.heard.append(self.clock())
        await asyncio.sleep(1e6)
        raise AssertionError

    async def list_keys(self, prefix: str) -> list[str]:
        raise AssertionError(prefix)


def waits_where_nothing_answers(stalling: Stalling, announced: bool, pauses: Sequence[float]) -> list[float]:
    """How long each request waits, by the real cache, the next one after so many seconds; nothing answers any more."""
    loop = SimulatedLoop()
    stalling.clock = loop.time
    waits: list[float] = []

    async def play() -> None:
        cache = SnapshotCache(Settings(), Clock(loop.time, loop.time))
        url = stalling if announced else None
        tasks: set[asyncio.Future[None]] = set()

        def behind(work: Awaitable[None]) -> None:
            tasks.add(asyncio.ensure_future(work))

        async def request() -> None:
            began = loop.time()
            await cache.view(stalling, behind, url)
            waits.append(loop.time() - began)

        await cache.view(Primed(), behind, Primed() if announced else None)
        requests = []
        for pause in pauses:
            await asyncio.sleep(pause)
            requests.append(asyncio.ensure_future(request()))
        await asyncio.gather(*requests)

    try:
        loop.run_until_complete(play())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    return waits


@pytest.mark.parametrize("announced", [False, True])
def test_where_nothing_answers_few_requests_wait_and_few_reads_begin(announced: bool) -> None:
    stalling = Stalling()
    waits = waits_where_nothing_answers(stalling, announced, [0.01] * 9000)
    waited = [wait for wait in waits if wait > 1e-9]
    # One read at a time, and RETRY_FOR between its end and the next: a request every two seconds, from STALE_FOR on.
    assert 40 <= len(stalling.reads) <= 46
    assert max(waited) <= OURS.read_budget + 1e-6
    if announced:
        assert 40 <= len(stalling.heard) <= 46
    assert len(waited) <= (80 if announced else 35)


def test_a_number_and_a_snapshot_that_are_both_too_old_are_waited_for_within_one_budget() -> None:
    stalling = Stalling()
    (wait,) = waits_where_nothing_answers(stalling, True, [3600.0])
    assert wait == pytest.approx(OURS.read_budget)
    assert stalling.reads == stalling.heard == [3600.0]


def test_the_comparison_would_see_a_difference() -> None:
    places = [Place(place.location % 8, min(place.rate, 4.0)) for place in world(16, 11)]
    arrivals = arrivals_of(places, 11, -90.0, 200.0)
    model = play_model(places, replace(OURS, fresh_for=8.0), Kv(11), arrivals, 11).answers
    real = play_real(places, OURS, Kv(11), arrivals, 11)
    ours = {(answer.isolate, answer.request): answer.new for answer in model}
    assert any(ours[answer.isolate, answer.request] != answer.new for answer in real)


@pytest.mark.parametrize("tiers", [1, 2])
@pytest.mark.parametrize("fresh_for", [1.0, 5.0])
def test_nobody_is_wrong_after_the_bound_while_reads_are_prompt(tiers: int, fresh_for: float) -> None:
    policy = replace(OURS, fresh_for=fresh_for)
    kv = Kv(3, tiers, assumed=PROMPT)
    found = simulate(world(300, 3), policy, kv, 3)
    assert kv.bound < max(found.last_wrong) + policy.stale_for, "the bound is near what is seen"
    assert max(found.last_wrong) <= bound(policy, kv.bound)


def test_a_quiet_isolate_with_a_slow_read_is_wrong_at_its_next_request_however_late() -> None:
    slow = replace(ASSUMED, local=(0.2, 0.0), regional=(0.2, 0.0), central=(0.2, 0.0))
    places = [Place(location, 1 / 3600) for location in range(50)]
    assert max(simulate(places, OURS, Kv(4, assumed=slow), 4).last_wrong) > 3600
    patient = replace(OURS, patient_after=60.0)
    assert max(simulate(places, patient, Kv(4, assumed=slow), 4).last_wrong) <= bound(
        patient, Kv(4, assumed=slow).bound
    )


def test_lost_refreshes_delay_and_never_beyond_the_bound() -> None:
    busy = [Place(location, 50.0) for location in range(100)]
    kept, lost = (simulate(busy, replace(OURS, lost=part), Kv(5, assumed=PROMPT), 5).last_wrong for part in (0.0, 0.5))
    assert sum(lost) > sum(kept)
    assert max(lost) <= bound(OURS, Kv(5, assumed=PROMPT).bound)


def test_an_hour_takes_an_hour_and_a_purge_a_second() -> None:
    places = world(300, 6)
    hour = simulate(places, HOUR, Kv(6), 6).last_wrong
    assert 3500 < max(hour) <= HOUR.fresh_for + Kv(6).bound + HOUR.kv_timeout
    quick = replace(OURS, fresh_for=0.5, stale_for=1.0, patient_after=0.0)
    prompt = replace(PROMPT, publish_to_purge=0.1, purge=(0.1, 0.0))
    purged = simulate(places, quick, Purged(6, assumed=prompt), 6).last_wrong
    assert max(purged) <= bound(quick, 0.2 + 0.1)
    authority = simulate(places, replace(quick, stale_for=0.5), Authority(6, replace(PROMPT, object_far=0.02)), 6)
    assert max(authority.last_wrong) <= bound(quick, 0.0)


def test_a_purge_that_reaches_a_location_before_its_upper_tier_needs_a_second_one() -> None:
    busy = [Place(location, 50.0) for location in range(300)]
    quick = replace(OURS, fresh_for=0.5, stale_for=1.0)
    once, again = (
        max(simulate(busy, quick, Purged(7, purges=purges), 7).last_wrong) for purges in ((0.0,), (0.0, 2.0))
    )
    assert once > 20
    assert again < 6


def test_shares_start_at_all_and_end_at_nobody() -> None:
    found = simulate(world(200, 8), OURS, Kv(8), 8)
    shares = [found.share_wrong(at) for at in (0.05, 20.0, 40.0, 100.0)]
    assert shares[0] == pytest.approx(1.0, abs=0.15)
    assert shares == sorted(shares, reverse=True)
    assert found.below(0.01) <= max(found.last_wrong) + 0.1


def test_reads_are_as_many_as_the_formula_says() -> None:
    places = world(500, 9)
    assert simulate(places, OURS, Kv(9), 9).reads_per_second == pytest.approx(
        refreshes_per_second(places, OURS.fresh_for), rel=0.03
    )


def test_prices() -> None:
    assert kv_cost(KV_READ.included / KEYS) == 0
    # 300 busy isolates, a refresh of two keys each five seconds: 311 million reads.
    assert kv_cost(300 / 5 * MONTH) == pytest.approx(150.5, abs=0.1)
    assert patience([Place(0, 1.0)], 60.0) == pytest.approx(math.exp(-60))


def test_missing_content_is_bounded_by_the_caches() -> None:
    gaps = missing_content(10)
    assert 0 < max(gaps) < 60
    assert max(missing_content(10, previews=1e-9)) == pytest.approx(0, abs=3)
