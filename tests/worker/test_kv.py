"""Reading KV: in bulk, bounded in time, and with one error for whatever a store may do instead of answering."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.worker.fakes import FakeStore, run
from worker.kv import BULK, LONGEST_KEY, Entry, KvFailed, list_keys, read

#: The answer that never comes.
NEVER = object()


class Answering:
    """A store that gives one answer, whatever it is asked; an exception is raised."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[object] = []

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
        return await self._answer(keys)  # type: ignore[no-any-return]

    async def list_keys(self, prefix: str) -> list[str]:
        return await self._answer(prefix)  # type: ignore[no-any-return]

    async def _answer(self, asked: object) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is NEVER:
            await asyncio.Event().wait()
        return self.answer


FAULTS = [
    ConnectionError("reset"),
    ValueError(),
    KeyError("x"),
    RecursionError("deep"),
    MemoryError(),
    OSError(5, "io"),
]


def test_values_and_metadata_come_back_by_key() -> None:
    store = FakeStore({"a": "1", "b": "2"})
    store.put("c", "3", {"generation": 7})
    assert run(read(store, ["a", "c", "none"], 1)) == {
        "a": Entry("1"),
        "c": Entry("3", {"generation": 7}),
        "none": None,
    }


@pytest.mark.parametrize("value", ["", "null", "0", "false", "{}", " ", "\x00", "ü😀"])
def test_any_text_is_a_value_and_not_a_missing_key(value: str) -> None:
    assert run(read(FakeStore({"a": value}), ["a"], 1)) == {"a": Entry(value)}


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])])
def test_a_read_is_as_few_bulk_gets_as_it_takes(count: int, sizes: list[int]) -> None:
    keys = [f"k{number}" for number in range(count)]
    store = FakeStore({key: key.upper() for key in keys})
    assert run(read(store, iter(keys), 1)) == {key: Entry(key.upper()) for key in keys}
    assert [len(part) for part in store.reads] == sizes
    assert [key for part in store.reads for key in part] == keys


def test_a_key_that_is_named_often_is_asked_for_once() -> None:
    store = FakeStore({"a": "1"})
    assert run(read(store, ["a", "b", "a"] * BULK, 1)) == {"a": Entry("1"), "b": None}
    assert store.reads == [["a", "b"]]


def test_a_key_too_long_for_kv_is_not_there_and_spoils_no_other() -> None:
    longest, longer = "k" * LONGEST_KEY, "ü" * (LONGEST_KEY // 2) + "k"
    store = FakeStore({longest: "1"})
    assert run(read(store, [longer, longest], 1)) == {longer: None, longest: Entry("1")}
    assert store.reads == [[longest]]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_whatever_a_store_raises_is_one_error(fault: Exception) -> None:
    with pytest.raises(KvFailed, match=f"KV failed: {type(fault).__name__}") as caught:
        run(read(Answering(fault), ["a"], 1))
    assert caught.value.status == 503
    with pytest.raises(KvFailed, match=f"KV failed: {type(fault).__name__}"):
        run(list_keys(Answering(fault), "a", 1))


@pytest.mark.parametrize(
    "answer",
    [None, 42, "text", [], ["a"], {"a": 42}, {"a": "text"}, {"a": b"text"}, {"a": Entry(b"x")}, {"a": Entry(None)}],  # type: ignore[arg-type]
    ids=repr,
)
def test_an_answer_that_is_none_is_an_error_and_never_a_missing_key(answer: object) -> None:
    with pytest.raises(KvFailed):
        run(read(Answering(answer), ["a"], 1))


def test_a_key_that_the_answer_leaves_out_is_not_there() -> None:
    assert run(read(Answering({}), ["a"], 1)) == {"a": None}


def test_a_failure_half_way_is_a_failure() -> None:
    class Half(FakeStore):
        async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
            if self.reads:
                self.mode = "fail"
            return await super().get_many(keys)

    with pytest.raises(KvFailed, match="on fire"):
        run(read(Half(), [f"k{number}" for number in range(BULK + 1)], 1))


def test_a_stall_is_bounded_and_said() -> None:
    with pytest.raises(KvFailed, match="within 20 ms"):
        run(read(Answering(NEVER), ["a"], 0.02))
    with pytest.raises(KvFailed, match="`history/` within 20 ms"):
        run(list_keys(Answering(NEVER), "history/", 0.02))


def test_a_bound_holds_for_all_bulk_gets_together() -> None:
    class Slow(FakeStore):
        async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
            await asyncio.sleep(0.05)
            return await super().get_many(keys)

    with pytest.raises(KvFailed, match="within 80 ms"):
        run(read(Slow(), [f"k{number}" for number in range(5 * BULK)], 0.08))


def test_nothing_is_asked_of_a_store_for_nothing() -> None:
    assert run(read(Answering(NEVER), [], 0.02)) == {}


def test_a_long_complaint_is_shortened_to_one_line() -> None:
    with pytest.raises(KvFailed) as caught:
        run(read(Answering(OSError("line\n\tnext " + "x" * 5000)), ["a"], 1))
    assert caught.value.detail.startswith("KV failed: OSError: line next xxx")
    assert len(caught.value.detail) < 250


def test_a_request_that_is_given_up_is_not_called_a_failure_of_kv() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(read(Answering(NEVER), ["a"], 10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario())


def test_keys_are_listed_below_a_prefix() -> None:
    store = FakeStore({"history/b": "[]", "history/a": "[]", "index/a": "[]"})
    assert run(list_keys(store, "history/", 1)) == ["history/a", "history/b"]
    assert run(list_keys(store, "none/", 1)) == []


@pytest.mark.parametrize("answer", [None, 42], ids=repr)
def test_a_listing_that_is_none_is_an_error(answer: object) -> None:
    with pytest.raises(KvFailed):
        run(list_keys(Answering(answer), "a", 1))
