"""Which component, version and environment a git tag means, in every form that tools have written.

| Tag                                                              | Written by          |
|------------------------------------------------------------------|---------------------|
| `components/<name>/<slot>`                                        | this tool, Edgit to 0.4.0 |
| `agents/<name>/<slot>`, `<types>/<name>/<slot>`                   | Edgit to 0.4.4      |
| `components/<types>/<name>/<slot>`, `logic/<types>/<name>/<slot>` | Edgit 0.5.0         |

Rules:

- a slot is a version (`v1.2.3`), or else an environment;
- where one slot of a component stands under several names, this tool's own is the one that counts;
- an environment's tag means the version whose tag it points at, else the one that its message names, else the only
  version on its commit. Two versions on one commit and no word about it mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgit.git import Object
from resolver.reference import TYPES, is_environment, is_name
from resolver.version import canonical, is_version

PREFIX = "refs/tags/"


@dataclass(frozen=True, slots=True)
class Slot:
    """What a tag's name says. `rank` orders the forms: 0 is this tool's own."""

    component: str
    slot: str
    type: str | None
    rank: int


@dataclass(frozen=True, slots=True)
class Tag:
    """A ref below refs/tags and the object it names."""

    ref: str
    id: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Tagged:
    """All tags of components: component → version → tag, and component → environment → tag."""

    versions: Mapping[str, Mapping[str, Tag]] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, Tag]] = field(default_factory=dict)

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
    first, *middle, last = ref.removeprefix(PREFIX).split("/")
    if not middle or not ref.startswith(PREFIX):
        return None
    type: str | None = None
    rank = 0
    if first in ("components", "logic"):
        if middle[0] in TYPES and len(middle) > 1:
            type, middle, rank = TYPES[middle[0]], middle[1:], 1
        elif first == "logic":
            return None
    elif first in TYPES:
        type, rank = TYPES[first], 2
    else:
        return None
    component = "/".join(middle)
    if not is_name(component):
        return None
    if is_version(last):
        return Slot(component, canonical(last), type, rank)
    return Slot(component, last, type, rank) if is_environment(last) else None


def read_tags(refs: Mapping[str, str]) -> Tagged:
    """The tags of components among all refs."""
    versions: dict[str, dict[str, Tag]] = {}
    environments: dict[str, dict[str, Tag]] = {}
    ranked = sorted(((slot.rank, ref, slot) for ref in refs if (slot := read_name(ref))), key=lambda item: item[:2])
    for _, ref, slot in ranked:
        kind = versions if is_version(slot.slot) else environments
        kind.setdefault(slot.component, {}).setdefault(slot.slot, Tag(ref, refs[ref], slot.type))
    return Tagged(versions, environments)


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


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an environment's tag says: the version (None: it cannot be told, and `problem` says why), the id of the
    version's tag, who set it and when (seconds), as far as that is known. `dated` is False where the time is only
    that of the commit."""

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

    `commits` maps object ids (of version tags, and of whatever environments' tags point at) to the commits they end
    in; `objects` holds the tag's own object and what it leads to.
    """
    found = objects.get(tag.id)
    if found is None:
        return Meaning(None, None, None, None, False, "its object is missing here")
    told: str | None = None
    actor: str | None = None
    at: int | None = None
    target = tag.id
    seen: set[str] = set()
    by_id = {version_tag.id: version for version, version_tag in versions.items()}
    while found is not None and found.kind == "tag" and target not in seen:
        seen.add(target)
        opened = read_tag_object(found.body)
        if actor is None:
            actor, at = opened.tagger, opened.at
        if told is None:
            told = told_version(opened.message)
        if target != tag.id:
            # A tag that points at a version's tag, which may itself be deleted or moved by now.
            named = read_name(PREFIX + opened.name)
            if named and named.component == component and is_version(named.slot):
                return Meaning(named.slot, target, actor, at, True)
        target = opened.target
        if target in by_id and not (objects.get(target) and objects[target].kind == "commit"):
            return Meaning(by_id[target], target, actor, at, True)
        found = objects.get(target)
    dated = at is not None
    if found is None or found.kind != "commit":
        return Meaning(None, None, actor, at, dated, "it points at nothing that is a version or a commit")
    if not dated:
        headers, _ = read_headers(found.body)
        person, at = read_person(headers.get("committer", ""))
        actor = actor or person
    if told is not None and told in versions and commits.get(versions[told].id) == target:
        return Meaning(told, versions[told].id, actor, at, dated)
    here = {version: other for version, other in versions.items() if commits.get(other.id) == target}
    if len(here) == 1:
        (version, other), *_ = here.items()
        return Meaning(version, other.id, actor, at, dated)
    if not here:
        return Meaning(None, None, actor, at, dated, f"no version of it is tagged at {target[:10]}")
    names = ", ".join(sorted(here))
    return Meaning(None, None, actor, at, dated, f"{names} are all at {target[:10]} and it names none of them")


def told_version(message: str) -> str | None:
    """The version that a message names: `Deploy my-prompt@v1.0.0 to prod`."""
    subject = message.split("\n", 1)[0]
    for pattern in _TOLD:
        if (found := pattern.search(subject)) and is_version(found[1]):
            return canonical(found[1])
    return None
