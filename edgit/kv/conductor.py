"""The keys under which Conductor itself looks for components: what a team publishes that has no resolver yet.

| Conductor's reader                                  | Key                                                  |
|-----------------------------------------------------|------------------------------------------------------|
| `utils/component-resolver.ts`, binding EDGIT         | `components/<types>/<name>/<slot>`                   |
| the same, binding COMPONENTS; `sdk/edgit.ts`         | `<types>/<name>/<slot>`                              |
| `runtime/component-loader.ts`; `kv://` in e-mails     | `<types>/<name>@<slot>`                              |
| `sdk/edgit.ts`, `listComponentVersions`              | `<types>/<name>/_versions`, `["v1.1.0", "v1.0.0"]`   |

Rules:

- a slot is a pointer, `latest` and `stable` among them, or a version. Each key holds the file itself;
- the metadata is what `sdk/edgit.ts` reads, with the layout and the file's digest: by them it is known what is written
  already, and what is edgit's to delete. Nothing else below these prefixes is touched;
- a component without a known type has no such keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec

from edgit.components.keys import split_key
from edgit.components.versions import highest_first
from edgit.kv.plan import StorableFile
from edgit.kv.publication import DERIVED, Publication, VersionKey
from edgit.kv.store import KvValue
from resolver.directories import DIRECTORIES
from resolver.documents import content_key
from resolver.instant import format_instant

Layout = Literal["plain", "conductor"]
LAYOUTS: tuple[Layout, ...] = ("plain", "conductor")
#: What all these keys begin with.
PREFIXES = tuple(f"{before}{types}/" for types in DIRECTORIES.values() for before in ("", "components/"))


class SlotWrite(NamedTuple):
    """A key, and what it shall hold: a version's file, or a text."""

    key: str
    content: VersionKey | str
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """What is to be written, and what is to be deleted."""

    writes: tuple[SlotWrite, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return len(self.writes) + len(self.gone)


def layout_of(entry: KvValue | None) -> Layout | None:
    """The layout that a version map was published with; None where it says none."""
    metadata = entry.metadata if entry else None
    return "conductor" if isinstance(metadata, Mapping) and metadata.get("layout") == "conductor" else None


def slot_keys(type: str, name: str, slot: str) -> tuple[str, str, str]:
    """The keys of one slot."""
    types = DIRECTORIES[type]
    return f"components/{types}/{name}/{slot}", f"{types}/{name}@{slot}", f"{types}/{name}/{slot}"


def wanted_slots(
    publication: Publication, names: Collection[str], versions: Collection[VersionKey]
) -> Iterator[tuple[str, VersionKey]]:
    """Key → version, for these versions and for all pointers of these components."""
    slots = [(name, version, version) for name, version in versions]
    slots += [
        (name, slot, version) for name in sorted(names) for slot, version in publication.pointers.get(name, {}).items()
    ]
    for name, slot, version in slots:
        for key in _keys(publication, name, slot):
            yield key, (name, version)


def removed_slots(publication: Publication, names: Collection[str]) -> Iterator[str]:
    """The keys of pointers that these components once had."""
    for name in sorted(names):
        there = publication.pointers.get(name, {})
        for slot in dict.fromkeys([*(move.environment for move in publication.moves.get(name, ())), *DERIVED]):
            if slot not in there:
                yield from _keys(publication, name, slot)


def _keys(publication: Publication, name: str, slot: str) -> Iterator[str]:
    stated, bare = split_key(name)
    type = stated or publication.types.get(name)
    if type is None:
        return iter(())
    # A key with a type (`schemas/answer`) has its contents under the first of these already.
    content = content_key(name, slot) if (name, slot) in publication.contents else None
    return (key for key in slot_keys(type, bare, slot) if key != content)


def slot_writes(
    publication: Publication,
    wanted: Iterator[tuple[str, VersionKey]],
    names: Collection[str],
    fits: Mapping[VersionKey, StorableFile],
) -> Iterator[SlotWrite]:
    """What these keys shall hold, and the lists of versions of these components."""
    made = {(name, each.version): each.at for name, found in publication.releases.items() for each in found}
    for key, version in wanted:
        if version in fits and version in publication.contents:
            content, at = publication.contents[version], made.get(version)
            fields = {
                "layout": "conductor",
                "type": publication.types.get(version[0]),
                "version": version[1],
                "sha": content.commit,
                "date": format_instant(at) if at else None,
                "sha256": fits[version].sha256,
            }
            yield SlotWrite(key, version, {name: value for name, value in fields.items() if value is not None})
    for name in sorted(names):
        stated, bare = split_key(name)
        type = stated or publication.types.get(name)
        releases = publication.releases.get(name, ())
        listed = highest_first(each.version for each in releases if not each.is_withdrawn())
        if type and listed:
            text = msgspec.json.encode(listed).decode()
            metadata = {"layout": "conductor", "sha256": sha256(text.encode()).hexdigest()}
            yield SlotWrite(f"{DIRECTORIES[type]}/{bare}/_versions", text, metadata)


def is_ours(metadata: object) -> bool:
    """Whether a key below these prefixes was written by this layout."""
    return isinstance(metadata, Mapping) and metadata.get("layout") == "conductor"
