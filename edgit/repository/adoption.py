"""What commands do to the ledger and the tags: move pointers, make versions, adopt, restore.

Rules:

- each is one entry, or none where nothing would change, and one transaction; all or nothing;
- a version is immutable: what goes live under its name is the file that was released under it;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgit.components.tags import tag_name
from edgit.errors import Refused
from edgit.ledger.entries import LedgerEntry, Moved, instant
from edgit.ledger.writer import LedgerWriter
from edgit.repository.changes import ChangeOutcome, begin, files_of, finish
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository, UnrecordedMove


def record_foreign(
    desk: RepositoryLock, world: Repository, chain: LedgerWriter, found: UnrecordedMove
) -> LedgerEntry | None:
    """Put on record that another tool moved a pointer: by whom and when its tag says."""
    said = found.meaning
    name = tag_name(found.component, found.environment)
    if said.version is None:
        desk.notes.append(f"{name} was moved by another tool, and what it means cannot be told: {said.problem}")
        return None
    known = said.version in chain.versions.get(found.component, {})
    version_tag = None if known else world.trace_of(found.component, said.version)
    created = world.creations({found.component: {said.version: version_tag}}, dated=True) if version_tag else []
    if not known and not created:
        desk.notes.append(f"{name} was moved by another tool to {said.version}, whose file is nowhere to be found")
        return None
    previous = world.ledger.last_moves.get((found.component, found.environment)) if world.ledger else None
    moved = Moved(
        found.component,
        found.environment,
        chain.pointers.get(found.component, {}).get(found.environment),
        said.version,
        previous.tag if previous else None,
        found.tag.id,
        said.version_tag,
    )
    _, _, now, _ = chain.identity
    when = instant(min(said.at, now) if said.at is not None else now)
    who = said.actor or "unknown <>"
    entry = chain.add(f"adopt: {moved}", [*created, moved], files_of(world, created), author=(who, when))
    desk.notes.append(f"on record now: {name} was moved to {said.version} by {name_of(who)}, with another tool")
    return entry


def name_of(actor: str) -> str:
    """A person without the address."""
    return actor.rpartition(" <")[0] or actor


def adopt(desk: RepositoryLock, world: Repository, only: Sequence[str] = (), *, dry_run: bool = False) -> ChangeOutcome:
    """Put on record what other tools have moved and which versions they have made."""
    chain = begin(desk, world)
    foreign = [found for found in world.differences[0] if not only or found.component in only]
    for found in sorted(foreign, key=lambda found: (found.meaning.at or 0, found.component, found.environment)):
        record_foreign(desk, world, chain, found)
    rest = {
        name: {v: tag for v, tag in tags.items() if v not in chain.versions.get(name, {})}
        for name, tags in world.untold_versions.items()
        if not only or name in only
    }
    created = world.creations({name: tags for name, tags in rest.items() if tags}, dated=True)
    if created:
        what = created[0].name if len(created) == 1 else f"{len(created)} versions"
        chain.add(f"adopt: {what}", created, files_of(world, created))
    moved = [change for entry in chain.entries for change in entry.changes if isinstance(change, Moved)]
    return finish(desk, chain, moved, dry_run=dry_run)


def take_over(
    desk: RepositoryLock, world: Repository, generation: int, reason: str, *, dry_run: bool = False
) -> ChangeOutcome:
    """An entry without a change whose generation is above that of a KV that this ledger shall replace."""
    chain = begin(desk, world)
    if chain.tip is None:
        raise Refused("there is nothing to publish yet", hint="next: edgit tag create NAME v1.0.0")
    if chain.tip.generation <= generation:
        chain.tip = replace(chain.tip, generation=generation)
        chain.add(f"take over a KV at generation {generation}", [], {}, reason=reason)
    return finish(desk, chain, dry_run=dry_run)
