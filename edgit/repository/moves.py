"""Moving pointers, all or nothing, as one entry of the ledger.

A version is immutable: what goes live under its name is the file that was released under it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from edgit.components.tags import Tag, tag_name
from edgit.errors import Refused
from edgit.git.tags import commits_of
from edgit.ledger.entries import Moved
from edgit.ledger.reading import read_index
from edgit.ledger.writer import LedgerWriter
from edgit.repository.adoption import record_move
from edgit.repository.catalog import needed_version_tag
from edgit.repository.caution import heed
from edgit.repository.changes import ChangeOutcome, DesiredPointer, begin, complete
from edgit.repository.lock import RepositoryLock
from edgit.repository.protection import check_protection
from edgit.repository.reading import Repository
from edgit.repository.records import VersionRecords, by_component, describe_versions, locate_tagged
from edgit.repository.version_tags import (
    VersionLookup,
    VersionTag,
    existing_or_restored,
    look_up_versions,
    new_pointer_tag,
)
from resolver.version import canonical


def move(
    lock: RepositoryLock,
    repository: Repository,
    desired: Sequence[DesiredPointer],
    *,
    verb: str = "deploy",
    reason: str | None = None,
    dry_run: bool = False,
    expected: Mapping[tuple[str, str], str | None] | None = None,
    confirmed: Collection[str] = (),
    tell: Callable[[str], None] | None = None,
) -> ChangeOutcome:
    """Move pointers, all or none, as one entry. `expected` says what must be live before, for a careful caller.

    `confirmed` are the protected environments that may be moved: another, or a frozen one, is refused. `tell` hears
    what is known against a version before anything is moved, and may raise. Else it becomes a note.
    """
    desired = [replace(each, version=canonical(each.version)) if each.version else each for each in desired]
    heed(repository, desired, verb, tell or lock.notes.append)
    writer = begin(lock, repository)
    meaningless = _record_other_tools(lock, repository, writer, desired)
    records = _describe_new_versions(lock, repository, writer, desired)
    lookup = look_up_versions(repository, [(each.component, each.version) for each in desired if each.version])
    moved: list[Moved] = []
    unchanged: list[DesiredPointer] = []
    for each in desired:
        live = writer.pointers.get(each.component, {}).get(each.environment)
        if expected is not None and expected.get(each.pointer, live) != live:
            raise Refused(f"{each.component} {each.environment} is at {live or 'nothing'} by now; nothing was moved")
        # A tag that means nothing is moved on, even to the version that is live already.
        if live == each.version and each.pointer not in meaningless:
            unchanged.append(each)
        else:
            moved.append(_move_one(repository, writer, lookup, each, live))
    if not dry_run:
        lock.notes += check_protection(repository.git, moved, verb, confirmed, repository.now)
    if moved:
        environments = ", ".join(sorted({each.environment for each in moved}))
        what = str(moved[0]) if len(moved) == 1 else f"{len(moved)} pointers, {environments}"
        writer.add(f"{verb}: {what}", [*records.created, *moved], records.files, reason=reason)
    return complete(lock, writer, moved, unchanged, dry_run=dry_run)


def _record_other_tools(
    lock: RepositoryLock, repository: Repository, writer: LedgerWriter, desired: Sequence[DesiredPointer]
) -> set[tuple[str, str]]:
    """Put on record what other tools have made of these pointers; those whose tag means nothing."""
    unrecorded = {found.pointer: found for found in repository.drift.unrecorded_moves}
    found = [unrecorded[each.pointer] for each in desired if each.pointer in unrecorded]
    index = read_index(repository.git, repository.tip if found else None)
    return {each.pointer for each in found if record_move(lock, repository, writer, index, each) is None}


def _move_one(
    repository: Repository, writer: LedgerWriter, lookup: VersionLookup, desired: DesiredPointer, live: str | None
) -> Moved:
    """A pointer's move, with its tag moved in the writer's transaction."""
    existing = repository.tags.environments.get(desired.component, {}).get(desired.environment)
    # A tag of an older form, which the tool that wrote it still reads, goes on under its name.
    ref = repository.tags.ref(*desired.pointer)
    before = existing.id if existing else None
    tag: str | None = None
    at: VersionTag | None = None
    if desired.version is not None:
        at = existing_or_restored(writer, lookup, desired.component, desired.version)
        tag = new_pointer_tag(writer, ref, desired.component, desired.version, desired.environment, at)
    writer.set_ref(ref, tag, before)
    return Moved(*desired.pointer, live, desired.version, before, tag, at.id if at else None)


def _describe_new_versions(
    lock: RepositoryLock, repository: Repository, writer: LedgerWriter, desired: Sequence[DesiredPointer]
) -> VersionRecords:
    """The desired versions that the ledger does not know yet. Raises `EdgitError` where a version is not there,
    `Refused` where it has no file, or by now another one than it was released with."""
    tags: dict[tuple[str, str], Tag] = {}
    for each in desired:
        if each.version is None:
            continue
        tagged = repository.tags.versions.get(each.component, {})
        recorded = writer.versions.get(each.component, {})
        if each.version not in tagged and repository.tip and each.version in recorded:
            lock.notes.append(f"{tag_name(each.component, each.version)} was deleted, and is back from the ledger")
        else:
            tags[each.component, each.version] = needed_version_tag(repository, each.component, each.version)
    commits = commits_of(repository.git, (tag.id for tag in tags.values()))
    files = locate_tagged(repository.git, by_component(tags.items()), repository.types, commits)
    unknown = {}
    for (name, version), tag in tags.items():
        blob = files[name, version].blob if (name, version) in files else None
        released = writer.versions.get(name, {}).get(version)
        if released is None and blob is None:
            raise Refused(
                f"{name} {version} has no file at the commit of its tag",
                hint=f"name the file in .edgit/components.json, or look: git show {tag_name(name, version)}",
            )
        if released is None:
            unknown[name, version] = tag
        elif blob not in (None, released):
            raise Refused(
                f"the tag of {name} {version} was moved to another file; the ledger has the one that was released",
                hint=f"next: edgit tag restore {name} {version}, and release the other file under a new version",
            )
    if not unknown:
        return VersionRecords()
    return describe_versions(repository.git, by_component(unknown.items()), repository.types, repository.now)
