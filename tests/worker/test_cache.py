"""The snapshot of an isolate, with a clock set by hand and a KV that fails, stalls, lies and goes back in time."""

from __future__ import annotations

import asyncio

import pytest

from resolver.rollout import RolloutTable, parse_percentage
from resolver.snapshot import Snapshot
from resolver.version_map import revision_of
from tests.worker.fakes import Behind, FakeClock, FakeStore, run
from worker.announced import DISTRUST_FOR
from worker.contents import Content, ContentCache
from worker.kv import KvFailed
from worker.lease import LEASE_FOR, RETRY_FOR
from worker.settings import Settings
from worker.snapshots import MOST_LISTS, NothingToServe, SnapshotCache, View

SETTINGS = Settings(kv_timeout=0.1, read_budget=0.02)
MAP = {"my-prompt": {"prod": "v1.0.0"}}
NEXT = {"my-prompt": {"prod": "v2.0.0"}}
KEYS = ["component-versions", "rollout-percentage"]


class Isolate:
    """A snapshot cache with its surroundings."""

    def __init__(self, bundled: Snapshot | None = None, settings: Settings = SETTINGS) -> None:
        self.time = FakeClock()
        self.store = FakeStore()
        self.store.publish(MAP, 7)
        self.store.put("rollout-percentage", "10")
        self.behind = Behind()
        self.cache = SnapshotCache(settings, self.time.clock(), bundled)

    async def view(self, after: float = 0) -> View:
        self.time.time += after
        return await self.cache.view(self.store, self.behind)

    async def live(self, after: float = 0) -> str:
        return version(await self.view(after))


def version(view: View) -> str:
    return view.held.snapshot.pointers["my-prompt"]["prod"]


def percentage(view: View) -> str:
    assert view.held.snapshot.rollout is not None
    return str(view.held.snapshot.rollout.percentage("my-prompt", "prod"))


def test_fresh_is_used_without_a_read() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        first = await isolate.view()
        assert (version(first), first.age, first.stale, first.held.source) == ("v1.0.0", 0, None, "kv")
        isolate.store.publish(NEXT, 8)
        assert await isolate.live(4.9) == "v1.0.0"
        assert isolate.store.reads == [KEYS]
        assert isolate.behind.work == []

    run(scenario())


def test_stale_is_used_and_refreshed_behind_the_response_once() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        view = await isolate.view(6)
        assert (version(view), view.age) == ("v1.0.0", 6)
        assert await isolate.live(1) == "v1.0.0"
        assert len(isolate.behind.work) == 1
        assert len(isolate.store.reads) == 1
        await isolate.behind.run()
        assert await isolate.live() == "v2.0.0"

    run(scenario())


def test_the_lease_of_a_lost_refresh_expires() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        await isolate.view(6)
        isolate.behind.lose()
        await isolate.view(LEASE_FOR - 0.1)
        assert isolate.behind.work == []
        await isolate.view(0.2)
        await isolate.behind.run()
        assert await isolate.live() == "v2.0.0"

    run(scenario())


def test_a_quiet_isolate_reads_before_it_answers() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        view = await isolate.view(3600)
        assert (version(view), view.age, view.stale) == ("v2.0.0", 0, None)

    run(scenario())


def test_a_stalled_read_gives_way_to_the_last_good_and_lands_later() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        isolate.store.gate = asyncio.Event()
        view = await isolate.view(3600)
        assert version(view) == "v1.0.0"
        assert view.stale is not None
        assert len(isolate.behind.work) == 1
        isolate.store.gate.set()
        await isolate.behind.run()
        assert await isolate.live() == "v2.0.0"

    run(scenario())


@pytest.mark.parametrize("mode", ["fail", "lie", "nothing"])
def test_a_failing_store_keeps_the_last_good_and_is_not_asked_at_once_again(mode: str) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = mode
        view = await isolate.view(3600)
        assert version(view) == "v1.0.0"
        assert view.stale
        assert "KV" in view.stale
        reads = len(isolate.store.reads)
        await isolate.view(RETRY_FOR / 2)
        assert len(isolate.store.reads) == reads
        isolate.store.mode = "ok"
        isolate.store.publish(NEXT, 8)
        assert await isolate.live(RETRY_FOR) == "v2.0.0"
        assert isolate.cache.last_error is None

    run(scenario())


@pytest.mark.parametrize("mode", ["fail", "stall", "lie"])
def test_cold_without_a_bundle_is_an_error_and_the_next_request_tries_again(mode: str) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.mode = mode
        with pytest.raises(KvFailed, match="no snapshot was bundled"):
            await isolate.view()
        isolate.store.mode = "ok"
        assert await isolate.live() == "v1.0.0"

    run(scenario())


def test_cold_with_a_bundle_serves_it_and_goes_on_trying() -> None:
    async def scenario() -> None:
        isolate = Isolate(Snapshot({"my-prompt": {"prod": "v0.1.0"}}, generation=3, revision="b"))
        isolate.store.mode = "fail"
        view = await isolate.view()
        assert (version(view), view.held.source) == ("v0.1.0", "bundled")
        assert view.stale
        await isolate.view(RETRY_FOR / 2)
        assert len(isolate.store.reads) == 1
        isolate.store.mode = "ok"
        view = await isolate.view(RETRY_FOR)
        assert (version(view), view.held.source, view.stale) == ("v1.0.0", "kv", None)

    run(scenario())


def test_an_unpublished_namespace_is_an_empty_map_and_a_vanished_map_is_not() -> None:
    async def scenario() -> None:
        empty = Isolate()
        empty.store.entries.clear()
        assert (await empty.view()).held.snapshot.pointers == {}

        isolate = Isolate()
        await isolate.view()
        del isolate.store.entries["component-versions"]
        view = await isolate.view(3600)
        assert version(view) == "v1.0.0"
        assert "not in KV" in str(view.stale)

    run(scenario())


@pytest.mark.parametrize("nonsense", ["", "null", "[]", "{oops", "42", '"text"', "[" * 100_000])
def test_a_nonsense_map_never_replaces_a_good_one(nonsense: str) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.put("component-versions", nonsense)
        view = await isolate.view(3600)
        assert version(view) == "v1.0.0"
        assert "component-versions" in str(view.stale)

    run(scenario())


def test_a_bad_entry_spoils_itself_alone() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.publish({**MAP, "a": None, "b": {"prod": 1.1}, "c": {"prod": "newest", "dev": "2.0.0"}}, 7)
        view = await isolate.view()
        assert view.held.snapshot.pointers == {**MAP, "b": {}, "c": {"dev": "v2.0.0"}}
        assert [(p.document, p.entry) for p in view.held.problems] == [
            ("component-versions", "a"),
            ("component-versions", "b.prod"),
            ("component-versions", "c.prod"),
        ]

    run(scenario())


def test_percentages_are_live_and_a_slip_moves_nobody() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        assert percentage(await isolate.view()) == "10"
        for written, then in [
            ("50%", "50"),
            ("lots", "50"),
            ("", "50"),
            ("[1]", "50"),
            ("0", "0"),
            ('{"my-prompt": 25}', "25"),
            ('{"my-prompt": "x", "*": 90}', "25"),
        ]:
            isolate.store.put("rollout-percentage", written)
            assert percentage(await isolate.view(31)) == then, written
        del isolate.store.entries["rollout-percentage"]
        assert percentage(await isolate.view(31)) == "0"

    run(scenario())


def test_a_nonsense_percentage_does_not_hold_up_a_rollback() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        isolate.store.put("rollout-percentage", "ten")
        view = await isolate.view(31)
        assert (version(view), percentage(view)) == ("v2.0.0", "10")
        assert [p.document for p in view.held.problems] == ["rollout-percentage"]

    run(scenario())


def test_the_generation_never_goes_down() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.publish(NEXT, 8)
        assert await isolate.live() == "v2.0.0"
        isolate.store.publish(MAP, 7)
        view = await isolate.view(31)
        assert version(view) == "v2.0.0"
        assert "generation 7" in str(view.stale)
        # The higher one is seen again: the lower one was a stale read, and the two minutes begin anew.
        isolate.store.publish(NEXT, 8)
        await isolate.view(60)
        isolate.store.publish(MAP, 7)
        await isolate.view(100)
        assert await isolate.live(DISTRUST_FOR - 1) == "v2.0.0"
        view = await isolate.view(2)
        assert version(view) == "v1.0.0"
        assert "generation 7 was taken after 8" in str(view.held.problems[0])

    run(scenario())


def test_a_map_without_metadata_is_taken_as_it_is() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT)
        view = await isolate.view(31)
        assert (version(view), view.held.snapshot.generation) == ("v2.0.0", None)
        assert str(view.held.snapshot.revision).startswith("sha256:")

    run(scenario())


def test_of_two_reads_the_one_that_began_later_wins() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.put("rollout-percentage", "20")
        slow = asyncio.Event()
        isolate.store.gate = slow
        await isolate.view(31)
        await asyncio.sleep(0)
        isolate.store.gate = None
        isolate.store.put("rollout-percentage", "30")
        assert percentage(await isolate.view(10)) == "30"
        slow.set()
        await isolate.behind.run()
        assert percentage(await isolate.view()) == "30"

    run(scenario())


def test_an_unchanged_map_is_not_decoded_again() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        before = (await isolate.view()).held.snapshot.pointers
        isolate.store.put("rollout-percentage", "99")
        view = await isolate.view(31)
        assert view.held.snapshot.pointers is before
        assert percentage(view) == "99"

    run(scenario())


def test_indexes_are_part_of_the_snapshot_once_they_are_wanted() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.put("index/my-prompt", [{"version": "1.0.0"}, {"version": 7}])
        held = await isolate.cache.with_lists((await isolate.view()).held, ["my-prompt", "other"], isolate.store)
        assert held.snapshot.indexes == {"my-prompt": ("v1.0.0",), "other": None}
        again = await isolate.cache.with_lists((await isolate.view()).held, ["my-prompt"], isolate.store)
        assert len(isolate.store.reads) == 2
        assert [p.entry for p in again.problems] == ["[1]"]
        isolate.store.put("index/my-prompt", [{"version": "v3.0.0"}])
        later = await isolate.view(31)
        assert later.held.snapshot.indexes["my-prompt"] == ("v3.0.0",)
        # What has neither a pointer nor a list was somebody's slip, and is not asked for again and again.
        assert isolate.store.reads[-1] == [*KEYS, "index/my-prompt"]

    run(scenario())


def test_bundled_percentages_stand_in_for_nonsense_on_a_cold_start() -> None:
    async def scenario() -> None:
        table = RolloutTable({"*": parse_percentage("40")})
        isolate = Isolate(Snapshot(MAP, table))
        isolate.store.put("rollout-percentage", "oops")
        assert percentage(await isolate.view()) == "40"

    run(scenario())


def test_contents_are_kept_within_the_budget_and_the_least_used_goes_first() -> None:
    cache = ContentCache(10)
    cache.put("a", "v1.0.0", Content("1234", None))
    cache.put("b", "v1.0.0", Content("", "prompt"))
    cache.put("c", "v1.0.0", Content("äö", None))
    assert cache.size == 8
    assert cache.get("a", "v1.0.0") == Content("1234", None)
    cache.put("d", "v1.0.0", Content("12345", None))
    assert cache.get("c", "v1.0.0") is None
    assert cache.get("a", "v1.0.0") is not None
    assert cache.size == 9
    cache.put("e", "v1.0.0", Content("x" * 11, None))
    assert cache.get("e", "v1.0.0") is None
    assert cache.get("a", "v2.0.0") is None


# Reads under way, at once and in any order


def test_a_refresh_that_fails_behind_the_response_is_said_and_waits() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "fail"
        assert (await isolate.view(6)).stale is None
        await isolate.behind.run()
        view = await isolate.view()
        assert "on fire" in str(view.stale)
        assert (isolate.behind.work, isolate.cache.failures) == ([], 1)
        isolate.store.mode = "ok"
        await isolate.view(RETRY_FOR)
        await isolate.behind.run()
        view = await isolate.view()
        assert (view.age, view.stale, isolate.cache.refreshes) == (0, None, 3)

    run(scenario())


def test_a_stall_that_ends_in_a_timeout_behind_the_response_is_noted() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "stall"
        view = await isolate.view(3600)
        assert (version(view), view.stale) == ("v1.0.0", "the read of KV takes longer than its budget")
        await isolate.behind.run()
        assert "within 100 ms" in str((await isolate.view()).stale)
        assert len(isolate.store.reads) == 2

    run(scenario())


def test_a_late_failure_says_nothing_of_a_newer_snapshot() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "stall"
        await isolate.view(31)
        isolate.store.mode = "ok"
        isolate.store.publish(NEXT, 8)
        assert await isolate.live(1) == "v2.0.0"
        await isolate.behind.run()
        assert isolate.cache.failures == 1
        assert isolate.cache.last_error is None
        assert (await isolate.view(6)).stale is None
        assert len(isolate.behind.work) == 1
        isolate.behind.lose()

    run(scenario())


def test_an_older_read_of_a_lower_generation_neither_wins_nor_warns() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.gate = slow = asyncio.Event()
        await isolate.view(31)
        isolate.store.gate = None
        isolate.store.publish(NEXT, 8)
        assert await isolate.live(1) == "v2.0.0"
        slow.set()
        await isolate.behind.run()
        view = await isolate.view()
        assert (version(view), view.stale, view.held.problems) == ("v2.0.0", None, ())
        assert isolate.cache.last_error is None

    run(scenario())


def test_requests_of_a_cold_isolate_do_not_wait_for_each_other() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.gate = stuck = asyncio.Event()
        first = asyncio.ensure_future(isolate.view())
        await asyncio.sleep(0)
        isolate.store.gate = None
        assert await isolate.live() == "v1.0.0"
        assert not first.done()
        stuck.set()
        assert version(await first) == "v1.0.0"

    run(scenario())


@pytest.mark.parametrize("age", [4.9, 5.0, 29.9])
def test_below_stale_for_no_request_waits_for_kv(age: float) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "stall"
        view = await isolate.view(age)
        assert (version(view), view.stale) == ("v1.0.0", None)
        assert len(isolate.store.reads) == 1
        assert len(isolate.behind.work) == (age >= SETTINGS.fresh_for)
        isolate.behind.lose()

    run(scenario())


def test_a_large_map_is_decoded_while_requests_are_answered() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish({f"c{number:05}": {"prod": "v1.0.0"} for number in range(20_000)} | NEXT, 8)
        await isolate.view(6)
        refresh = asyncio.ensure_future(isolate.behind.run())
        answered = 0
        while not refresh.done():
            assert await isolate.live() == "v1.0.0"
            answered += 1
            await asyncio.sleep(0)
        assert answered > 10
        assert await isolate.live() == "v2.0.0"

    run(scenario())


@pytest.mark.parametrize("size", [1, 20_000])
def test_of_a_burst_upon_a_new_isolate_one_request_reads(size: int) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.publish({f"c{number:05}": {"prod": "v1.0.0"} for number in range(size)} | NEXT, 8)
        views = await asyncio.gather(*(isolate.view() for _ in range(20)))
        assert {version(view) for view in views} == {"v2.0.0"}
        assert len(isolate.store.reads) == 1

    run(scenario())


def test_of_a_burst_upon_a_new_isolate_one_request_reads_though_kv_is_slow() -> None:
    async def scenario() -> None:
        isolate = Isolate(settings=Settings(kv_timeout=20, read_budget=0.02))
        isolate.store.gate = asyncio.Event()
        views = asyncio.gather(*(isolate.view() for _ in range(20)))
        await asyncio.sleep(0.1)
        isolate.store.gate.set()
        assert {version(view) for view in await views} == {"v1.0.0"}
        assert len(isolate.store.reads) == 1

    run(scenario())


def test_of_a_burst_whose_first_request_is_lost_another_one_reads() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.mode = "stall"
        lost = asyncio.ensure_future(isolate.view())
        await asyncio.sleep(0)
        isolate.store.mode = "ok"
        views = await asyncio.gather(*(isolate.view() for _ in range(20)))
        assert {version(view) for view in views} == {"v1.0.0"}
        assert len(isolate.store.reads) == 2
        lost.cancel()

    run(scenario())


def test_a_burst_upon_a_new_isolate_fails_together_where_kv_is_down() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.mode = "stall"
        found = await asyncio.gather(*(isolate.view() for _ in range(20)), return_exceptions=True)
        assert {type(failure) for failure in found} == {NothingToServe}
        # A silent read is given up by one request every 20 ms, and ends after 100.
        assert len(isolate.store.reads) < 20
        isolate.store.mode = "ok"
        assert await isolate.live() == "v1.0.0"

    run(scenario())


# What is read first is read by one request


def test_of_a_burst_after_a_silence_one_request_reads_and_all_are_right() -> None:
    async def scenario() -> None:
        isolate = Isolate(settings=Settings(kv_timeout=5, read_budget=1))
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        isolate.store.gate = slow = asyncio.Event()
        isolate.time.time += 3600
        burst = [asyncio.ensure_future(isolate.view()) for _ in range(20)]
        asyncio.get_running_loop().call_later(0.005, slow.set)
        assert {version(view) for view in await asyncio.gather(*burst)} == {"v2.0.0"}
        assert len(isolate.store.reads) == 2
        assert isolate.behind.work == []

    run(scenario())


def test_of_a_burst_upon_a_kv_that_stalls_one_request_reads_and_all_get_the_last_good_one() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "stall"
        isolate.time.time += 3600
        views = await asyncio.gather(*(isolate.view() for _ in range(20)))
        assert {(version(view), view.stale) for view in views} == {
            ("v1.0.0", "the read of KV takes longer than its budget")
        }
        assert (len(isolate.store.reads), len(isolate.behind.work)) == (2, 1)
        # The budget of those that wait is over, and the read is not: the next ones do not even wait for a timer.
        isolate.time.time += SETTINGS.read_budget
        late = asyncio.ensure_future(isolate.view())
        await asyncio.sleep(0)
        assert late.done()
        assert len(isolate.store.reads) == 2
        await isolate.behind.run()

    run(scenario())


def test_where_kv_failed_lately_nobody_waits_but_the_one_that_reads() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "fail"
        await isolate.view(3600)
        isolate.store.mode = "stall"
        isolate.time.time += RETRY_FOR
        first = asyncio.ensure_future(isolate.view())
        await asyncio.sleep(0)
        for _ in range(20):
            assert await isolate.live() == "v1.0.0"
        assert not first.done(), "none of the others has given it the time to end"
        assert version(await first) == "v1.0.0"
        await isolate.behind.run()
        # An old failure says nothing: after a silence all wait again.
        isolate.store.mode = "ok"
        isolate.store.publish(NEXT, 8)
        isolate.time.time += 3600
        views = await asyncio.gather(*(isolate.view() for _ in range(20)))
        assert {version(view) for view in views} == {"v2.0.0"}

    run(scenario())


def test_a_read_that_is_lost_with_its_request_is_begun_anew() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.mode = "stall"
        isolate.time.time += 3600
        lost = asyncio.ensure_future(isolate.view())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        lost.cancel()
        isolate.store.mode = "ok"
        isolate.store.publish(NEXT, 8)
        assert await isolate.live(SETTINGS.kv_timeout) == "v2.0.0"

    run(scenario())


# Patience


def slow_read_after(silence: float, patient_after: float, requests: int = 1) -> set[str]:
    """What is answered after a silence, where KV takes ten times the read's budget."""

    async def scenario() -> set[str]:
        isolate = Isolate(settings=Settings(kv_timeout=5, read_budget=0.01, patient_after=patient_after))
        await isolate.view()
        isolate.store.publish(NEXT, 8)
        isolate.store.gate = slow = asyncio.Event()
        isolate.time.time += silence
        burst = [asyncio.ensure_future(isolate.view()) for _ in range(requests)]
        asyncio.get_running_loop().call_later(0.1, slow.set)
        views = await asyncio.gather(*burst)
        await isolate.behind.run()
        assert len(isolate.store.reads) == 2
        return {version(view) for view in views}

    return run(scenario())


def test_patience_is_off_unless_it_is_set() -> None:
    assert slow_read_after(3600, patient_after=0) == {"v1.0.0"}


def test_after_a_silence_the_read_is_waited_for() -> None:
    assert slow_read_after(60, patient_after=60) == {"v2.0.0"}
    assert slow_read_after(59, patient_after=60) == {"v1.0.0"}
    assert slow_read_after(3600, patient_after=60, requests=20) == {"v2.0.0"}


def test_an_outage_does_not_make_busy_isolates_patient() -> None:
    async def scenario() -> None:
        isolate = Isolate(settings=Settings(kv_timeout=0.5, read_budget=0.01, patient_after=60))
        await isolate.view()
        isolate.store.mode = "stall"
        for _ in range(20):
            # The snapshot grows older than `patient_after`; the silence does not.
            reading = asyncio.ensure_future(isolate.view(10))
            await asyncio.sleep(0.03)
            assert reading.done()
            isolate.behind.lose()

    run(scenario())


# What a snapshot is made of


@pytest.mark.parametrize("metadata", [None, 7, "x", [], {"generation": "8"}, {"generation": True}, {"generation": 1.5}])
def test_metadata_of_any_shape_is_a_map_without_a_generation(metadata: object) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.put("component-versions", NEXT, metadata)
        view = await isolate.view(31)
        assert (version(view), view.held.snapshot.generation, view.stale) == ("v2.0.0", None, None)

    run(scenario())


def test_the_same_generation_is_taken_again() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 7)
        assert await isolate.live(31) == "v2.0.0"

    run(scenario())


def test_a_lower_generation_is_refused_however_often_it_is_read_within_the_time() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(NEXT, 6)
        for _ in range(3):
            view = await isolate.view(39)
            assert (version(view), view.held.snapshot.generation) == ("v1.0.0", 7)
            assert "generation 6" in str(view.stale)
        view = await isolate.view(DISTRUST_FOR)
        assert (version(view), view.held.snapshot.generation, view.stale) == ("v2.0.0", 6, None)
        isolate.store.publish(MAP, 7)
        view = await isolate.view(31)
        assert (view.held.snapshot.generation, view.held.problems) == (7, ())

    run(scenario())


def test_a_vanished_map_does_not_take_the_place_of_the_bundled_one() -> None:
    async def scenario() -> None:
        isolate = Isolate(Snapshot(MAP, revision="built"))
        isolate.store.entries.clear()
        view = await isolate.view()
        assert (version(view), view.held.source) == ("v1.0.0", "bundled")
        assert "not in KV" in str(view.stale)

    run(scenario())


def test_an_empty_namespace_is_taken_up_once_something_is_published() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.entries.clear()
        await isolate.view()
        isolate.store.publish(MAP, 1)
        assert await isolate.live(31) == "v1.0.0"

    run(scenario())


@pytest.mark.parametrize("nonsense", ["oops", "", "101", "-1", "true", "[1]", "9" * 5000, "[" * 100_000, "\ud800"])
def test_a_nonsense_percentage_without_one_before_it_is_nobody(nonsense: str) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.put("rollout-percentage", nonsense)
        view = await isolate.view()
        assert (version(view), percentage(view)) == ("v1.0.0", "0")
        assert [problem.document for problem in view.held.problems] == ["rollout-percentage"]

    run(scenario())


def test_a_bad_entry_stays_reported_while_the_map_is_unchanged_and_no_longer() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.publish({**MAP, "a": None}, 7)
        await isolate.view()
        for _ in range(3):
            assert len((await isolate.view(31)).held.problems) == 1
        isolate.store.publish(MAP, 8)
        assert (await isolate.view(31)).held.problems == ()

    run(scenario())


def test_a_map_without_metadata_keeps_its_revision_while_it_is_unchanged() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.publish(NEXT)
        before = (await isolate.view()).held.snapshot
        assert before.revision == revision_of(isolate.store.entries["component-versions"].value)
        after = (await isolate.view(31)).held.snapshot
        assert (after.pointers is before.pointers, after.revision) == (True, before.revision)
        isolate.store.publish({**NEXT, "other": {}})
        later = (await isolate.view(31)).held.snapshot
        assert later.revision == revision_of(isolate.store.entries["component-versions"].value) != before.revision

    run(scenario())


def test_unchanged_text_of_a_new_generation_is_that_generation() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        before = (await isolate.view()).held.snapshot
        isolate.store.publish(MAP, 9)
        after = (await isolate.view(31)).held.snapshot
        assert after.pointers is before.pointers
        assert (after.generation, after.revision) == (9, "r9")

    run(scenario())


# Lists of versions


def test_lists_of_versions_are_read_where_they_are_missing_alone() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.put("index/a", [{"version": "v1.0.0"}])
        isolate.store.put("index/b", "oops")
        held = await isolate.cache.with_lists((await isolate.view()).held, ["a"], isolate.store)
        held = await isolate.cache.with_lists(held, ["a", "b", "b"], isolate.store)
        assert isolate.store.reads[1:] == [["index/a"], ["index/b"]]
        assert held.snapshot.indexes == {"a": ("v1.0.0",), "b": None}
        assert [problem.document for problem in held.problems] == ["index/b"]
        assert await isolate.cache.with_lists(held, [], isolate.store) is held

    run(scenario())


def test_lists_of_versions_that_cannot_be_read_are_a_failure_of_kv() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        view = await isolate.view()
        isolate.store.mode = "fail"
        with pytest.raises(KvFailed):
            await isolate.cache.with_lists(view.held, ["a"], isolate.store)
        isolate.store.mode = "ok"
        isolate.store.put("index/a", [{"version": "v1.0.0"}])
        held = await isolate.cache.with_lists(view.held, ["a"], isolate.store)
        assert held.snapshot.indexes == {"a": ("v1.0.0",)}

    run(scenario())


def test_lists_of_versions_stay_with_the_snapshot_that_they_were_read_for() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        old = await isolate.view()
        isolate.store.publish(NEXT, 8)
        await isolate.view(31)
        isolate.store.put("index/a", [{"version": "v1.0.0"}])
        held = await isolate.cache.with_lists(old.held, ["a"], isolate.store)
        assert held.snapshot.pointers["my-prompt"]["prod"] == "v1.0.0"
        assert held.snapshot.indexes == {"a": ("v1.0.0",)}
        current = await isolate.view()
        assert (version(current), current.held.snapshot.indexes) == ("v2.0.0", {})

    run(scenario())


def test_names_that_are_nowhere_do_not_pile_up_in_the_refresh() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.put("index/only-listed", [{"version": "v1.0.0"}])
        slips = [f"slip-{number}" for number in range(300)]
        await isolate.cache.with_lists((await isolate.view()).held, ["my-prompt", "only-listed", *slips], isolate.store)
        await isolate.view(31)
        assert isolate.store.reads[-1] == [*KEYS, "index/my-prompt", "index/only-listed"]

    run(scenario())


def test_lists_of_versions_never_make_a_refresh_longer_than_its_time() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        names = [f"c{number:04}" for number in range(MOST_LISTS + 150)]
        isolate.store.publish({name: {"prod": "v1.0.0"} for name in names} | MAP, 7)
        for name in names:
            isolate.store.put(f"index/{name}", [{"version": "v1.0.0"}])
        for start in range(0, len(names), 100):
            view = await isolate.view()
            wanted = names[start : start + 100]
            found = await isolate.cache.with_lists(view.held, [*names[:1], *wanted], isolate.store)
            # A request has all that it wanted, and what goes on with the snapshot is what was wanted last.
            assert all(found.snapshot.indexes[name] == ("v1.0.0",) for name in [*names[:1], *wanted])
        isolate.store.reads.clear()
        assert (await isolate.view(31)).held.read_at == isolate.time.time
        assert [len(keys) for keys in isolate.store.reads] == [100] * 5
        view = await isolate.view()
        assert list(view.held.snapshot.indexes)[-1] == names[-1]
        # What was pushed out is read again where it is wanted.
        again = await isolate.cache.with_lists(view.held, [names[1]], isolate.store)
        assert again.snapshot.indexes[names[1]] == ("v1.0.0",)

    run(scenario())


def test_slips_do_not_pile_up_while_the_map_cannot_be_read() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.put("component-versions", "{")
        isolate.store.put("index/slip-7", "no list")
        for number in range(MOST_LISTS + 200):
            view = await isolate.view(0.1)
            await isolate.cache.with_lists(view.held, [f"slip-{number}"], isolate.store)
            assert len(view.held.snapshot.indexes) <= MOST_LISTS
        # What was said of a list goes with it.
        assert (await isolate.view()).held.problems == ()
        isolate.behind.lose()

    run(scenario())


def test_lists_of_versions_are_decoded_while_requests_are_answered() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        names = [f"c{number}" for number in range(40)]
        for name in names:
            isolate.store.put(f"index/{name}", [{"version": f"v1.{minor}.0"} for minor in range(250)])
        await isolate.cache.with_lists((await isolate.view()).held, names, isolate.store)
        isolate.store.publish(NEXT, 8)
        await isolate.view(6)
        refresh = asyncio.ensure_future(isolate.behind.run())
        answered = 0
        while not refresh.done():
            assert await isolate.live() == "v1.0.0"
            answered += 1
            await asyncio.sleep(0)
        assert answered >= len(names)
        view = await isolate.view()
        assert (version(view), len(view.held.snapshot.indexes["c39"] or ())) == ("v2.0.0", 250)

    run(scenario())


# Contents


def test_no_budget_keeps_nothing_but_what_is_empty() -> None:
    cache = ContentCache(0)
    cache.put("a", "v1.0.0", Content("x", None))
    cache.put("b", "v1.0.0", Content("", None))
    assert cache.get("a", "v1.0.0") is None
    assert cache.get("b", "v1.0.0") == Content("", None)
    assert (cache.size, cache.hits, cache.misses) == (0, 1, 1)


def test_a_content_is_counted_in_bytes_and_once() -> None:
    cache = ContentCache(8)
    cache.put("a", "v1.0.0", Content("😀😀", None))
    cache.put("a", "v1.0.0", Content("another", None))
    assert (cache.size, cache.get("a", "v1.0.0")) == (8, Content("😀😀", None))
    cache.put("b", "v1.0.0", Content("😀😀ö", None))
    assert cache.get("b", "v1.0.0") is None
    assert cache.get("a", "v1.0.0") is not None
    cache.put("a", "v2.0.0", Content("\ud800", None))
    assert (cache.size, cache.get("a", "v1.0.0")) == (3, None)


def test_a_large_content_pushes_out_as_many_as_it_takes() -> None:
    cache = ContentCache(10)
    for name in "abcde":
        cache.put(name, "v1.0.0", Content("xx", None))
    cache.put("large", "v1.0.0", Content("x" * 7, None))
    assert [name for name in "abcde" if cache.get(name, "v1.0.0")] == ["e"]
    assert cache.size == 9
