"""The ledger: every move of every pointer and every new version, as commits on one ref.

    refs/edgit/ledger            a chain of commits, one an entry
      components/<name>/<env>    holds the version that is live there: `v1.0.0`
      versions/<name>/<version>  the version's file

Rules:

- the ledger is the truth. A tag that says something else is behind it, or was moved by another tool;
- an entry's message says everything: its last paragraph is one line for each change, then the generation. The past is
  read from messages alone, the state at an instant from one tree alone;
- a generation is its parent's plus one; an entry is never dated before its parent;
- values only: this module asks nobody and writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from edgit.tags import tag_name
from resolver.errors import ResolverError
from resolver.history import format_instant, parse_instant

LEDGER = "refs/edgit/ledger"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Moved:
    """A pointer moved. Versions are None where there was, or is, none; `tag` and `version_tag` are object ids.

    `at` and `actor` are stated for what was found when the ledger began, and are the entry's own otherwise.
    """

    component: str
    environment: str
    before: str | None
    after: str | None
    tag_before: str | None = None
    tag: str | None = None
    version_tag: str | None = None
    at: datetime | None = None
    actor: str | None = None

    @property
    def name(self) -> str:
        return tag_name(self.component, self.environment)

    def __str__(self) -> str:
        return f"{self.name} {self.before or NONE} -> {self.after or NONE}"


@dataclass(frozen=True, slots=True)
class Created:
    """A version came to be. `tag` is its tag's object, `commit` where it points, `path` the file there."""

    component: str
    version: str
    tag: str
    commit: str
    type: str | None = None
    path: str | None = None
    at: datetime | None = None
    actor: str | None = None

    @property
    def name(self) -> str:
        return tag_name(self.component, self.version)

    def __str__(self) -> str:
        return self.name


Change = Moved | Created


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the ledger. `authored` is when the move was first made, where it was replayed later."""

    id: str
    parent: str | None
    generation: int
    at: datetime
    actor: str
    summary: str
    changes: tuple[Change, ...]
    reason: str | None = None
    authored: datetime | None = None

    @property
    def moves(self) -> Iterable[tuple[Moved, datetime, str]]:
        """Its moves with when and who."""
        return ((c, c.at or self.at, c.actor or self.actor) for c in self.changes if isinstance(c, Moved))

    @property
    def creations(self) -> Iterable[tuple[Created, datetime, str]]:
        """Its new versions with when and who."""
        return ((c, c.at or self.at, c.actor or self.actor) for c in self.changes if isinstance(c, Created))


@dataclass(frozen=True, slots=True)
class State:
    """What is live and what exists: component → environment → version, component → version → the file's object id."""

    pointers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def version(self, component: str, environment: str) -> str | None:
        """What is live there."""
        return self.pointers.get(component, {}).get(environment)


def write_message(summary: str, changes: Sequence[Change], generation: int, reason: str | None) -> str:
    """An entry's message; `read_message` reads it again."""
    paragraphs = [summary, *([reason.strip()] if reason and reason.strip() else [])]
    trailer = [*map(_line, changes), f"Generation: {generation}"]
    return "\n\n".join([*paragraphs, "\n".join(trailer)]) + "\n"


def read_message(message: str) -> tuple[str, str | None, tuple[Change, ...], int]:
    """Summary, reason, changes and generation. Raises `ValueError` for a message that is no entry's."""
    head, _, trailer = message.strip("\n").rpartition("\n\n")
    summary, _, reason = head.partition("\n\n")
    *lines, last = trailer.split("\n")
    if not (found := _GENERATION.fullmatch(last)):
        raise ValueError("its last line is no generation")
    return summary, reason.strip() or None, tuple(map(_change, lines)), int(found[1])


_GENERATION = re.compile(r"Generation: ([0-9]+)")


def _line(change: Change) -> str:
    said: list[tuple[str, str | None]]
    if isinstance(change, Moved):
        head = f"Move: {change}"
        said = [
            ("tag", f"{change.tag_before or NONE} -> {change.tag or NONE}"),
            ("version", change.version_tag or NONE),
        ]
    else:
        head = f"Version: {change.name}"
        said = [
            ("tag", change.tag),
            ("commit", change.commit),
            ("file", f"{change.type or NONE} {change.path or ''}" if change.path or change.type else None),
        ]
    said += [("at", format_instant(change.at) if change.at else None), ("by", change.actor)]
    return "; ".join([head, *(f"{name} {_escaped(value)}" for name, value in said if value is not None)])


def _change(line: str) -> Change:
    kind, _, rest = line.partition(": ")
    head, *parts = rest.split("; ")
    told = {name: _unescaped(value) for name, _, value in (part.partition(" ") for part in parts)}
    name, *words = head.split(" ")
    component, _, slot = name.removeprefix("components/").rpartition("/")
    try:
        at = parse_instant(told["at"]) if "at" in told else None
        if kind == "Move":
            before, _, after = words
            tag_before, tag = told["tag"].split(" -> ")
            return Moved(
                component,
                slot,
                _value(before),
                _value(after),
                _value(tag_before),
                _value(tag),
                _value(told["version"]),
                at,
                told.get("by"),
            )
        if kind == "Version":
            type, _, path = told.get("file", "").partition(" ")
            return Created(component, slot, told["tag"], told["commit"], _value(type), path or None, at, told.get("by"))
    except (KeyError, ValueError, ResolverError):
        raise ValueError(f"`{line[:80]}` is no change") from None
    raise ValueError(f"`{line[:80]}` is no change")


# What people and paths are called may hold anything: the characters that a line is made of are written as `%3B`, and so
# are bytes that are no UTF-8.
_SPECIAL = re.compile(r"[%;\x00-\x1f\x7f\u0085\u2028\u2029\udc80-\udcff]")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: quote(found[0], safe="", errors="surrogateescape"), text)


def _unescaped(text: str) -> str:
    return unquote(text, errors="surrogateescape")


def _value(text: str) -> str | None:
    return None if text in (NONE, "") else text


def fold(entries: Iterable[Entry], until: datetime | None = None) -> dict[str, dict[str, str]]:
    """Component → environment → version after these entries, oldest first; those after `until` left out."""
    moves = sorted(
        ((at, entry.generation, moved) for entry in entries for moved, at, _ in entry.moves),
        key=lambda move: move[:2],
    )
    pointers: dict[str, dict[str, str]] = {}
    for at, _, moved in moves:
        if until is not None and at > until:
            continue
        if moved.after is None:
            pointers.get(moved.component, {}).pop(moved.environment, None)
        else:
            pointers.setdefault(moved.component, {})[moved.environment] = moved.after
    return {component: environments for component, environments in pointers.items() if environments}


@dataclass(frozen=True, slots=True)
class LedgerMove:
    """One move of one pointer, as history tells it."""

    component: str
    environment: str
    before: str | None
    version: str | None
    at: datetime
    actor: str
    generation: int
    reason: str | None
    summary: str


def moves_of(
    entries: Iterable[Entry], component: str | None = None, environment: str | None = None
) -> list[LedgerMove]:
    """The moves, oldest first, of one component or all."""
    found = [
        LedgerMove(
            moved.component, moved.environment, moved.before, moved.after, at, actor, entry.generation, entry.reason,
            entry.summary,
        )
        for entry in entries
        for moved, at, actor in entry.moves
        if component in (None, moved.component) and environment in (None, moved.environment)
    ]  # fmt: skip
    return sorted(found, key=lambda move: (move.at, move.generation))


def last_good(moves: Iterable[LedgerMove]) -> str | None:
    """The version that a rollback of one pointer goes to: the last that was live there and was not itself rolled back
    from. Going back to a version takes all that came after it off the list, however it was done; None if none is left.
    """
    good: list[str] = []
    current: str | None = None
    for move in moves:
        current = move.version
        if current is None:
            continue
        if current in good:
            del good[good.index(current) + 1 :]
        else:
            good.append(current)
    # A pointer that was removed goes back to what was live last.
    return (good[-1] if good else None) if current is None else (good[-2] if len(good) > 1 else None)


def seconds(at: datetime) -> int:
    """An instant as git dates a commit."""
    return int(at.timestamp())


def instant(at: int) -> datetime:
    """The instant of a commit's date."""
    return datetime.fromtimestamp(at, UTC)
