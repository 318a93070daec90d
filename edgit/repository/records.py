"""What comes on record of versions that have a tag: when each was made, by whom, and from which file.

Rules:

- a version whose file is not found at the commit of its tag cannot come on record;
- git is asked as often for a thousand versions as for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgit.components.files import ComponentFile, locate
from edgit.components.keys import KnownTypes
from edgit.components.tags import Tag
from edgit.components.versions import by_precedence
from edgit.git.process import Git
from edgit.git.tags import commits_of, read_dates
from edgit.ledger.entries import Created, instant

TagsByVersion = Mapping[str, Mapping[str, Tag]]
"""Component → version → its tag."""


@dataclass(frozen=True, slots=True)
class VersionRecords:
    """What the ledger will say of some versions, and the object id of each one's file."""

    created: tuple[Created, ...] = ()
    files: Mapping[tuple[str, str], str] = field(default_factory=dict)


def describe_versions(git: Git, wanted: TagsByVersion, known: KnownTypes, now: int) -> VersionRecords:
    """The records of these versions, by component and precedence; those whose file is not found are left out."""
    tags = [tag.id for found in wanted.values() for tag in found.values()]
    if not tags:
        return VersionRecords()
    commits = commits_of(git, tags)
    located = locate_tagged(git, wanted, known, commits)
    dates = read_dates(git, tags, now, commits)
    places = by_precedence(version for found in wanted.values() for version in found)
    created: list[Created] = []
    files: dict[tuple[str, str], str] = {}
    for name, found in sorted(wanted.items()):
        for version in sorted(found, key=places.__getitem__):
            tag = found[version]
            if (file := located.get((name, version))) is None:
                continue
            actor, at = dates.get(tag.id, (None, None))
            when = None if at is None else instant(at)
            type = tag.type or file.type
            created.append(Created(name, version, tag.id, commits[tag.id], type, file.path, when, actor))
            files[name, version] = file.blob
    return VersionRecords(tuple(created), files)


def locate_tagged(
    git: Git, wanted: TagsByVersion, known: KnownTypes, commits: Mapping[str, str]
) -> dict[tuple[str, str], ComponentFile]:
    """(component, version) → the file at the commit of its tag; `commits` has the commits of the tags."""
    ends = {
        (name, version): commits[tag.id]
        for name, found in wanted.items()
        for version, tag in found.items()
        if tag.id in commits
    }
    located = locate(git, ((name, commit) for (name, _), commit in ends.items()), known)
    return {key: located[key[0], commit] for key, commit in ends.items() if (key[0], commit) in located}


def by_component(tags: Iterable[tuple[tuple[str, str], Tag]]) -> dict[str, dict[str, Tag]]:
    """The same tags, by component and version."""
    found: dict[str, dict[str, Tag]] = {}
    for (name, version), tag in tags:
        found.setdefault(name, {})[version] = tag
    return found
