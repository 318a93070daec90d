"""The tag of a version, wherever a move needs it; one that is gone is made anew from what the ledger knows.

Rules:

- a version's tag comes back as the object that it was; where that is gone, as a new tag at its commit; where the commit
  is gone too, at a new commit that holds the version's file;
- `look_up_versions` asks git for all versions that are wanted at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgit.components.tags import PREFIX, ComponentTags, Tag
from edgit.errors import EdgitError
from edgit.git.objects import Object
from edgit.git.tags import lightweight_tags
from edgit.ledger.entries import Created
from edgit.ledger.reading import read_index
from edgit.ledger.writer import LedgerWriter
from edgit.repository.reading import Repository


class VersionTag(NamedTuple):
    """The object that a version's tag names; `kind` is `commit` for one without annotation, else `tag`."""

    id: str
    kind: str


@dataclass(frozen=True, slots=True)
class VersionLookup:
    """What is needed to find, or to make anew, the tags of some versions."""

    tags: Mapping[str, Mapping[str, Tag]]
    #: All tags there are, for the name of one that is made anew.
    names: ComponentTags
    lightweight: frozenset[str]
    #: How a version came to be; read only where the tag of one is gone.
    created: Mapping[tuple[str, str], Created]
    #: The versions that the ledger has: component → version → the file's object id.
    recorded: Mapping[str, Mapping[str, str]]


def look_up_versions(repository: Repository, wanted: Iterable[tuple[str, str]]) -> VersionLookup:
    """Read what `existing_or_restored` needs for these versions."""
    tags = repository.tags.versions
    pairs = list(wanted)
    ids = [tags[name][version].id for name, version in pairs if version in tags.get(name, {})]
    gone = [(name, version) for name, version in pairs if version not in tags.get(name, {})]
    return VersionLookup(
        tags,
        repository.tags,
        lightweight_tags(repository.git, ids) if ids else frozenset(),
        read_index(repository.git, repository.tip).created if gone else {},
        repository.state.versions if repository.tip else {},
    )


def look_up_restorable(repository: Repository) -> VersionLookup:
    """Read what `restored` needs for any version, also for one that has a tag."""
    created = read_index(repository.git, repository.tip).created
    return VersionLookup({}, repository.tags, frozenset(), created, repository.state.versions if repository.tip else {})


def existing_or_restored(writer: LedgerWriter, lookup: VersionLookup, component: str, version: str) -> VersionTag:
    """A version's tag; where it is gone, one that comes back in the writer's transaction."""
    existing = lookup.tags.get(component, {}).get(version)
    if existing:
        return VersionTag(existing.id, "commit" if existing.id in lookup.lightweight else "tag")
    tag = restored(writer, lookup, component, version)
    writer.set_ref(lookup.names.ref(component, version, lookup.created[component, version].type), tag.id, None)
    return tag


def restored(writer: LedgerWriter, lookup: VersionLookup, component: str, version: str) -> VersionTag:
    """The tag of a version that the ledger knows. Raises `EdgitError` where the ledger has it not."""
    recorded = lookup.recorded.get(component, {})
    created = lookup.created.get((component, version))
    if version not in recorded or created is None:
        raise EdgitError(f"the ledger has no {component} {version}; it has {', '.join(sorted(recorded)) or 'none'}")
    return made_anew(writer, created, recorded[version])


def made_anew(
    writer: LedgerWriter, created: Created, blob: str, *, said: str = "restored from the ledger"
) -> VersionTag:
    """A version's tag as it was, or else a new one at its commit, or else at a new commit that holds its file."""
    here = writer.git.check([created.tag, created.commit])
    if created.tag in here:
        return VersionTag(created.tag, "commit" if created.tag == created.commit else "tag")
    commit = created.commit if created.commit in here else _lone_commit(writer, created, blob)
    return VersionTag(
        writer.tag(created.name, commit, "commit", f"{created.component} {created.version}, {said}"), "tag"
    )


def _lone_commit(writer: LedgerWriter, created: Created, blob: str) -> str:
    """A commit without parents that holds a version's file and nothing else: its own commit is gone for good."""
    _, _, now, zone = writer.identity
    path = created.path or f"components/{created.component}"
    tree = writer.edited(None, {path: blob})
    person = f"{writer.person} {now} {zone}"
    subject = f"{created.component} {created.version}, restored from the ledger"
    message = f"{subject}\n\nIts commit {created.commit} is gone.\n"
    return writer.put(Object("commit", f"tree {tree}\nauthor {person}\ncommitter {person}\n\n{message}".encode()))


def new_pointer_tag(
    writer: LedgerWriter, ref: str, component: str, version: str, environment: str, at: VersionTag
) -> str:
    """A new tag of an environment at a version's tag; its id."""
    return writer.tag(ref.removeprefix(PREFIX), at.id, at.kind, f"Deploy {component}@{version} to {environment}")
