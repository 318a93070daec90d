"""Stand-ins for what a host lends to the edge: a clock that is set by hand, a KV that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from resolver.documents import is_version_map
from worker.clock import Clock
from worker.kv import BULK, Entry

T = TypeVar("T")


class FakeClock:
    """Stands still until it is moved. `pauses` counts how often others were let in."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.wall = 1_764_000_000.0
        self.pauses = 0

    def clock(self) -> Clock:
        return Clock(lambda: self.time, lambda: self.wall, self.pause)

    async def pause(self) -> None:
        self.pauses += 1
        await asyncio.sleep(0)


class FakeParts:
    """A text that comes in parts of so many bytes. With `left` 0 the next one is a fault, or never comes."""

    def __init__(self, text: str, size: int, left: int | None = None, fault: Exception | None = None) -> None:
        self._rest = text.encode()
        self._size = size
        self.left = left
        self.fault = fault

    async def next(self) -> bytes:
        if self.left == 0:
            if self.fault is not None:
                raise self.fault
            await asyncio.Event().wait()
        if self.left is not None:
            self.left -= 1
        part, self._rest = self._rest[: self._size], self._rest[self._size :]
        return part


class FakeStore:
    """A KV in a dict. `mode` makes it fail, stall, or lie; `reads` records what every bulk get asked for."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self.entries: dict[str, Entry] = {}
        self.mode = "ok"
        self.reads: list[list[str]] = []
        #: A read waits here before it answers, once it has seen the entries.
        self.gate: asyncio.Event | None = None
        #: A version map comes in parts of so many bytes, the next `left` of them.
        self.part: int | None = None
        self.left: int | None = None
        for key, value in (values or {}).items():
            self.put(key, value)

    def put(self, key: str, value: object, metadata: object = None) -> None:
        self.entries[key] = Entry(value if isinstance(value, str) else json.dumps(value), metadata)

    def publish(self, pointers: object, generation: int | None = None) -> None:
        metadata = None if generation is None else {"generation": generation, "revision": f"r{generation}"}
        self.put("component-versions", pointers, metadata)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
        assert 1 <= len(keys) <= BULK
        self.reads.append(list(keys))
        if self.mode == "fail":
            raise ConnectionError("KV is on fire")
        if self.mode == "stall":
            await asyncio.Event().wait()
        if self.mode == "lie":
            lies: Any = dict.fromkeys(keys, 42)
            return lies  # type: ignore[no-any-return]
        if self.mode == "nothing":
            nothing: Any = None
            return nothing  # type: ignore[no-any-return]
        found = {key: self._entry(key) for key in keys}
        if self.gate is not None:
            await self.gate.wait()
        return found

    def _entry(self, key: str) -> Entry | None:
        entry = self.entries.get(key)
        if entry is None or self.part is None or not is_version_map(key):
            return entry
        return Entry("", entry.metadata, FakeParts(entry.value, self.part, self.left, ConnectionError("cut off")))

    async def list_keys(self, prefix: str) -> list[str]:
        if self.mode == "fail":
            raise ConnectionError("KV is on fire")
        return sorted(key for key in self.entries if key.startswith(prefix))


class Behind:
    """What runs after the response: it waits here until the test lets it run, or lets it be lost."""

    def __init__(self) -> None:
        self.work: list[Awaitable[None]] = []

    def __call__(self, work: Awaitable[None]) -> None:
        self.work.append(work)

    async def run(self) -> None:
        work, self.work = self.work, []
        for one in work:
            await one

    def lose(self) -> None:
        for one in self.work:
            if asyncio.iscoroutine(one):
                one.close()
        self.work = []


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
