"""The announced generation: when it is heard, what is read for it, and that nothing of it makes an answer worse.

The clock is set by hand. KV's own caches lag: `component-versions` is only published where a test says so.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.documents import decode_generation, is_version_map, version_map_key
from resolver.errors import InvalidDocument
from resolver.snapshot import Snapshot
from tests.worker.fakes import Behind, FakeClock, FakeStore, run
from worker import announced, snapshots
from worker.announced import DISTRUST_FOR, HEARD_FRESH_FOR, HEARD_STALE_FOR
from worker.kv import KvFailed, read_latest
from worker.lease import RETRY_FOR
from worker.settings import Settings
from worker.snapshots import SnapshotCache, View

#: The number is heard long before the snapshot is no longer fresh.
SETTINGS = Settings(
    kv_timeout=0.1, read_budget=0.02, generation_url="https://edge.example.com/", fresh_for=60, stale_for=90
)
KEYS = ["component-versions", "rollout-percentage"]


class FakeUrl:
    """A GENERATION_URL in memory."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.mode = "ok"
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def latest(self) -> str:
        self.asked += 1
        answer = f'{{"generation": {self.number}}}'
        if self.mode == "fail":
            raise ConnectionError("no route")
        if self.mode == "stall":
            await asyncio.Event().wait()
        if self.gate is not None:
            await self.gate.wait()
        return answer if self.mode == "ok" else self.mode


class Isolate:
    """A snapshot cache with its surroundings; generation 7 is published and announced."""

    def __init__(self, settings: Settings = SETTINGS, bundled: Snapshot | None = None) -> None:
        self.time = FakeClock()
        self.store = FakeStore()
        self.publish(7)
        self.keep(7)
        self.url = FakeUrl(7)
        self.behind = Behind()
        self.cache = SnapshotCache(settings, self.time.clock(), bundled)

    def publish(self, generation: int) -> None:
        """What KV's caches have."""
        self.store.publish({"my-prompt": {"prod": f"v{generation}.0.0"}}, generation)

    def keep(self, generation: int, says: int | None = None) -> None:
        """What stands under the generation's own key."""
        pointers = {"my-prompt": {"prod": f"v{generation}.0.0"}}
        metadata = {"generation": generation if says is None else says, "revision": f"r{generation}"}
        self.store.put(version_map_key(generation), pointers, metadata)

    def announce(self, generation: int) -> None:
        self.keep(generation)
        self.url.number = generation

    async def view(self, after: float = 0) -> View:
        self.time.time += after
        return await self.cache.view(self.store, self.behind, self.url)

    async def live(self, after: float = 0) -> str:
        return version(await self.view(after))

    async def next(self, after: float = 0) -> str:
        """What the next but one request is answered with: this one's work behind the response is done by then."""
        await self.view(after)
        await self.behind.run()
        return await self.live()


def version(view: View) -> str:
    assert view.held.snapshot.generation is not None
    found = view.held.snapshot.pointers["my-prompt"]["prod"]
    assert found == f"v{view.held.snapshot.generation}.0.0", "pointers and generation are of one map"
    return found


# When it is heard


def test_a_new_isolate_hears_the_number_before_its_first_answer() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.announce(8)
        assert await isolate.live() == "v8.0.0"
        assert isolate.store.reads == [KEYS, ["component-versions/8", "rollout-percentage"]]

    run(scenario())


def test_a_fresh_number_is_not_heard_again() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.announce(8)
        assert await isolate.live(HEARD_FRESH_FOR - 0.01) == "v7.0.0"
        assert (isolate.url.asked, isolate.behind.work, len(isolate.store.reads)) == (1, [], 1)

    run(scenario())


def test_a_stale_number_is_heard_behind_the_response_once() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.announce(8)
        assert [await isolate.live(HEARD_FRESH_FOR), await isolate.live(0.1)] == ["v7.0.0", "v7.0.0"]
        assert (len(isolate.behind.work), isolate.url.asked) == (1, 1)
        await isolate.behind.run()
        view = await isolate.view()
        assert (version(view), view.age, view.stale) == ("v8.0.0", 0, None)
        assert isolate.store.reads[1:] == [["component-versions/8", "rollout-percentage"]]

    run(scenario())


def test_an_old_number_is_heard_before_the_answer() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.announce(8)
        assert await isolate.live(HEARD_STALE_FOR) == "v8.0.0"

    run(scenario())


def test_a_number_that_is_known_costs_no_read_of_kv() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        for _ in range(20):
            assert await isolate.next(HEARD_FRESH_FOR) == "v7.0.0"
        assert (isolate.url.asked, len(isolate.store.reads)) == (21, 1)

    run(scenario())


def test_the_lease_of_a_lost_hearing_expires_and_an_old_number_does_not_wait_for_it() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        await isolate.view(HEARD_FRESH_FOR)
        isolate.behind.lose()
        isolate.announce(8)
        assert await isolate.live(HEARD_FRESH_FOR - 0.01) == "v7.0.0"
        assert isolate.behind.work == []
        assert await isolate.live(0.01) == "v8.0.0"

    run(scenario())


def test_of_a_burst_after_a_pause_one_request_hears_and_all_are_right() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.announce(8)
        isolate.time.time += 3600
        views = await asyncio.gather(*(isolate.view() for _ in range(20)))
        assert {version(view) for view in views} == {"v8.0.0"}
        # The snapshot was too old as well: both are read at once, by one request.
        assert isolate.url.asked == 2
        assert sorted(isolate.store.reads[1:]) == [KEYS, ["component-versions/8", "rollout-percentage"]]

    run(scenario())


def test_a_number_and_a_snapshot_that_are_both_too_old_are_read_together() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.publish(8)
        isolate.url.mode = "stall"
        isolate.time.time += 3600
        # What KV says is not held up by a URL that stalls.
        assert await isolate.live() == "v8.0.0"
        assert len(isolate.behind.work) == 1
        await isolate.behind.run()

    run(scenario())


# What a number says


def test_a_number_below_the_held_one_is_an_old_copy() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.announce(8)
        await isolate.view()
        isolate.url.number = 7
        reads = len(isolate.store.reads)
        for _ in range(5):
            assert await isolate.next(HEARD_FRESH_FOR) == "v8.0.0"
        assert len(isolate.store.reads) == reads
        assert isolate.cache.heard.error is None

    run(scenario())


def test_the_map_before_is_no_failure_while_the_number_says_the_held_one() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.announce(8)
        await isolate.view()
        failures = isolate.cache.failures
        # KV's caches give 7 for as long as they like, even longer than a lower generation is distrusted for.
        for _ in range(20):
            view = await isolate.view(SETTINGS.stale_for)
            assert (version(view), view.age, view.stale, view.held.problems) == ("v8.0.0", 0, None, ())
        assert isolate.cache.failures == failures
        assert isolate.cache.last_error is None
        # And do not read each time: what was read counts as read now.
        reads = len(isolate.store.reads)
        await isolate.view(HEARD_FRESH_FOR / 2)
        assert len(isolate.store.reads) == reads

    run(scenario())


def test_percentages_and_lists_are_taken_from_a_read_whose_map_lags() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.announce(8)
        isolate.store.put("rollout-percentage", "10")
        isolate.store.put("index/my-prompt", [{"version": "v1.0.0"}])
        await isolate.cache.with_lists((await isolate.view()).held, ["my-prompt"], isolate.store)
        isolate.store.put("rollout-percentage", {"*": 90, "bad": "x"})
        isolate.store.put("index/my-prompt", [{"version": "v2.0.0"}])
        view = await isolate.view(SETTINGS.stale_for)
        assert version(view) == "v8.0.0"
        assert view.held.snapshot.rollout is not None
        assert str(view.held.snapshot.rollout.percentage("my-prompt", "prod")) == "90"
        assert view.held.snapshot.indexes == {"my-prompt": ("v2.0.0",)}
        assert [problem.document for problem in view.held.problems] == ["rollout-percentage"]

    run(scenario())


def test_a_lower_generation_that_was_not_announced_is_distrusted_as_ever() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.publish(9)
        await isolate.view()
        isolate.publish(8)
        view = await isolate.view(SETTINGS.stale_for)
        assert version(view) == "v9.0.0"
        assert "generation 8, and 9 is known" in str(view.stale)
        assert await isolate.live(DISTRUST_FOR) == "v8.0.0"

    run(scenario())


def test_a_map_without_a_generation_is_not_written_over_by_a_number() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.publish({"my-prompt": {"prod": "v1.0.0"}})
        isolate.announce(8)
        await isolate.view()
        for _ in range(3):
            view = await isolate.view(HEARD_STALE_FOR)
            assert (view.held.snapshot.pointers["my-prompt"]["prod"], view.stale) == ("v1.0.0", None)
        assert len(isolate.store.reads) == 1

    run(scenario())


def test_of_two_hearings_the_one_that_began_later_wins() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.url.gate = slow = asyncio.Event()
        await isolate.view(HEARD_STALE_FOR)
        isolate.url.gate = None
        isolate.announce(8)
        assert await isolate.live(HEARD_STALE_FOR) == "v8.0.0"
        slow.set()
        await isolate.behind.run()
        assert (await isolate.live(), isolate.cache.heard.number) == ("v8.0.0", 8)

    run(scenario())


def test_an_older_hearing_that_fails_says_nothing_of_a_newer_one() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.url.mode = "stall"
        await isolate.view(HEARD_STALE_FOR)
        isolate.url.mode = "ok"
        isolate.announce(8)
        assert await isolate.live(HEARD_STALE_FOR) == "v8.0.0"
        await isolate.behind.run()
        assert isolate.cache.heard.error is None
        isolate.announce(9)
        assert await isolate.next(HEARD_FRESH_FOR) == "v9.0.0"

    run(scenario())


# What fails


@pytest.mark.parametrize(
    "mode", ["fail", "stall", "", "21", "[]", '{"generation": -1}', '{"generation": 1e400}', "<html>"]
)
def test_a_url_that_fails_leaves_kvs_way_as_it_is(mode: str) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.url.mode = mode
        view = await isolate.view(HEARD_STALE_FOR)
        await isolate.behind.run()
        assert (version(view), view.stale, isolate.cache.last_error) == ("v7.0.0", None, None)
        assert isolate.cache.heard.error
        # It is left alone for RETRY_FOR, whoever comes.
        asked = isolate.url.asked
        await asyncio.gather(*(isolate.view() for _ in range(20)))
        assert isolate.url.asked == asked
        isolate.publish(8)
        assert await isolate.live(SETTINGS.stale_for) == "v8.0.0"
        await isolate.behind.run()
        isolate.url.mode = "ok"
        isolate.announce(9)
        assert await isolate.live(RETRY_FOR) == "v9.0.0"
        assert isolate.cache.heard == (0, 9, None)

    run(scenario())


def test_a_url_that_stalls_holds_one_request_at_a_time() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.url.mode = "stall"
        isolate.time.time += HEARD_STALE_FOR
        waiting = [asyncio.ensure_future(isolate.view()) for _ in range(10)]
        await asyncio.gather(*waiting)
        assert (isolate.url.asked, len(isolate.behind.work)) == (2, 1)
        await isolate.behind.run()
        # From now on it is known: of those that come while one hears, none waits.
        isolate.time.time += RETRY_FOR
        first = asyncio.ensure_future(isolate.view())
        await asyncio.sleep(0)
        await isolate.view()
        assert not first.done()
        await first
        assert isolate.url.asked == 3
        await isolate.behind.run()

    run(scenario())


def test_a_kv_that_is_down_is_the_numbers_error_and_not_the_snapshots() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.announce(8)
        isolate.store.mode = "fail"
        view = await isolate.view(HEARD_STALE_FOR)
        assert (version(view), view.stale) == ("v7.0.0", None)
        assert "on fire" in str(isolate.cache.heard.error)
        isolate.store.mode = "ok"
        assert await isolate.live(RETRY_FOR) == "v8.0.0"

    run(scenario())


@pytest.mark.parametrize("says", [7, 9, None])
def test_what_is_not_the_announced_map_is_refused(says: int | None) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.put(version_map_key(8), {"my-prompt": {"prod": "v8.0.0"}}, says and {"generation": says})
        isolate.url.number = 8
        assert await isolate.live(HEARD_STALE_FOR) == "v7.0.0"
        assert f"is of generation {says}" in str(isolate.cache.heard.error)

    run(scenario())


def test_a_number_whose_map_is_not_there_is_given_up_until_another_one_comes() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.url.number = 8
        view = await isolate.view(HEARD_STALE_FOR)
        assert (version(view), view.stale) == ("v7.0.0", None)
        reads = len(isolate.store.reads)
        await isolate.view(RETRY_FOR / 2)
        assert len(isolate.store.reads) == reads
        await isolate.view(RETRY_FOR)
        assert len(isolate.store.reads) == reads + 1
        await isolate.view(DISTRUST_FOR)
        reads = len(isolate.store.reads)
        isolate.keep(8)
        for _ in range(5):
            assert await isolate.live(HEARD_STALE_FOR) == "v7.0.0"
        assert len(isolate.store.reads) == reads
        assert "component-versions/8" in str(isolate.cache.heard.error)
        isolate.announce(9)
        assert await isolate.live(HEARD_STALE_FOR) == "v9.0.0"
        assert isolate.cache.heard.error is None

    run(scenario())


def test_a_bundled_snapshot_is_served_while_kv_is_down_whatever_is_announced() -> None:
    async def scenario() -> None:
        isolate = Isolate(bundled=Snapshot({"my-prompt": {"prod": "v3.0.0"}}, generation=3))
        isolate.store.mode = "fail"
        isolate.announce(8)
        view = await isolate.view()
        assert (version(view), view.held.source) == ("v3.0.0", "bundled")
        isolate.store.mode = "ok"
        assert await isolate.live(RETRY_FOR) == "v8.0.0"

    run(scenario())


def test_after_a_silence_the_number_is_waited_for() -> None:
    async def scenario(patient_after: float) -> str:
        settings = Settings(
            kv_timeout=5, read_budget=0.01, generation_url="https://edge.example.com/", patient_after=patient_after
        )
        isolate = Isolate(settings)
        await isolate.view()
        isolate.announce(8)
        isolate.url.gate = slow = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, slow.set)
        found = await isolate.live(60)
        await isolate.behind.run()
        return found

    assert run(scenario(0)) == "v7.0.0"
    assert run(scenario(61)) == "v7.0.0"
    assert run(scenario(60)) == "v8.0.0"


# The law

HAPPENS = st.one_of(
    st.tuples(st.just("publish"), st.booleans()),
    st.tuples(st.just("lag"), st.integers(0, 12)),
    st.tuples(st.just("number"), st.integers(0, 12)),
    st.tuples(st.just("url"), st.sampled_from(["ok", "ok", "fail", "stall", "nonsense"])),
    st.tuples(st.just("kv"), st.sampled_from(["ok", "ok", "fail", "stall", "lie"])),
    st.tuples(st.just("request"), st.sampled_from([0, 0.3, 0.5, 1, 5, 6, 31, 3600])),
    st.tuples(st.just("burst"), st.integers(2, 5)),
    st.tuples(st.just("behind"), st.booleans()),
)


@given(st.lists(HAPPENS, max_size=40))
def test_whatever_happens_the_generation_in_answers_never_falls(happens: list[tuple[str, Any]]) -> None:
    """Old copies of the map and of the number, in any order, with failures between them, for less than DISTRUST_FOR."""
    settings = Settings(kv_timeout=0.002, read_budget=0.001, generation_url="https://x.example/")

    async def scenario() -> None:
        isolate = Isolate(settings)
        newest = 7
        answered = [0]

        async def ask() -> None:
            try:
                view = await isolate.view()
            except KvFailed:
                return
            generation = view.held.snapshot.generation
            assert generation is not None
            assert version(view)
            answered.append(generation)

        for what, how in happens:
            match what:
                case "publish":
                    newest += 1
                    isolate.keep(newest)
                    if how:
                        isolate.publish(newest)
                        isolate.url.number = newest
                case "lag":
                    isolate.publish(max(1, newest - how))
                case "number":
                    isolate.url.number = newest + 2 - how if newest + 2 >= how else 0
                case "url":
                    isolate.url.mode = how
                case "kv":
                    isolate.store.mode = how
                case "behind" if how:
                    await isolate.behind.run()
                case "behind":
                    isolate.behind.lose()
                case _:
                    isolate.time.time += how if what == "request" else 31
                    await asyncio.gather(*(ask() for _ in range(how if what == "burst" else 1)))
        assert answered == sorted(answered)
        assert answered[-1] <= newest, "nothing is answered that was not published"
        isolate.store.mode = isolate.url.mode = "ok"
        isolate.announce(newest + 1)
        await isolate.behind.run()
        assert await isolate.next(3600) == f"v{newest + 1}.0.0", "in the end the newest is answered"

    with pytest.MonkeyPatch.context() as patch:
        for module in (announced, snapshots):
            patch.setattr(module, "DISTRUST_FOR", 1e8)
        run(scenario())


# The documents


@pytest.mark.parametrize("text", ['{"generation": 21}', '{"generation":21,"at":"now"}', ' {"generation": 21}\n'])
def test_a_number_is_read(text: str) -> None:
    assert decode_generation(text) == 21
    assert decode_generation('{"generation": 0}') == 0


@pytest.mark.parametrize(
    "text",
    [
        *("", "21", "null", "[21]", "{}", "[" * 100_000, "\ud800"),
        *('{"generation": "21"}', '{"generation": 2.5}', '{"generation": true}'),
        *('{"generation": -1}', '{"generation": 9007199254740992}'),
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidDocument, match="no number is announced"):
        decode_generation(text)


def test_keys_of_version_maps() -> None:
    assert [is_version_map(key) for key in ("component-versions", version_map_key(21))] == [True, True]
    assert not any(map(is_version_map, ("component-versions-old", "components/a/v1.0.0", "index/component-versions")))


def test_whatever_the_url_does_is_a_failure_that_says_so() -> None:
    class Odd:
        def __init__(self, answer: Any) -> None:
            self.answer = answer

        async def latest(self) -> str:
            if isinstance(self.answer, Exception):
                raise self.answer
            odd: str = self.answer
            return odd

    for answer in (None, 42, b"21", OSError("no route"), KvFailed("it is 500")):
        with pytest.raises((KvFailed, InvalidDocument)):
            run(read_latest(Odd(answer), 0.1))
