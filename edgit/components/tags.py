"""Which component, version or environment the name of a git tag means, in every form that tools have written.

| Tag                                                              | Written by          |
|------------------------------------------------------------------|---------------------|
| `components/<name>/<slot>`                                        | this tool, Edgit to 0.4.0 |
| `agents/<name>/<slot>`, `<types>/<name>/<slot>`                   | Edgit 0.4.1 to 0.4.4 |
| `components/<types>/<name>/<slot>`, `logic/<types>/<name>/<slot>` | Edgit 0.5.0         |

Rules:

- a slot is a version (`v1.2.3`), or else an environment;
- where a version stands under several names, this tool's own is the one that counts, spelled with its `v`. The others
  are `duplicates`, and told where they disagree;
- a form with a type is of that type's key where it has one (`schemas/answer`), else of the bare name;
- a component goes on in the form of its highest version, so that the tool which made that one sees the next. One
  without versions takes the form that all others have, of several 0.5.0's; `components/<name>` where any has that, and
  where there is none. A key with a type begins in 0.5.0's form.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edgit.components.keys import split_key, typed_key
from resolver.directories import DIRECTORIES, TYPES
from resolver.reference import environment_fault, is_environment, is_name
from resolver.version import canonical, is_version, precedence

PREFIX = "refs/tags/"


class TagName(NamedTuple):
    """What a tag's name says: a bare name, a slot, and the type if it states one. `rank` orders the forms: 0 is this
    tool's own, 1 that of Edgit 0.5.0."""

    component: str
    slot: str
    type: str | None
    rank: int

    def key(self, typed: Container[str]) -> str:
        """Whose tag it is, where these keys with a type are in use."""
        own = typed_key(self.type, self.component) if self.type else self.component
        return own if own in typed else self.component

    def may_be(self, key: str, slot: str) -> bool:
        """Whether a tag of this name may be of a key and slot."""
        return slot == self.slot and key in (self.component, self.type and typed_key(self.type, self.component))


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
class ComponentTags:
    """All tags of components: component → version → tag, and component → environment → tag.

    `duplicates` are further tags of the same component and slot."""

    versions: Mapping[str, Mapping[str, Tag]] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, Tag]] = field(default_factory=dict)
    duplicates: Mapping[tuple[str, str], tuple[Tag, ...]] = field(default_factory=dict)

    def components(self) -> set[str]:
        """Everything that has a tag."""
        return {*self.versions, *self.environments}

    def ref(self, component: str, slot: str, type: str | None = None) -> str:
        """The ref of a slot: the one that it has, else a new one in the form of the component's versions. `type` is
        that of a component that may have none yet."""
        there = self.versions.get(component, {}).get(slot) or self.environments.get(component, {}).get(slot)
        if there:
            return there.ref
        if versions := self.versions.get(component):
            return f"{versions[max(versions, key=precedence)].ref.rpartition('/')[0]}/{slot}"
        if type and not split_key(component)[0]:
            ranks = self._ranks()
            if 0 not in ranks and ranks:
                return (
                    _nested_ref(type, component, slot)
                    if 1 in ranks
                    else f"{PREFIX}{DIRECTORIES[type]}/{component}/{slot}"
                )
        return tag_ref(component, slot)

    def _ranks(self) -> set[int]:
        """The forms that the versions of bare names have."""
        return {
            found.rank
            for name, tags in self.versions.items()
            if not split_key(name)[0]
            for tag in tags.values()
            if (found := read_name(tag.ref))
        }


def tag_ref(component: str, slot: str) -> str:
    """The ref that this tool writes, where no other form is in use."""
    type, name = split_key(component)
    return _nested_ref(type, name, slot) if type else f"{PREFIX}components/{component}/{slot}"


def _nested_ref(type: str, name: str, slot: str) -> str:
    return f"{PREFIX}components/{DIRECTORIES[type]}/{name}/{slot}"


def tag_name(component: str, slot: str) -> str:
    """The tag as it is told and searched for."""
    return f"components/{component}/{slot}"


def read_name(ref: str) -> TagName | None:
    """What a ref means; None for a tag that is no component's."""
    path, _, last = ref.rpartition("/")
    owner = _owner(path)
    slot = _slot(last)
    return TagName(owner[0], slot, owner[1], owner[2]) if owner and slot else None


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
        if re.match(r"[vV]?\d", slot):
            why = (
                f"`{slot}` is not a version such as v1.2.3, nor the name of an environment, which begins with a letter"
            )
        else:
            why = environment_fault(slot)
        yield ref.removeprefix(PREFIX), why


class TagFolder(NamedTuple):
    """The tags below one path, which are of one component or another key of its name: last part of the ref → id."""

    rank: int
    path: str
    component: str
    type: str | None
    ids: Mapping[str, str]


def tag_folders(refs: Mapping[str, str]) -> list[TagFolder]:
    """The tags of components by their paths. There are few paths, and what one means is asked once."""
    folders: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for ref, id in refs.items():
        path, _, last = ref.rpartition("/")
        folders[path][last] = id
    owned = ((path, _owner(path), ids) for path, ids in folders.items())
    return [TagFolder(owner[2], path, owner[0], owner[1], ids) for path, owner, ids in owned if owner]


def read_tags(refs: Mapping[str, str], typed: Container[str] = ()) -> ComponentTags:
    """The tags of components among all refs, where these keys with a type are in use."""
    kinds: tuple[dict[str, dict[str, Tag]], dict[str, dict[str, Tag]]] = ({}, {})
    duplicates: dict[tuple[str, str], tuple[Tag, ...]] = {}
    read: list[tuple[int, bool, str, TagFolder, list[tuple[str, str]]]] = []
    for folder in tag_folders(refs):
        slots = [(text, slot) for text in sorted(folder.ids) if (slot := _slot(text))]
        own = [pair for pair in slots if pair[0] == pair[1]]
        read.append((folder.rank, False, f"{folder.path}/", folder, own))
        if len(own) < len(slots):
            bare = [pair for pair in slots if pair[0] != pair[1]]
            read.append((folder.rank, True, f"{folder.path}/", folder, bare))
    for _, _, path, folder, found in sorted(read, key=lambda each: each[:3]):
        stated = typed_key(folder.type, folder.component) if folder.type else folder.component
        key = stated if stated in typed else folder.component
        for text, slot in found:
            tag = Tag(path + text, folder.ids[text], folder.type)
            there = kinds[not is_version(slot)].setdefault(key, {})
            if there.setdefault(slot, tag) is not tag:
                duplicates[key, slot] = (*duplicates.get((key, slot), ()), tag)
    return ComponentTags(*kinds, duplicates)
