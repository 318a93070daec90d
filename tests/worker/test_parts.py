"""A version map that comes in parts: it is what it would be in one, and one that ends in its middle is no map."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.worker.fakes import FakeParts, run
from tests.worker.test_cache import MAP, NEXT, Isolate, version
from worker.kv import Entry, KvFailed, next_part, read
from worker.lease import RETRY_FOR

LARGE = {f"c{number:05}": {"prod": "v1.0.0"} for number in range(20_000)}


@pytest.mark.parametrize("part", [1, 7, 1000, 1_000_000])
def test_a_map_in_parts_is_the_map(part: int) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.part = part
        before = await isolate.view()
        assert dict(before.held.snapshot.pointers) == MAP
        isolate.store.publish(NEXT, 8)
        after = await isolate.view(31)
        assert (version(after), after.held.snapshot.generation, after.held.snapshot.revision) == ("v2.0.0", 8, "r8")
        # What is the same is known again, however it comes.
        isolate.store.part = 3
        again = await isolate.view(31)
        assert again.held.snapshot.pointers is after.held.snapshot.pointers

    run(scenario())


@pytest.mark.parametrize("fault", ["a fault", "no more"])
@pytest.mark.parametrize("left", [0, 1, 5])
def test_a_map_whose_parts_end_too_soon_replaces_nothing(left: int, fault: str) -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.publish(LARGE | NEXT, 8)
        isolate.store.part, isolate.store.left = 4096, left
        if fault == "no more":
            cut = isolate.store.entries["component-versions"]
            isolate.store.entries["component-versions"] = cut._replace(value=cut.value[: left * 4096])
            isolate.store.left = None
        view = await isolate.view(31)
        assert version(view) == "v1.0.0"
        assert view.stale is not None
        assert ("cut off" in view.stale) == (fault == "a fault")
        # It is read again after `RETRY_FOR`, and by then it comes whole.
        isolate.store.publish(NEXT, 9)
        isolate.store.part = isolate.store.left = None
        assert await isolate.live(RETRY_FOR) == "v2.0.0"

    run(scenario())


def test_a_part_that_never_comes_is_given_up_after_the_timeout() -> None:
    async def scenario() -> None:
        parts = FakeParts("x" * 10, 5, left=1)
        assert await next_part(parts, 0.02) == b"xxxxx"
        with pytest.raises(KvFailed, match="go on with `component-versions` within 20 ms"):
            await next_part(parts, 0.02)

    run(scenario())


def test_of_a_new_isolate_whose_first_map_stops_half_way_the_request_gets_an_error() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        isolate.store.part, isolate.store.left = 5, 1
        with pytest.raises(KvFailed, match="cut off"):
            await isolate.view()

    run(scenario())


def test_only_a_version_map_may_come_in_parts() -> None:
    class Odd:
        async def get_many(self, keys: Any) -> Any:
            return {key: Entry("", None, FakeParts("{}", 1)) for key in keys}

        async def list_keys(self, prefix: str) -> list[str]:
            return [prefix]

    assert run(read(Odd(), ["component-versions", "component-versions/7"], 1)).keys()
    with pytest.raises(KvFailed, match="rollout-percentage"):
        run(read(Odd(), ["rollout-percentage"], 1))


def test_requests_are_answered_while_the_parts_come() -> None:
    async def scenario() -> None:
        isolate = Isolate()
        await isolate.view()
        isolate.store.part = 64 * 1024
        isolate.store.publish(LARGE | NEXT, 8)
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
