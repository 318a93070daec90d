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

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from edgit.ledger.entries import LedgerEntry


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
