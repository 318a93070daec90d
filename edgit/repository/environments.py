"""What the tags of environments say: each with the version that it means.

Rules:

- an environment may have several tags, under older forms of the name. The one that was set last counts, and one that
  the ledger knows to be over does not. The others are kept, to be told where they disagree;
- git is asked as often for a thousand tags as for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgit.components.meaning import TagMeaning, read_meaning, told_version
from edgit.components.tags import ComponentTags, Tag, tag_ref
from edgit.git.objects import Object
from edgit.git.process import Git
from edgit.git.tags import commits_of, read_dates, read_tag_object
from edgit.ledger.history import LedgerIndex
from edgit.ledger.reading import read_index

_Place = tuple[str, str, Tag]
"""Component, environment, and a tag of it."""


@dataclass(frozen=True, slots=True)
class EnvironmentTag:
    """A tag of an environment, and what it means."""

    component: str
    environment: str
    tag: Tag
    meaning: TagMeaning
    #: The name that the tag's object states; None for a tag without an object of its own.
    stated_name: str | None
    #: False for a further tag of the same environment.
    counts: bool

    @property
    def pointer(self) -> tuple[str, str]:
        return self.component, self.environment


def choose_latest(git: Git, read: ComponentTags, tip: str | None, now: int) -> ComponentTags:
    """The tags with the last set one of each environment in its place, and the rest as its duplicates."""
    several = {
        (name, slot): (read.environments[name][slot], *others)
        for (name, slot), others in read.duplicates.items()
        if slot in read.environments.get(name, {})
    }
    if not several:
        return read
    index = read_index(git, tip)
    dates = read_dates(git, [tag.id for forms in several.values() for tag in forms], now)
    environments = {name: dict(found) for name, found in read.environments.items()}
    duplicates = dict(read.duplicates)
    for (name, slot), forms in several.items():
        # What the ledger knows to be over does not count, whatever its clock said.
        fresh = [tag for tag in forms if not _is_over(index, (name, slot), tag)] or forms
        last = max(fresh, key=lambda tag: dates.get(tag.id, (None, None))[1] or 0)
        environments[name][slot] = last
        duplicates[name, slot] = tuple(tag for tag in forms if tag is not last)
    return replace(read, environments=environments, duplicates=duplicates)


def _is_over(index: LedgerIndex, pointer: tuple[str, str], tag: Tag) -> bool:
    return tag.id in index.known_tags.get(pointer, ()) and tag.id != index.last_moves[pointer].tag


def read_environment_tags(git: Git, tags: ComponentTags) -> tuple[EnvironmentTag, ...]:
    """Every tag of every environment with its meaning; first those that count."""
    counting = [(name, slot, tag) for name, found in tags.environments.items() for slot, tag in found.items()]
    others = [
        (name, slot, tag)
        for (name, slot), found in tags.duplicates.items()
        if slot in tags.environments.get(name, {})
        for tag in found
    ]
    places = counting + others
    objects = _read_objects(git, tags, places)
    commits = _read_commits(git, tags, places, objects)
    return tuple(
        EnvironmentTag(
            name,
            slot,
            tag,
            read_meaning(name, tag, tags.versions.get(name, {}), commits, objects),
            _stated_name(objects.get(tag.id)),
            counts=number < len(counting),
        )
        for number, (name, slot, tag) in enumerate(places)
    )


def _stated_name(found: Object | None) -> str | None:
    return read_tag_object(found.body).name if found and found.kind == "tag" else None


def _read_objects(git: Git, tags: ComponentTags, places: Sequence[_Place]) -> dict[str, Object]:
    """The objects that environments' tags lead to, down to the commits."""
    found: dict[str, Object] = {}
    wanted = {tag.id for _, _, tag in places}
    known = {tag.id for versions in tags.versions.values() for tag in versions.values()}
    while wanted:
        read = git.read(wanted)
        found |= read
        opened = (read_tag_object(object.body) for object in read.values() if object.kind == "tag")
        # A version's own tag needs no look: its name has said already what it is.
        onward = {tag.target for tag in opened if not (tag.target_kind == "tag" and tag.target in known)}
        wanted = onward - found.keys()
    return found


def _read_commits(
    git: Git, tags: ComponentTags, places: Sequence[_Place], objects: Mapping[str, Object]
) -> dict[str, str]:
    """Version tag → commit, of the versions that an environment's tag at a commit itself may mean."""
    named: list[tuple[str, str, str | None]] = []  # component, target, the version tag that its message names
    for name, _, tag in places:
        found = objects.get(tag.id)
        opened = read_tag_object(found.body) if found and found.kind == "tag" else None
        if opened is None:
            named.append((name, tag.id, None))
        elif opened.target_kind == "commit":
            told = tags.versions.get(name, {}).get(told_version(opened.message) or "")
            named.append((name, opened.target, told.id if told else None))
        elif opened.target not in objects:
            continue  # A version's own tag.
        else:
            named.append((name, "", None))  # A tag of a tag: whatever it ends in.
    # The version that it names is one question. Where it names none, or wrongly, all of them are.
    commits = commits_of(git, (id for _, _, id in named if id))
    doubtful = {name for name, target, id in named if id is None or commits.get(id) != target}
    rest = {tag.id for name in doubtful for tag in tags.versions.get(name, {}).values()}
    return commits | commits_of(git, rest - set(commits))


def find_untagged_versions(
    tags: ComponentTags, environment_tags: Sequence[EnvironmentTag]
) -> dict[str, dict[str, Tag]]:
    """Versions without a tag of their own that an environment's tag still tells of, with what is left of it."""
    found: dict[str, dict[str, Tag]] = {}
    for each in environment_tags:
        version, version_tag = each.meaning.version, each.meaning.version_tag
        if version and version_tag and version not in tags.versions.get(each.component, {}):
            ref = tag_ref(each.component, version)
            found.setdefault(each.component, {})[version] = Tag(ref, version_tag, each.tag.type)
    return found
