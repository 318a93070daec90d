"""Making versions, and bringing back their tags. A version never changes: its name is one file for good."""

from __future__ import annotations

from edgit.components.content import content_doubt, content_fault
from edgit.components.files import ComponentFile, locate
from edgit.components.keys import key_to_make, split_key, typed_key
from edgit.components.tags import PREFIX, Tag, tag_name
from edgit.errors import Refused
from edgit.git.tags import commits_of
from edgit.ledger.entries import Created
from edgit.repository.catalog import known, versions_of
from edgit.repository.changes import ChangeOutcome, DesiredPointer, begin, complete
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from edgit.repository.version_tags import look_up_restorable, restored
from resolver.version import canonical


def create_version(
    lock: RepositoryLock,
    repository: Repository,
    component: str,
    version: str,
    commit: str,
    message: str,
    *,
    as_is: bool = False,
    dry_run: bool = False,
) -> ChangeOutcome:
    """Tag a version of a component at a commit, and put it on record. From the same file again it is the same version;
    from another one it is refused. `as_is` says that what looks like a slip in the file is meant."""
    version = canonical(version)
    file = locate(repository.git, [(component, commit)], repository.types).get((component, commit))
    type = repository.types.get(component)
    if file and file.type and type not in (None, file.type):
        raise Refused(
            f"{component} is a {type}, and at {commit[:10]} only a {file.type} has that name",
            hint=f"next: edgit tag create {typed_key(file.type, split_key(component)[1])} {version}",
        )
    component = key_to_make(component, repository.types)
    if file is None:
        raise Refused(
            f"{component} has no file at {commit[:10]}", hint="commit it first, or name it in .edgit/components.json"
        )
    writer = begin(lock, repository)
    existing = repository.tags.versions.get(component, {}).get(version)
    recorded = writer.versions.get(component, {}).get(version)
    tagged, there = _tagged_file(repository, component, existing)
    if (existing or recorded) and (recorded or (there.blob if there else None)) != file.blob:
        raise Refused(
            f"{component} {version} exists already, and versions never change",
            hint=f"next: edgit tag create {component} with a version that is free; "
            f"the highest is {versions_of(repository, component)[0]}",
        )
    if recorded and not (there and there.blob == recorded):
        became = "moved to another file" if existing else "deleted"
        raise Refused(
            f"{component} {version} exists already, and its tag was {became}",
            hint=f"next: edgit tag restore {component} {version}",
        )
    if recorded:
        return complete(lock, writer, unchanged=[DesiredPointer(component, version, version)], dry_run=dry_run)
    refuse_content(file.path, repository.git.read([file.blob])[file.blob].body, as_is=as_is)
    ref = repository.tags.ref(component, version, file.type)
    tag = existing.id if existing else writer.tag(ref.removeprefix(PREFIX), commit, "commit", message)
    if not existing:
        writer.set_ref(ref, tag, None)
    created = Created(component, version, tag, tagged or commit, file.type, file.path)
    writer.add(f"version: {created}", [created], {(component, version): file.blob})
    return complete(lock, writer, dry_run=dry_run)


def _tagged_file(repository: Repository, component: str, tag: Tag | None) -> tuple[str | None, ComponentFile | None]:
    """The commit of a version's tag, and the component's file there."""
    commit = commits_of(repository.git, [tag.id]).get(tag.id) if tag else None
    if commit is None:
        return None, None
    return commit, locate(repository.git, [(component, commit)], repository.types).get((component, commit))


def refuse_content(path: str, data: bytes, *, as_is: bool) -> None:
    """Raises `Refused` for a file that KV cannot hold, or that was probably not meant to be served as it is."""
    if fault := content_fault(data):
        raise Refused(f"{path} cannot be a version: {fault}", hint="KV holds UTF-8 text of at most 25 MiB")
    if not as_is and (doubt := content_doubt(data)):
        raise Refused(f"{path}: {doubt}; no version was made", hint="if it is meant so: --as-is")


def restore_version(
    lock: RepositoryLock, repository: Repository, component: str, version: str, *, dry_run: bool = False
) -> ChangeOutcome:
    """Bring back the tag of a version that the ledger knows, at its commit, or at a new one that holds its file."""
    component = known(repository, component)
    version = canonical(version)
    recorded = repository.state.versions.get(component, {}).get(version) if repository.tip else None
    existing = repository.tags.versions.get(component, {}).get(version)
    _, file = _tagged_file(repository, component, existing)
    if recorded and file and file.blob == recorded:
        unchanged = DesiredPointer(component, version, version)
        return ChangeOutcome((), (unchanged,), tuple(lock.notes), dry_run)
    writer = begin(lock, repository)
    tag = restored(writer, look_up_restorable(repository), component, version)
    before = existing.id if existing else None
    writer.set_ref(repository.tags.ref(component, version, repository.types.get(component)), tag.id, before)
    lock.notes.append(f"{tag_name(component, version)} is back")
    return complete(lock, writer, dry_run=dry_run)
