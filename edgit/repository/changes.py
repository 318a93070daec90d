"""What every change of a repository has in common: how it begins, and what it did.

Rules:

- a change is one entry of the ledger, or none where nothing would change, and one transaction; all or nothing;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgit.ledger.entries import Created, LedgerEntry, LedgerState, Moved
from edgit.ledger.reading import read_last_entry
from edgit.ledger.writer import LedgerWriter, told_ahead
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository


@dataclass(frozen=True, slots=True)
class DesiredPointer:
    """A pointer and the version that it shall have; None to remove it."""

    component: str
    environment: str
    version: str | None

    @property
    def pointer(self) -> tuple[str, str]:
        return self.component, self.environment


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """What a command did to the repository."""

    entries: tuple[LedgerEntry, ...] = ()
    #: The desired pointers that were so already.
    unchanged: tuple[DesiredPointer, ...] = ()
    #: What was done besides, for the operator to read.
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    #: The pointers that were moved, or put on record.
    moved: tuple[Moved, ...] = ()

    @property
    def generation(self) -> int | None:
        return self.entries[-1].generation if self.entries else None


def begin(lock: RepositoryLock, repository: Repository) -> LedgerWriter:
    """A writer on top of the ledger. Where there is no ledger yet, it begins one from the tags."""
    if repository.tip:
        tip = read_last_entry(repository.git, repository.tip)
        lock.notes += told_ahead([tip])
        return LedgerWriter(repository.git, tip, repository.state)
    writer = LedgerWriter(repository.git, None, LedgerState())
    if first := repository.beginning:
        files = {
            (change.component, change.version): repository.state.versions[change.component][change.version]
            for change in first.changes
            if isinstance(change, Created)
        }
        writer.add(first.summary, first.changes, files)
        lock.notes.append(f"began the ledger from {len(first.changes)} tags that were here")
    return writer


def complete(
    lock: RepositoryLock,
    writer: LedgerWriter,
    moved: Sequence[Moved] = (),
    unchanged: Sequence[DesiredPointer] = (),
    *,
    dry_run: bool,
) -> ChangeOutcome:
    """Write the entries and move the refs, unless it is only to be told."""
    if not dry_run:
        writer.commit(lock)
    return ChangeOutcome(tuple(writer.entries), tuple(unchanged), tuple(lock.notes), dry_run, tuple(moved))
