"""The canary's percentages in KV, read and changed by single entries.

Rules:

- only the entry that is meant changes; all others keep the text that they have, also those that cannot be read;
- a table that cannot be read as a whole is not written over, unless that is asked for;
- `rollout-history` is written first, so that no percentage was ever in force that is not on record. Its instants never
  go back;
- percentages are exact decimals: 0.1 means 0.1 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from edgit.errors import Refused
from edgit.kv.comparison import read_map
from edgit.kv.plan import unfit
from edgit.kv.publish import utc_now
from edgit.kv.store import Kv, KvValue, KvWrite, wait_until_visible
from resolver.documents import (
    ROLLOUT,
    ROLLOUT_HISTORY,
    VERSION_MAP,
    decode_rollout,
    decode_rollout_history,
    encode_rollout,
)
from resolver.entries import elements, members, plain
from resolver.errors import InvalidDocument, InvalidReference, listed
from resolver.instant import format_instant
from resolver.rollout import NOBODY, Percentage, RolloutTable, parse_entry
from resolver.snapshot import Pointers


@dataclass(frozen=True, slots=True)
class PercentageTable:
    """The table as KV holds it; `text` is None where there is none.

    `unreadable` are entries that are no percentages, `problems` say why.
    """

    text: str | None
    table: RolloutTable
    unreadable: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    def in_force(self, component: str, environment: str) -> tuple[str | None, Percentage]:
        """The entry that decides for a pointer, None where none does, and its percentage."""
        name = self.table.entry(component, environment)
        return name, NOBODY if name is None else self.table.entries[name]


def read_percentages(entry: KvValue | None) -> PercentageTable:
    """The table from its value in KV. Raises `Refused` where the whole cannot be read."""
    if entry is None:
        return PercentageTable(None, RolloutTable())
    try:
        decoded = decode_rollout(entry.value)
    except InvalidDocument as error:
        raise _unreadable(ROLLOUT, entry, error) from None
    unreadable = frozenset(problem.entry for problem in decoded.problems)
    problems = tuple(f"{problem.entry}: {problem.detail}" for problem in decoded.problems)
    return PercentageTable(entry.value, decoded.value, unreadable, problems)


def _unreadable(key: str, entry: KvValue, error: Exception) -> Refused:
    said = error.detail if isinstance(error, InvalidDocument) else str(error)
    shown = entry.value if len(entry.value) <= 200 else f"{entry.value[:200]}…"
    return Refused(
        f"`{key}` in KV cannot be read ({said}), and is not written over. It says:\n{shown}",
        hint="mend it by hand, or begin a new one with --replace",
    )


def with_entry(text: str | None, name: str, percentage: Percentage | None) -> str:
    """The table's new text: one entry set, or taken away for None, under whatever name it stands (`prompts/my-prompt`).

    `text` is None for no table, else a readable one. Raises `InvalidDocument` for a name that is no text.
    """
    entries = _entries(text)
    for written in [written for written in entries if written != name and _looked_up(written) == name]:
        del entries[written]
    if percentage is None:
        entries.pop(name, None)
    else:
        entries[name] = _encoded(percentage)
    scalar = set(entries) == {"*"} and not _is_object(text)
    return bytes(entries["*"]).decode() if scalar else msgspec.json.encode(entries).decode()


def _looked_up(written: str) -> str:
    try:
        return parse_entry(written)
    except InvalidReference:
        return written


def _entries(text: str | None) -> dict[str, msgspec.Raw]:
    if text is None:
        return {}
    if not _is_object(text):
        return {"*": _encoded(decode_rollout(text).value.entries["*"])}
    found = members(plain(text)) or []
    for member in found:
        if member.fault:
            raise InvalidDocument(f"{member.fault}, so that the table cannot be written as it is", field=ROLLOUT)
    return {member.name: msgspec.Raw(member.value) for member in found}


def _is_object(text: str | None) -> bool:
    return text is not None and plain(text).lstrip()[:1] == b"{"


def _encoded(percentage: Percentage) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(encode_rollout(RolloutTable({"*": percentage}))))


def with_change(history: str | None, at: datetime, table: str, actor: str) -> str:
    """`rollout-history` with a change at its end, never dated before the last one. Raises `InvalidDocument`."""
    if history is None:
        known: list[msgspec.Raw] = []
    else:
        changes = decode_rollout_history(history).value
        at = max([at, *(change.at for change in changes[-1:])])
        known = [msgspec.Raw(element) for element in elements(plain(history)) or []]
    change = {"at": format_instant(at), "value": msgspec.Raw(table.encode()), "actor": actor}
    return msgspec.json.encode([*known, change]).decode()


@dataclass(frozen=True, slots=True)
class PercentageChange:
    """A change of one entry; None where there was, or is, no such entry, or one that cannot be read.

    `nothing` says that it was so already and was not written, `notes` say what may be a surprise.
    """

    target: str
    entry: str
    before: Percentage | None
    after: Percentage | None
    nothing: bool
    text: str
    dry_run: bool = False
    notes: tuple[str, ...] = ()


def get_percentages(kv: Kv) -> PercentageTable:
    """The table in force. Raises `KvFailed`, and `Refused` where it cannot be read."""
    return read_percentages(kv.get_many([ROLLOUT])[ROLLOUT])


def set_percentage(
    kv: Kv,
    entry: str,
    percentage: Percentage | None,
    actor: str,
    *,
    now: Callable[[], datetime] = utc_now,
    replace: bool = False,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> PercentageChange:
    """Set one entry of the table (`parse_entry` makes its name), or take it away for None.

    `replace` begins anew what cannot be read. Raises `KvFailed`, and `Refused` where an entry to be taken away is not
    there, where a document cannot be read, and where somebody else has written at the same time.
    """
    held = kv.get_many([ROLLOUT, ROLLOUT_HISTORY, VERSION_MAP])
    current = _readable(held[ROLLOUT], replace)
    before = None if entry in current.unreadable else current.table.entries.get(entry)
    if percentage is None and entry not in current.table.entries:
        raise Refused(
            f"{kv.name} has no percentage for `{entry}`; it has some for {listed(current.table.entries)}",
            hint="`edgit canary get` shows the table",
        )
    text = _changed(held[ROLLOUT], current, entry, percentage, replace)
    nothing = before is not None and before == percentage
    notes = _notes(entry, held[VERSION_MAP], current, percentage)
    change = PercentageChange(kv.name, entry, before, percentage, nothing, text, dry_run, notes)
    if dry_run or nothing:
        return change
    history = _history(held[ROLLOUT_HISTORY], now(), text, actor, replace)
    for write in (KvWrite(ROLLOUT_HISTORY, history), KvWrite(ROLLOUT, text)):
        if reason := unfit(write):
            raise Refused(f"`{write.key}` was not written: {reason}")
        kv.put_many([write])
    if wait_until_visible(kv, KvWrite(ROLLOUT, text), held[ROLLOUT], sleep) != KvValue(text):
        raise Refused(
            f"somebody else has written `{ROLLOUT}` in {kv.name} at the same time",
            hint="`edgit canary get` shows what is in force now",
        )
    return change


def _changed(
    held: KvValue | None, current: PercentageTable, entry: str, percentage: Percentage | None, replace: bool
) -> str:
    try:
        return with_entry(current.text, entry, percentage)
    except InvalidDocument as error:
        assert held is not None
        if replace:
            return with_entry(None, entry, percentage)
        raise _unreadable(ROLLOUT, held, error) from None


def _readable(entry: KvValue | None, replace: bool) -> PercentageTable:
    try:
        return read_percentages(entry)
    except Refused:
        if replace:
            return PercentageTable(None, RolloutTable())
        raise


def _history(entry: KvValue | None, at: datetime, table: str, actor: str, replace: bool) -> str:
    try:
        return with_change(entry.value if entry else None, at, table, actor)
    except InvalidDocument as error:
        assert entry is not None
        if replace:
            return with_change(None, at, table, actor)
        raise _unreadable(ROLLOUT_HISTORY, entry, error) from None


def _notes(
    entry: str, version_map: KvValue | None, current: PercentageTable, percentage: Percentage | None
) -> tuple[str, ...]:
    notes = [f"not touched, and read as 0 by an edge that starts now: {problem}" for problem in current.problems]
    held = read_map(version_map)
    if percentage is None or entry == "*" or held is None:
        return tuple(notes)
    return (*notes, *_without_canary(entry, held.pointers))


def _without_canary(entry: str, pointers: Pointers) -> tuple[str, ...]:
    """A percentage for what has no canary changes nothing, and is a slip more often than not."""
    component, _, environment = entry.partition("@")
    if component == "*":
        wanted = f"{environment}-canary"
        there = any(wanted in found for found in pointers.values())
        return () if there else (f"nothing has a pointer `{wanted}`: the percentage has no effect until something has",)
    known: Mapping[str, str] = pointers.get(component, {})
    if not known:
        return (f"KV's version map has no component `{component}`",)
    wanted = f"{environment}-canary"
    if environment and wanted not in known:
        return (f"`{component}` has no pointer `{wanted}`: the percentage has no effect until it has",)
    if not environment and not any(name.endswith("-canary") for name in known):
        return (f"`{component}` has no canary: the percentage has no effect until it has",)
    return ()
