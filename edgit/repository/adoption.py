"""Putting on record what other tools have tagged: the pointers that they moved, and the versions that they made.

An adopted move is of the person and the time that its own tag says. A tag without an object of its own says neither:
its move is nobody's that is known, and of now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgit.components.tags import tag_name
from edgit.errors import Refused
from edgit.git.tags import UNKNOWN, name_of
from edgit.ledger.entries import LedgerEntry, Moved, instant
from edgit.ledger.history import LedgerIndex
from edgit.ledger.reading import read_index
from edgit.ledger.writer import LedgerWriter
from edgit.repository.changes import ChangeOutcome, begin, complete
from edgit.repository.drift import UnrecordedMove
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from edgit.repository.records import describe_versions


def record_move(
    lock: RepositoryLock, repository: Repository, writer: LedgerWriter, index: LedgerIndex, found: UnrecordedMove
) -> LedgerEntry | None:
    """Put on record that another tool moved a pointer. None where it cannot be told what its tag means."""
    said = found.meaning
    name = tag_name(found.component, found.environment)
    if said.version is None:
        lock.notes.append(f"{name} was moved by another tool, and what it means cannot be told: {said.problem}")
        return None
    recorded = said.version in writer.versions.get(found.component, {})
    trace = None if recorded else repository.trace_of(found.component, said.version)
    wanted = {found.component: {said.version: trace}} if trace else {}
    records = describe_versions(repository.git, wanted, repository.types, repository.now)
    if not recorded and not records.created:
        lock.notes.append(f"{name} was moved by another tool to {said.version}, whose file is nowhere to be found")
        return None
    previous = index.last_moves.get(found.pointer)
    moved = Moved(
        found.component,
        found.environment,
        writer.pointers.get(found.component, {}).get(found.environment),
        said.version,
        previous.tag if previous else None,
        found.tag.id,
        said.version_tag,
    )
    _, _, now, _ = writer.identity
    when = instant(min(said.at, now) if said.at is not None and said.dated else now)
    who = said.actor if said.actor and said.dated else UNKNOWN
    entry = writer.add(f"adopt: {moved}", [*records.created, moved], records.files, author=(who, when))
    told = "somebody, as its tag does not say whom" if who == UNKNOWN else name_of(who)
    lock.notes.append(f"on record now: {name} was moved to {said.version} by {told}, with another tool")
    return entry


def adopt(
    lock: RepositoryLock, repository: Repository, only: Sequence[str] = (), *, dry_run: bool = False
) -> ChangeOutcome:
    """Put on record what other tools have moved and which versions they have made, of all components or only some."""
    writer = begin(lock, repository)
    moves = [found for found in repository.drift.unrecorded_moves if not only or found.component in only]
    index = read_index(repository.git, repository.tip if moves else None)
    for found in sorted(moves, key=lambda found: (found.meaning.at or 0, found.pointer)):
        record_move(lock, repository, writer, index, found)
    wanted = {
        name: {v: tag for v, tag in tags.items() if v not in writer.versions.get(name, {})}
        for name, tags in repository.unrecorded_versions().items()
        if not only or name in only
    }
    wanted = {name: tags for name, tags in wanted.items() if tags}
    records = describe_versions(repository.git, wanted, repository.types, repository.now)
    if records.created:
        what = records.created[0].name if len(records.created) == 1 else f"{len(records.created)} versions"
        writer.add(f"adopt: {what}", records.created, records.files)
    moved = [change for entry in writer.entries for change in entry.changes if isinstance(change, Moved)]
    return complete(lock, writer, moved, dry_run=dry_run)


def take_over(
    lock: RepositoryLock, repository: Repository, generation: int, reason: str, *, dry_run: bool = False
) -> ChangeOutcome:
    """An entry without a change whose generation is above that of a KV that this ledger shall replace."""
    writer = begin(lock, repository)
    if writer.tip is None:
        raise Refused("there is nothing to publish yet", hint="next: edgit tag create NAME v1.0.0")
    if writer.tip.generation <= generation:
        writer.tip = replace(writer.tip, generation=generation)
        writer.add(f"take over a KV at generation {generation}", [], {}, reason=reason)
    return complete(lock, writer, dry_run=dry_run)
