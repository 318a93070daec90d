"""Which component, version and environment a git tag means, in every form that tools have written.

| Tag                                                              | Written by          |
|------------------------------------------------------------------|---------------------|
| `components/<name>/<slot>`                                        | this tool, Edgit to 0.4.0 |
| `agents/<name>/<slot>`, `<types>/<name>/<slot>`                   | Edgit to 0.4.4      |
| `components/<types>/<name>/<slot>`, `logic/<types>/<name>/<slot>` | Edgit 0.5.0         |

Rules:

- a slot is a version (`v1.2.3`), or else an environment;
- where a version stands under several names, this tool's own is the one that counts, spelled with its `v`; of an
  environment's tags it is the one that was set last. The others are `rivals`, and told where they disagree;
- an environment's tag means the version whose tag it points at, else the one that its message names, else the only
  version on its commit. Two versions on one commit and no word about it mean nothing;
- a version that only an environment's tag still tells of, because its own tag was deleted, is a version.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edgit.git import Object
from resolver.reference import TYPES, is_environment, is_name
from resolver.version import canonical, is_version, precedence

PREFIX = "refs/tags/"


class Slot(NamedTuple):
    """What a tag's name says. `rank` orders the forms: 0 is this tool's own."""

    component: str
    slot: str
    type: str | None
    rank: int


class Tag(NamedTuple):
    """A ref below refs/tags and the object it names."""

    ref: str
    id: str
    type: str | None = None

    @property
    def name(self) -> str:
        """The tag as git lists it."""
        return self.ref.removeprefix(PREFIX)


@dataclass(frozen=True, slots=True)
class Tagged:
    """All tags of components: component → version → tag, and component → environment → tag. `rivals` are further tags
    of the same component and slot."""

    versions: Mapping[str, Mapping[str, Tag]] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, Tag]] = field(default_factory=dict)
    rivals: Mapping[tuple[str, str], tuple[Tag, ...]] = field(default_factory=dict)

    def components(self) -> set[str]:
        """Everything that has a tag."""
        return {*self.versions, *self.environments}


def tag_ref(component: str, slot: str) -> str:
    """The ref that this tool writes."""
    return f"{PREFIX}components/{component}/{slot}"


def tag_name(component: str, slot: str) -> str:
    """The tag as it is told and searched for."""
    return f"components/{component}/{slot}"


def read_name(ref: str) -> Slot | None:
    """What a ref means; None for a tag that is no component's."""
    path, _, last = ref.rpartition("/")
    owner = _owner(path)
    slot = _slot(last)
    return Slot(owner[0], slot, owner[1], owner[2]) if owner and slot else None


# A repository has many more tags than components and slots.
@functools.lru_cache(maxsize=65536)
def _owner(path: str) -> tuple[str, str | None, int] | None:
    """Component, type and rank of the tags below a path."""
    if not path.startswith(PREFIX):
        return None
    first, *middle = path.removeprefix(PREFIX).split("/")
    type: str | None = None
    rank = 0
    if first in ("components", "logic"):
        if middle and middle[0] in TYPES and len(middle) > 1:
            type, middle, rank = TYPES[middle[0]], middle[1:], 1
        elif first == "logic":
            return None
    elif first in TYPES:
        type, rank = TYPES[first], 2
    else:
        return None
    component = "/".join(middle)
    # A name that began with a type's folder could not be told from one without it.
    return (component, type, rank) if is_name(component) and not (len(middle) > 1 and middle[0] in TYPES) else None


@functools.lru_cache(maxsize=65536)
def _slot(text: str) -> str | None:
    if is_version(text):
        return canonical(text)
    return text if is_environment(text) else None


def unread(refs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The tags that are written like a component's and mean nothing here, with why."""
    for ref in refs:
        path, _, slot = ref.rpartition("/")
        owner = _owner(path)
        if owner is None or _slot(slot) is not None:
            continue
        if slot in ("latest", "stable"):
            why = f"`{slot}` is no environment here: it always is the highest version" + (
                " without a pre-release" if slot == "stable" else ""
            )
        elif re.match(r"[vV]?\d", slot):
            why = (
                f"`{slot}` is not a version such as v1.2.3, nor the name of an environment, which begins with a letter"
            )
        else:
            why = f"`{slot}` cannot name an environment: a letter, then letters, digits, `-` and `_`"
        yield ref.removeprefix(PREFIX), why


def read_tags(refs: Mapping[str, str]) -> Tagged:
    """The tags of components among all refs."""
    versions: dict[str, dict[str, Tag]] = {}
    environments: dict[str, dict[str, Tag]] = {}
    rivals: dict[tuple[str, str], tuple[Tag, ...]] = {}
    read = [(slot.rank, not ref.endswith(slot.slot), ref, slot) for ref in refs if (slot := read_name(ref))]
    for _, _, ref, slot in sorted(read):
        tag = Tag(ref, refs[ref], slot.type)
        kind = versions if is_version(slot.slot) else environments
        if kind.setdefault(slot.component, {}).setdefault(slot.slot, tag) is not tag:
            key = (slot.component, slot.slot)
            rivals[key] = (*rivals.get(key, ()), tag)
    return Tagged(versions, environments, rivals)


@dataclass(frozen=True, slots=True)
class TagObject:
    """An annotated tag: what it points at, who set it and when (seconds), and its message."""

    target: str
    target_kind: str
    name: str
    tagger: str | None
    at: int | None
    message: str


_PERSON = re.compile(r"(?P<who>.*) (?P<at>-?\d+) (?P<zone>[+-]\d+)$")


def read_person(line: str) -> tuple[str | None, int | None]:
    """Who and when (seconds) from `Ada <ada@example.com> 1731422700 +0000`."""
    found = _PERSON.fullmatch(line)
    return (found["who"], max(0, int(found["at"]))) if found else (None, None)


def read_headers(body: bytes) -> tuple[dict[str, str], str]:
    """The first header of each name, and the message, of a tag or a commit."""
    head, _, message = body.decode(errors="replace").partition("\n\n")
    headers: dict[str, str] = {}
    for line in head.split("\n"):
        name, _, value = line.partition(" ")
        headers.setdefault(name, value)
    return headers, message


def read_tag_object(body: bytes) -> TagObject:
    """An annotated tag from its text."""
    headers, message = read_headers(body)
    tagger, at = read_person(headers.get("tagger", ""))
    return TagObject(
        headers.get("object", ""), headers.get("type", ""), headers.get("tag", ""), tagger, at, message.strip()
    )


# `Deploy my-prompt@v1.0.0 to prod`, `Rollback my-prompt in prod to v1.0.0`
_TOLD = (re.compile(r"@(v?\d\S*)"), re.compile(r"\bto (v?\d\S*)"))
_TOLD_EXACTLY = (
    re.compile(r"Deploy (?P<component>\S+)@(?P<version>\S+) to \S+"),
    re.compile(r"Rollback (?P<component>\S+) in \S+ to (?P<version>\S+)"),
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an environment's tag says: the version (None: it cannot be told, and `problem` says why), the id of the
    version's tag (of its commit, where that tag is gone), who set it and when (seconds), as far as that is known.
    `dated` is False where the time is only that of the commit or of the version."""

    version: str | None
    version_tag: str | None
    actor: str | None
    at: int | None
    dated: bool
    problem: str | None = None


def meaning(
    component: str, tag: Tag, versions: Mapping[str, Tag], commits: Mapping[str, str], objects: Mapping[str, Object]
) -> Meaning:
    """What an environment's tag means.

    `commits` maps version tags to the commits they end in, as far as a tag at a commit may mean them; `objects` holds
    the tag's own object and what it leads to, but for the versions' tags.
    """
    by_id = {version_tag.id: version for version, version_tag in versions.items()}
    target, message = tag.id, ""
    actor: str | None = None
    at: int | None = None
    found = objects.get(target)
    while found is None or found.kind == "tag":
        opened = read_tag_object(found.body) if found else None
        # A version's tag says all by its name, and the object keeps it when the tag is deleted or moved.
        version = by_id.get(target) or (_version_named(component, opened.name) if opened else None)
        if version is not None:
            if target == tag.id and opened:
                return Meaning(version, target, opened.tagger, opened.at, False)
            return Meaning(version, target, actor, at, at is not None)
        if opened is None:
            return Meaning(None, None, actor, at, at is not None, f"the object {target[:10]} is missing here")
        if target == tag.id:
            actor, at = opened.tagger, opened.at
        message = message if told_version(message) else opened.message
        target = opened.target
        found = objects.get(target)
    dated = at is not None
    if found.kind != "commit":
        return Meaning(None, None, actor, at, dated, f"it points at a {found.kind}, which is no version and no commit")
    if not dated:
        person, at = read_person(read_headers(found.body)[0].get("committer", ""))
        actor = actor or person
    told = told_version(message)
    if told is not None and told in versions and commits.get(versions[told].id) == target:
        return Meaning(told, versions[told].id, actor, at, dated)
    gone = _deployed_version(component, message)
    if gone is not None and gone not in versions:
        return Meaning(gone, target, actor, at, dated)
    here = {version: other for version, other in versions.items() if commits.get(other.id) == target}
    if len(here) == 1:
        ((version, other),) = here.items()
        return Meaning(version, other.id, actor, at, dated)
    if not here:
        return Meaning(None, None, actor, at, dated, f"no version of it is tagged at {target[:10]}")
    names = ", ".join(sorted(here, key=precedence))
    return Meaning(None, None, actor, at, dated, f"{names} are all at {target[:10]} and it names none of them")


def _version_named(component: str, name: str) -> str | None:
    """The version of a component that a tag's name means."""
    slot = read_name(PREFIX + name)
    return slot.slot if slot and slot.component == component and is_version(slot.slot) else None


def told_version(message: str) -> str | None:
    """The version that a message names: `Deploy my-prompt@v1.0.0 to prod`."""
    subject = message.split("\n", 1)[0]
    for pattern in _TOLD:
        if (found := pattern.search(subject)) and is_version(found[1]):
            return canonical(found[1])
    return None


def _deployed_version(component: str, message: str) -> str | None:
    """The version that a message names in just the words of a tool, and of this component: that can be relied on where
    the version has no tag any more."""
    subject = message.split("\n", 1)[0].strip()
    for pattern in _TOLD_EXACTLY:
        found = pattern.fullmatch(subject)
        if found and found["component"] == component and is_version(found["version"]):
            return canonical(found["version"])
    return None
