"""The canary's percentages in KV, read and changed by single entries.

Rules:

- only the entry that is meant changes; all others keep the text that they have, also those that cannot be read;
- a table that cannot be read as a whole is not written over, unless that is asked for;
- `rollout-history` is written first, so that no percentage was ever in force that is not on record. Its instants never
  go back;
- percentages are exact decimals: 0.1 means 0.1 %;
- a percentage that is set for a component is for one canary version, and ends with it: the same version as a canary
  once more begins with nobody too. That of one that was promoted ends when it leaves production. An edge may still have
  the map from before the promotion, and its users must not fall back to the version before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from edgit.errors import Refused
from edgit.kv.comparison import PointerDifference, read_map
from edgit.kv.plan import unfit
from edgit.kv.publish import utc_now
from edgit.kv.store import Kv, KvValue, KvWrite, wait_until_visible
from resolver.documents import (
    ROLLOUT,
    ROLLOUT_HISTORY,
    VERSION_MAP,
    decode_rollout,
    decode_rollout_history,
    encode_percentage,
)
from resolver.entries import elements, members, plain
from resolver.errors import InvalidDocument, InvalidReference, listed
from resolver.instant import format_instant
from resolver.rollout import NOBODY, Percentage, RolloutTable, parse_entry
from resolver.snapshot import Pointers

#: What ends the name of a canary's pointer.
CANARY = "-canary"
#: So many canaries that begin are told.
_BEGINNINGS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class PercentageTable:
    """The table as KV holds it; `text` is None where there is none.

    `unreadable` are entries that are no percentages, `problems` say why.
    """

    text: str | None
    table: RolloutTable
    unreadable: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    def in_force(self, component: str, environment: str, canary: str) -> tuple[str | None, Percentage]:
        """The entry that decides for this canary of a pointer, None where none does, and the percentage it makes."""
        table = self.table
        return table.entry(component, environment), table.percentage(component, environment, canary=canary)


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
    scalar = set(entries) == {"*"} and not _is_object(text) and not _is_object(bytes(entries["*"]).decode())
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
    return msgspec.Raw(msgspec.json.encode(encode_percentage(percentage)))


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


def canaries_of(entry: str, pointers: Pointers) -> dict[str, str]:
    """The canaries that an entry of one component is for, by what they are canaries of."""
    component, _, environment = entry.partition("@")
    return {
        pointer.removesuffix(CANARY): version
        for pointer, version in sorted(pointers.get(component, {}).items())
        if pointer.endswith(CANARY) and environment in ("", pointer.removesuffix(CANARY))
    }


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


def after_publish(
    kv: Kv, changed: Sequence[PointerDifference], pointers: Pointers, *, now: Callable[[], datetime] = utc_now
) -> list[str]:
    """Set to 0 the percentages of canary versions that a publish took away, and say what has ended and what begins.

    `pointers` are those that it published. Raises `KvFailed`, and `Refused` where a document cannot be read.
    """
    began = [each for each in changed if each.git is not None and each.environment.endswith(CANARY)]
    if not began and all(each.kv is None for each in changed):
        return []
    held = kv.get_many([ROLLOUT, ROLLOUT_HISTORY])
    current = read_percentages(held[ROLLOUT])
    text, said = current.text, []
    for name, percentage in current.table.entries.items():
        if percentage.threshold and _has_left(name, percentage.version, changed, pointers):
            text = with_entry(text, name, NOBODY)
            said.append(f"the {percentage} % of {name} for {percentage.version} have ended with that canary")
    if text is not None and said:
        history = _history(held[ROLLOUT_HISTORY], now(), text, "edgit publish", replace=False)
        kv.put_many([KvWrite(ROLLOUT_HISTORY, history)])
        kv.put_many([KvWrite(ROLLOUT, text)])
    for each in began[:_BEGINNINGS_SHOWN]:
        environment = each.environment.removesuffix(CANARY)
        entry, percentage = current.in_force(each.component, environment, each.git or "")
        by = f", by the entry `{entry}`" if percentage.threshold else f"; next: edgit canary set {each.component} 1"
        said.append(f"the canary {each.git} of {each.component} {environment} starts at {percentage} %{by}")
    if len(began) > _BEGINNINGS_SHOWN:
        said.append(f"{len(began) - _BEGINNINGS_SHOWN} more canaries begin: edgit canary get")
    return said


def _has_left(entry: str, version: str | None, changed: Iterable[PointerDifference], pointers: Pointers) -> bool:
    """Whether the canary version of an entry has left, and is neither a canary elsewhere nor what was promoted."""
    if version is None:
        return False
    component, _, environment = entry.partition("@")
    mine = [each for each in changed if each.component == component and each.environment not in ("latest", "stable")]
    if version in canaries_of(entry, pointers).values() or any(each.git == version for each in mine):
        return False
    left = {each.environment.removesuffix(CANARY) for each in mine if each.kv == version}
    live = pointers.get(component, {})
    return any(environment in ("", each) and live.get(each) != version for each in left)


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
    return (*notes, *_without_canary(entry, percentage.version, held.pointers))


def _without_canary(entry: str, version: str | None, pointers: Pointers) -> tuple[str, ...]:
    """A percentage for what has no canary changes nothing, and is a slip more often than not."""
    component, _, environment = entry.partition("@")
    if component == "*":
        wanted = f"{environment}{CANARY}"
        there = any(wanted in found for found in pointers.values())
        return () if there else (f"nothing has a pointer `{wanted}`: the percentage has no effect until something has",)
    known: Mapping[str, str] = pointers.get(component, {})
    if not known:
        return (f"KV's version map has no component `{component}`",)
    canaries = canaries_of(entry, pointers)
    if not canaries:
        what = f"pointer `{environment}{CANARY}`" if environment else "canary"
        return (f"`{component}` has no {what}: the percentage has no effect until it has",)
    if version is not None and version not in canaries.values():
        shown = ", ".join(f"{pointer}{CANARY} is at {at}" for pointer, at in canaries.items())
        return (f"{shown}: the percentage has no effect until {version} is there",)
    return ()
