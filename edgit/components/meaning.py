"""Which version the tag of an environment means.

Rules:

- it means the version whose tag it points at, else the one that its message names, else the only version on its commit.
  Two versions on one commit and no word about it mean nothing;
- a version that only an environment's tag still tells of, because its own tag was deleted, is a version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgit.components.tags import PREFIX, Tag, read_name
from edgit.git.objects import Object
from edgit.git.tags import read_headers, read_person, read_tag_object
from resolver.version import canonical, is_version, precedence

# `Deploy my-prompt@v1.0.0 to prod`, `Rollback my-prompt in prod to v1.0.0`
_TOLD = (re.compile(r"@(v?\d\S*)"), re.compile(r"\bto (v?\d\S*)"))


_TOLD_EXACTLY = (
    re.compile(r"Deploy (?P<component>\S+)@(?P<version>\S+) to \S+"),
    re.compile(r"Rollback (?P<component>\S+) in \S+ to (?P<version>\S+)"),
)


@dataclass(frozen=True, slots=True)
class TagMeaning:
    """What an environment's tag says: the version (None: it cannot be told, and `problem` says why), the id of the
    version's tag (of its commit, where that tag is gone), who set it and when (seconds), as far as that is known.
    `dated` is False where the time is only that of the commit or of the version."""

    version: str | None
    version_tag: str | None
    actor: str | None
    at: int | None
    dated: bool
    problem: str | None = None


def read_meaning(
    component: str, tag: Tag, versions: Mapping[str, Tag], commits: Mapping[str, str], objects: Mapping[str, Object]
) -> TagMeaning:
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
                return TagMeaning(version, target, opened.tagger, opened.at, False)
            return TagMeaning(version, target, actor, at, at is not None)
        if opened is None:
            return TagMeaning(None, None, actor, at, at is not None, f"the object {target[:10]} is missing here")
        if target == tag.id:
            actor, at = opened.tagger, opened.at
        message = message if told_version(message) else opened.message
        target = opened.target
        found = objects.get(target)
    dated = at is not None
    if found.kind != "commit":
        return TagMeaning(
            None, None, actor, at, dated, f"it points at a {found.kind}, which is no version and no commit"
        )
    if not dated:
        person, at = read_person(read_headers(found.body)[0].get("committer", ""))
        actor = actor or person
    told = told_version(message)
    if told is not None and told in versions and commits.get(versions[told].id) == target:
        return TagMeaning(told, versions[told].id, actor, at, dated)
    gone = _deployed_version(component, message)
    if gone is not None and gone not in versions:
        return TagMeaning(gone, target, actor, at, dated)
    here = {version: other for version, other in versions.items() if commits.get(other.id) == target}
    if len(here) == 1:
        ((version, other),) = here.items()
        return TagMeaning(version, other.id, actor, at, dated)
    if not here:
        return TagMeaning(None, None, actor, at, dated, f"no version of it is tagged at {target[:10]}")
    names = ", ".join(sorted(here, key=precedence))
    return TagMeaning(None, None, actor, at, dated, f"{names} are all at {target[:10]} and it names none of them")


def _version_named(component: str, name: str) -> str | None:
    """The version of a component that a tag's name means."""
    slot = read_name(PREFIX + name)
    return slot.slot if slot and slot.may_be(component, slot.slot) and is_version(slot.slot) else None


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
