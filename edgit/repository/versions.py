"""What commands do to the ledger and the tags: move pointers, make versions, adopt, restore.

Rules:

- each is one entry, or none where nothing would change, and one transaction; all or nothing;
- a version is immutable: what goes live under its name is the file that was released under it;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

from edgit.components.tags import tag_name, tag_ref
from edgit.errors import Refused
from edgit.ledger.entries import Created
from edgit.repository.changes import ChangeOutcome, DesiredPointer, begin, finish
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from edgit.repository.recovery import restored_version
from resolver.version import canonical


def create_version(
    desk: RepositoryLock,
    world: Repository,
    component: str,
    version: str,
    commit: str,
    message: str,
    *,
    dry_run: bool = False,
) -> ChangeOutcome:
    """Tag a version of a component at a commit, and put it on record. From the same file again it is the same version;
    from another one it is refused."""
    version = canonical(version)
    file = world.file_at(component, commit)
    if file is None:
        raise Refused(
            f"{component} has no file at {commit[:10]}", hint="commit it first, or name it in .edgit/components.json"
        )
    chain = begin(desk, world)
    existing = world.tags.versions.get(component, {}).get(version)
    recorded = chain.versions.get(component, {}).get(version)
    tagged = world.commits_of([existing.id]).get(existing.id) if existing else None
    there = world.file_at(component, tagged) if tagged else None
    if (existing or recorded) and (recorded or (there.blob if there else None)) != file.blob:
        raise Refused(
            f"{component} {version} exists already, and versions never change",
            hint=f"next: edgit tag create {component} with a version that is free; "
            f"the highest is {world.versions(component)[0]}",
        )
    if recorded and not (there and there.blob == recorded):
        became = "moved to another file" if existing else "deleted"
        raise Refused(
            f"{component} {version} exists already, and its tag was {became}",
            hint=f"next: edgit tag restore {component} {version}",
        )
    if recorded:
        return finish(desk, chain, unchanged=[DesiredPointer(component, version, version)], dry_run=dry_run)
    _check_text(world, file.path, file.blob)
    tag = existing.id if existing else chain.tag(tag_name(component, version), commit, "commit", message)
    if not existing:
        chain.set_ref(tag_ref(component, version), tag, None)
    created = Created(component, version, tag, tagged or commit, file.type, file.path)
    chain.add(f"version: {created}", [created], {(component, version): file.blob})
    return finish(desk, chain, dry_run=dry_run)


def _check_text(world: Repository, path: str, blob: str) -> None:
    try:
        world.git.read([blob])[blob].body.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text (byte {error.start}), and KV holds text") from None


def restore_version(
    desk: RepositoryLock, world: Repository, component: str, version: str, *, dry_run: bool = False
) -> ChangeOutcome:
    """Bring back the tag of a version that the ledger knows, at its commit, or at a new one that holds its file."""
    world.known(component)
    version = canonical(version)
    recorded = world.state.versions.get(component, {}).get(version) if world.ledger else None
    existing = world.tags.versions.get(component, {}).get(version)
    commit = world.commits_of([existing.id]).get(existing.id) if existing else None
    file = world.file_at(component, commit) if commit else None
    if recorded and file and file.blob == recorded:
        return ChangeOutcome((), (DesiredPointer(component, version, version),), tuple(desk.notes), dry_run)
    chain = begin(desk, world)
    tag = restored_version(chain, world, component, version)
    chain.set_ref(existing.ref if existing else tag_ref(component, version), tag.id, existing.id if existing else None)
    desk.notes.append(f"{tag_name(component, version)} is back")
    return finish(desk, chain, dry_run=dry_run)
