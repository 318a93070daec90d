"""What commands do to the ledger and the tags: move pointers, make versions, adopt, restore.

Rules:

- each is one entry, or none where nothing would change, and one transaction; all or nothing;
- a version is immutable: what goes live under its name is the file that was released under it;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgit.ledger.entries import Created, LedgerEntry, LedgerState, Moved
from edgit.ledger.writer import LedgerWriter
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository


@dataclass(frozen=True, slots=True)
class DesiredPointer:
    """A pointer and where it shall be; None to remove it."""

    component: str
    environment: str
    version: str | None


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """What a command did to the repository."""

    entries: tuple[LedgerEntry, ...] = ()
    #: Wishes that were so already.
    unchanged: tuple[DesiredPointer, ...] = ()
    #: What was done besides, for the operator to read.
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    #: The pointers that were moved, or put on record.
    moved: tuple[Moved, ...] = ()

    @property
    def generation(self) -> int | None:
        return self.entries[-1].generation if self.entries else None


def files_of(world: Repository, created: Sequence[Created]) -> dict[tuple[str, str], str]:
    return {(c.component, c.version): world.located[c.component, c.commit].blob for c in created}


def finish(
    desk: RepositoryLock,
    chain: LedgerWriter,
    moved: Sequence[Moved] = (),
    unchanged: Sequence[DesiredPointer] = (),
    *,
    dry_run: bool,
) -> ChangeOutcome:
    """Commit the chain, unless it is only to be told."""
    if not dry_run:
        chain.commit(desk)
    return ChangeOutcome(tuple(chain.entries), tuple(unchanged), tuple(desk.notes), dry_run, tuple(moved))


def begin(desk: RepositoryLock, world: Repository) -> LedgerWriter:
    """A chain on top of the ledger, begun from the tags where there is none yet."""
    if world.ledger:
        return LedgerWriter(world.git, world.ledger.last, world.state)
    chain = LedgerWriter(world.git, None, LedgerState())
    first = world.genesis
    if first:
        chain.add(first.summary, first.changes, files_of(world, [c for c in first.changes if isinstance(c, Created)]))
        desk.notes.append(f"began the ledger from {len(first.changes)} tags that were here")
    return chain
