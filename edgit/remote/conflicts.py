"""What two ledgers have moved apart since their last common entry, and where both have moved one pointer.

Rules:

- one pointer that both have moved, to different versions, is a conflict: neither is the newer one just because it was
  pushed later. Somebody decides, with both before the eyes;
- of a ledger with a beginning of its own only the versions and the moves count, not the tags that it was begun from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from edgit.components.tags import tag_name
from edgit.errors import Refused
from edgit.git.tags import name_of
from edgit.ledger.entries import NONE, Created, LedgerEntry, Moved
from edgit.ledger.reading import read_entries
from edgit.repository.reading import Repository
from resolver.instant import format_instant

#: Component and environment, or component and version.
Pointer = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The entries of both since the last that they have in common, oldest first."""

    theirs: str
    received: tuple[LedgerEntry, ...]
    ours: tuple[LedgerEntry, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one side has made of a pointer in the end: the version, when, who and why."""

    version: str | None
    at: datetime
    actor: str
    reason: str | None

    def __str__(self) -> str:
        why = f": {self.reason.splitlines()[0]}" if self.reason else ""
        return f"{self.version or NONE}, {format_instant(self.at)} by {name_of(self.actor)}{why}"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A pointer that both have moved, to different versions."""

    pointer: Pointer
    theirs: Side
    ours: Side


def read_divergence(repository: Repository, theirs: str) -> Divergence:
    """How the ledger here and one that it does not go on from have come apart."""
    git = repository.git
    ours: tuple[LedgerEntry, ...] = ()
    base = None
    if repository.tip:
        base = git.attempt("merge-base", theirs, repository.tip).stdout.decode().strip() or None
        ours = read_entries(git, repository.tip, after=base)
    if base is None:
        ours = tuple(_without_old_tags(ours))
    return Divergence(theirs, read_entries(git, theirs, after=base), ours)


def _without_old_tags(ours: Iterable[LedgerEntry]) -> Iterable[LedgerEntry]:
    """The entries of a ledger with a beginning of its own. What it was begun from are tags that may be old, and theirs
    count; of these only the versions stay."""
    for entry in ours:
        if entry.parent is not None:
            yield entry
            continue
        created = tuple(change for change in entry.changes if isinstance(change, Created))
        if created:
            summary = entry.summary if len(created) == len(entry.changes) else f"adopt: {len(created)} versions"
            yield replace(entry, changes=created, summary=summary)


def find_conflicts(apart: Divergence) -> tuple[Conflict, ...]:
    """The pointers that both have moved, to different versions."""
    # A move of theirs may have come here by a fetch of tags, and been adopted.
    known = {moved.tag for entry in apart.received for moved, _, _ in entry.moves if moved.tag}
    theirs, ours = _last_moves(apart.received), _last_moves(apart.ours)
    return tuple(
        Conflict(pointer, theirs[pointer][1], side)
        for pointer, (moved, side) in sorted(ours.items(), key=lambda item: item[0])
        if pointer in theirs and theirs[pointer][1].version != side.version and moved.tag not in known
    )


def _last_moves(entries: Iterable[LedgerEntry]) -> dict[Pointer, tuple[Moved, Side]]:
    found: dict[Pointer, tuple[Moved, Side]] = {}
    for entry in entries:
        for moved, at, actor in entry.moves:
            found[moved.component, moved.environment] = (moved, Side(moved.after, at, actor, entry.reason))
    return found


def refused(remote: str, conflicts: Sequence[Conflict]) -> Refused:
    """Both sides of each, beside each other, and how to decide."""
    width = max(len(remote), len("yours"))
    told = [
        f"  {tag_name(*each.pointer)}\n    {remote:<{width}}  {each.theirs}\n    {'yours':<{width}}  {each.ours}"
        for each in conflicts
    ]
    what = "a pointer" if len(conflicts) == 1 else f"{len(conflicts)} pointers"
    return Refused(
        "\n".join([f"{remote} and you have moved {what} to different versions; nothing was changed", *told]),
        hint=f"next: edgit pull --keep theirs, to leave it as {remote} has it\n"
        "or:   edgit pull --keep ours, to let your move come after it; then edgit push",
    )
