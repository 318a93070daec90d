"""What commands do to the ledger and the tags: move pointers, make versions, adopt, restore.

Rules:

- each is one entry, or none where nothing would change, and one transaction; all or nothing;
- a version is immutable: what goes live under its name is the file that was released under it;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgit.components.tags import Tag, tag_name, tag_ref
from edgit.errors import Refused
from edgit.ledger.entries import Created, Moved
from edgit.ledger.writer import LedgerWriter
from edgit.repository.adoption import record_foreign
from edgit.repository.changes import ChangeOutcome, DesiredPointer, begin, files_of, finish
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from edgit.repository.recovery import VersionTag, kept_version, pointer_tag
from resolver.version import canonical


def move(
    desk: RepositoryLock,
    world: Repository,
    wishes: Sequence[DesiredPointer],
    *,
    verb: str = "deploy",
    reason: str | None = None,
    dry_run: bool = False,
    expected: Mapping[tuple[str, str], str | None] | None = None,
) -> ChangeOutcome:
    """Move pointers, all or none, as one entry. `expected` says what must be live before, for a careful caller."""
    chain = begin(desk, world)
    wishes = [replace(wish, version=canonical(wish.version)) if wish.version else wish for wish in wishes]
    foreign = {(found.component, found.environment): found for found in world.differences[0]}
    strange = [foreign[pointer] for wish in wishes if (pointer := (wish.component, wish.environment)) in foreign]
    # A tag that means nothing is moved on, even to the version that is live already.
    lost = {(f.component, f.environment) for f in strange if record_foreign(desk, world, chain, f) is None}
    created = _released(desk, world, chain, wishes)
    moved: list[Moved] = []
    unchanged: list[DesiredPointer] = []
    for wish in wishes:
        pointer = (wish.component, wish.environment)
        live = chain.pointers.get(wish.component, {}).get(wish.environment)
        if expected is not None and expected.get(pointer, live) != live:
            raise Refused(f"{wish.component} {wish.environment} is at {live or 'nothing'} by now; nothing was moved")
        if live == wish.version and pointer not in lost:
            unchanged.append(wish)
        else:
            moved.append(_moved(world, chain, wish, live))
    if moved:
        summary = f"{verb}: {moved[0]}" if len(moved) == 1 else f"{verb}: {len(moved)} pointers, {_environments(moved)}"
        chain.add(summary, [*created, *moved], files_of(world, created), reason=reason)
    return finish(desk, chain, moved, unchanged, dry_run=dry_run)


def _moved(world: Repository, chain: LedgerWriter, wish: DesiredPointer, live: str | None) -> Moved:
    """A pointer's move, with its tag moved in the chain's transaction."""
    existing = world.tags.environments.get(wish.component, {}).get(wish.environment)
    # A tag of an older form, which the tool that wrote it still reads, goes on under its name.
    ref = existing.ref if existing else tag_ref(wish.component, wish.environment)
    before = existing.id if existing else None
    tag: str | None = None
    at: VersionTag | None = None
    if wish.version is not None:
        at = kept_version(chain, world, wish.component, wish.version)
        tag = pointer_tag(chain, ref, wish.component, wish.version, wish.environment, at)
    chain.set_ref(ref, tag, before)
    return Moved(wish.component, wish.environment, live, wish.version, before, tag, at.id if at else None)


def _released(
    desk: RepositoryLock, world: Repository, chain: LedgerWriter, wishes: Sequence[DesiredPointer]
) -> list[Created]:
    """The versions among the wishes that the ledger does not know yet. Raises `EdgitError` where a version is not
    there, `Refused` where it has no file, or by now another one than it was released with."""
    tags: dict[tuple[str, str], Tag] = {}
    for wish in wishes:
        if wish.version is None:
            continue
        tagged = world.tags.versions.get(wish.component, {})
        if wish.version not in tagged and world.ledger and wish.version in chain.versions.get(wish.component, {}):
            desk.notes.append(f"{tag_name(wish.component, wish.version)} was deleted, and is back from the ledger")
        else:
            tags[wish.component, wish.version] = world.version_tag(wish.component, wish.version)
    commits = world.commits_of(tag.id for tag in tags.values())
    files = world.files_at((name, commits[tag.id]) for (name, _), tag in tags.items() if tag.id in commits)
    unknown: dict[str, dict[str, Tag]] = {}
    for (name, version), tag in tags.items():
        recorded = chain.versions.get(name, {}).get(version)
        file = files.get((name, commits.get(tag.id, "")))
        if recorded is None:
            if file is None:
                raise Refused(
                    f"{name} {version} has no file at the commit of its tag",
                    hint=f"name the file in .edgit/components.json, or look: git show {tag_name(name, version)}",
                )
            unknown.setdefault(name, {})[version] = tag
        elif file and file.blob != recorded:
            raise Refused(
                f"the tag of {name} {version} was moved to another file; the ledger has the one that was released",
                hint=f"next: edgit tag restore {name} {version}, and release the other file under a new version",
            )
    return world.creations(unknown, dated=True) if unknown else []


def _environments(moved: Sequence[Moved]) -> str:
    return ", ".join(sorted({move.environment for move in moved}))
