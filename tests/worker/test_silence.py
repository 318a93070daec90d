"""Where nothing answers any more: who waits, for how long, and how many reads begin. Time is simulated."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from tests.worker.fakes import FakeStore
from worker.clock import Clock
from worker.kv import Entry
from worker.settings import Settings
from worker.snapshots import SnapshotCache


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


class Said:
    """A GENERATION_URL that answers at once."""

    async def latest(self) -> str:
        return '{"generation": 1}'


def primed() -> FakeStore:
    """A KV that answers at once."""
    store = FakeStore()
    store.publish({"my-prompt": {"prod": "v1.0.0"}}, 1)
    return store


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

        await cache.view(primed(), behind, Said() if announced else None)
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
    assert max(waited) <= Settings().read_budget + 1e-6
    if announced:
        assert 40 <= len(stalling.heard) <= 46
    assert len(waited) <= (80 if announced else 35)


def test_a_number_and_a_snapshot_that_are_both_too_old_are_waited_for_within_one_budget() -> None:
    stalling = Stalling()
    (wait,) = waits_where_nothing_answers(stalling, True, [3600.0])
    assert wait == pytest.approx(Settings().read_budget)
    assert stalling.reads == stalling.heard == [3600.0]
