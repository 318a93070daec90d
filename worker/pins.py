"""Which pinned versions exist: what `my-prompt@v9.9.9` needs besides the version map.

Rules:

- a version exists if a pointer or a list of versions has it, or if its content is there. The isolate remembers that for
  as long as it lives, since versions are immutable, and does not read KV for it again;
- what KV does not know is remembered for `fresh_for`, since it may be published next;
- KV that cannot be asked makes no pin fail. After a failure it is not asked for `RETRY_FOR`, and then for no longer
  than `read_budget`, so that an outage costs no request more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from resolver.documents import Problem, finished, index_key
from resolver.errors import listed, nearest
from resolver.snapshot import Pin, Pins, Snapshot, unknown_component
from worker.contents import Contents, Wanted
from worker.kv import KvFailed, Store, read
from worker.lease import NEVER, RETRY_FOR
from worker.met import MetProblems
from worker.refresh import Lists, list_steps
from worker.settings import Settings

#: How many versions are remembered as there, or as missing. Then all are forgotten: guesses cannot fill the memory.
MOST_KNOWN = 10_000
MOST_ABSENT = 1_000

_NO_FAULT = Pins()
_Versions: TypeAlias = tuple[str, ...] | None


class PinnedVersions:
    """What an isolate knows of pinned versions."""

    def __init__(
        self, settings: Settings, contents: Contents, met: MetProblems, monotonic: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._contents = contents
        self._met = met
        self._monotonic = monotonic
        self._known: set[Pin] = set()
        #: Until when a version is taken as missing, and the list of those that exist; None where KV has no such list.
        self._absent: dict[Pin, tuple[float, _Versions]] = {}
        self._failed_at = NEVER

    async def check(self, pins: frozenset[Pin], snapshot: Snapshot, store: Store) -> Pins:
        """What to say about these pins; nothing about those that exist."""
        if pins <= self._known:
            return _NO_FAULT
        now = self._monotonic()
        absent: dict[Pin, str] = {}
        asked: set[Pin] = set()
        for pin in pins - self._known:
            if _is_in(snapshot, pin):
                self._learn(pin)
            elif (found := self._absent.get(pin)) and now < found[0]:
                absent[pin] = _absence(pin, found[1], snapshot)
            else:
                asked.add(pin)
        if not asked:
            return Pins(absent) if absent else _NO_FAULT
        if now < self._failed_at + RETRY_FOR:
            return Pins(absent, frozenset(asked))
        try:
            missing = await self._missing(asked, store)
        except KvFailed:
            self._failed_at = self._monotonic()
            return Pins(absent, frozenset(asked))
        until = self._monotonic() + self._settings.fresh_for
        for pin in asked:
            if pin not in missing:
                self._learn(pin)
                continue
            absent[pin] = _absence(pin, missing[pin], snapshot)
            if len(self._absent) >= MOST_ABSENT:
                self._absent.clear()
            self._absent[pin] = until, missing[pin]
        return Pins(absent)

    async def _missing(self, pins: Iterable[Pin], store: Store) -> dict[Pin, _Versions]:
        """The pins that KV has neither in a list nor as a content, with that list. Raises `KvFailed`."""
        lists = await self._lists({name for name, _ in pins}, store)
        unlisted = [pin for pin in pins if pin[1] not in (lists[pin[0]] or ())]
        contents = await self._contents.find([Wanted(*pin) for pin in unlisted], store)
        return {pin: lists[pin[0]] for pin in unlisted if pin not in contents}

    async def _lists(self, names: set[str], store: Store) -> Lists:
        """The versions of each component. Raises `KvFailed`."""
        failed_lately = self._failed_at != NEVER
        timeout = self._settings.read_budget if failed_lately else self._settings.kv_timeout
        entries = await read(store, map(index_key, names), timeout)
        self._failed_at = NEVER
        problems: list[Problem] = []
        lists = finished(list_steps(names, entries, problems))
        self._met.keep(entries, problems)
        return lists

    def _learn(self, pin: Pin) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(pin)


def _is_in(snapshot: Snapshot, pin: Pin) -> bool:
    name, version = pin
    return version in snapshot.pointers.get(name, {}).values() or version in (snapshot.indexes.get(name) or ())


def _absence(pin: Pin, versions: _Versions, snapshot: Snapshot) -> str:
    """What exists instead of a version that does not."""
    name, version = pin
    if versions is None and name not in snapshot.pointers:
        return unknown_component(name, snapshot)
    there = versions or tuple(dict.fromkeys(snapshot.pointers.get(name, {}).values()))
    has = f"it has {listed(there)}.{nearest(version, there)}" if there else "it has none"
    return f"unknown version `{version}` of `{name}`; {has}"
