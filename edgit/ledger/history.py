"""The past, from the ledger's entries: what was live when, the moves of a pointer, and where a rollback goes.

Values only: nothing here asks git.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from edgit.components.versions import by_precedence
from edgit.git.tags import name_of
from edgit.ledger.entries import Created, LedgerEntry, LedgerState, Moved
from resolver.instant import format_instant
from resolver.version import is_prerelease

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LedgerIndex:
    """What the entries say of each pointer and each version."""

    #: (component, environment) → its last move.
    last_moves: Mapping[tuple[str, str], Moved] = field(default_factory=dict)
    #: (component, environment) → the object ids of every tag that it has had.
    known_tags: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    #: (component, version) → how the version came to be.
    created: Mapping[tuple[str, str], Created] = field(default_factory=dict)


def index_entries(entries: Iterable[LedgerEntry]) -> LedgerIndex:
    """The index of these entries, oldest first."""
    last_moves: dict[tuple[str, str], Moved] = {}
    known_tags: dict[tuple[str, str], set[str]] = {}
    created: dict[tuple[str, str], Created] = {}
    for entry in entries:
        for change in entry.changes:
            if isinstance(change, Created):
                created[change.component, change.version] = change
            if not isinstance(change, Moved):
                continue
            pointer = (change.component, change.environment)
            last_moves[pointer] = change
            known_tags.setdefault(pointer, set()).update(id for id in (change.tag_before, change.tag) if id)
    return LedgerIndex(last_moves, {pointer: frozenset(ids) for pointer, ids in known_tags.items()}, created)


def fold(entries: Iterable[LedgerEntry], until: datetime | None = None) -> dict[str, dict[str, str]]:
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
    entries: Iterable[LedgerEntry], component: str | None = None, environment: str | None = None
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
    # A clock may have been wrong; only what the ledger began with is of several times.
    return sorted(found, key=lambda move: (move.generation, move.at))


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """That a version was withdrawn, or reinstated: by whom, when and why."""

    component: str
    version: str
    withdrawn: bool
    at: datetime
    actor: str
    generation: int
    reason: str | None

    def __str__(self) -> str:
        did = "was withdrawn" if self.withdrawn else "was reinstated"
        why = f", because: {self.reason.splitlines()[0]}" if self.reason else ""
        return f"{did} on {format_instant(self.at)} by {name_of(self.actor)}{why}"


def withdrawals_of(entries: Iterable[LedgerEntry]) -> dict[tuple[str, str], list[Withdrawal]]:
    """(component, version) → when it was withdrawn and reinstated, by turns, oldest first."""
    found: dict[tuple[str, str], list[Withdrawal]] = {}
    for entry in entries:
        for change, at, actor in entry.withdrawals:
            each = Withdrawal(
                change.component, change.version, change.withdrawn, at, actor, entry.generation, entry.reason
            )
            known = found.setdefault((change.component, change.version), [])
            if change.withdrawn != bool(known and known[-1].withdrawn):
                known.append(each)
    return {key: each for key, each in found.items() if each}


def last_good(path: Iterable[T | None], passed_over: Container[T] = ()) -> T | None:
    """What a rollback goes to, of all that was live one after the other: the last that was not itself rolled back from.

    Going back to one takes all that came after it off the list, however it was done, and None (taken out) all of them.
    What is in `passed_over`, a withdrawn version, is not chosen. None if none is left.
    """
    good: list[T] = []
    for each in path:
        if each is None:
            good.clear()
        elif each in good:
            del good[good.index(each) + 1 :]
        else:
            good.append(each)
    return next((each for each in reversed(good[:-1]) if each not in passed_over), None)


def recorded_types(entries: Iterable[LedgerEntry]) -> dict[str, str]:
    """Component → type, as the last of these entries says that says one."""
    changes = (change for entry in entries for change in entry.changes)
    return {c.component: c.type for c in changes if isinstance(c, Created) and c.type}


def published_pointers(state: LedgerState) -> dict[str, dict[str, str]]:
    """The version map of a state: its pointers, with `latest` and `stable`, which pass over what was withdrawn."""
    places = by_precedence(version for versions in state.versions.values() for version in versions)
    releases = {version: place for version, place in places.items() if not is_prerelease(version)}
    found: dict[str, dict[str, str]] = {}
    for name in sorted({*state.pointers, *state.versions}):
        found[name] = dict(sorted(state.pointers.get(name, {}).items()))
        passed_over = state.withdrawn.get(name, {})
        versions = [version for version in state.versions.get(name, {}) if version not in passed_over]
        if versions:
            found[name]["latest"] = max(versions, key=places.__getitem__)
        if stable := [version for version in versions if version in releases]:
            found[name]["stable"] = max(stable, key=releases.__getitem__)
    return found
