"""What a publish will write, found and checked before anything is written.

Everything that can be refused is refused here: contents that KV has otherwise, a map that has grown too large. What KV
cannot hold is held back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from edgit.errors import Refused
from edgit.kv.comparison import MapComparison, PublishedMap, read_moves
from edgit.kv.conductor import (
    PREFIXES,
    Layout,
    SlotPlan,
    SlotWrite,
    is_ours,
    layout_of,
    removed_slots,
    slot_writes,
    wanted_slots,
)
from edgit.kv.plan import (
    WITH_LESS,
    RequiredWrites,
    StorableFile,
    WritePlan,
    bullet_list,
    fitness,
    judged,
    map_write,
    nearly_outgrown,
    outgrown,
    oversized,
    plan,
    required_writes,
)
from edgit.kv.publication import Publication, PublicationSource, VersionKey
from edgit.kv.quarantine import HeldBack, hold_back, without_moves_to
from edgit.kv.store import Kv, KvValue
from resolver.documents import content_key, decode_content_metadata, history_key

T = TypeVar("T")
#: So many contents are looked up one by one; of more, KV's keys are listed.
_ASKED_FOR = 100
#: So many files are read from git, and written, at once.
CHUNK = 1000
#: Bytes of text that are kept between the look at a file and its writing; what is more is read twice.
_KEPT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PreparedPublish:
    """A plan, and what it takes to carry it out."""

    publication: Publication
    plan: WritePlan
    fits: Mapping[VersionKey, StorableFile]
    warnings: tuple[str, ...]
    files: FileCache
    slots: SlotPlan
    held_back: tuple[HeldBack, ...] = ()


class FileCache:
    """Git's files, as many kept in memory as there is room for."""

    def __init__(self, source: PublicationSource) -> None:
        self._source = source
        self._kept: dict[str, bytes] = {}
        self._room = _KEPT

    def read(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        wanted = list(dict.fromkeys(blobs))
        found = {blob: self._kept[blob] for blob in wanted if blob in self._kept}
        rest = [blob for blob in wanted if blob not in found]
        fresh = self._source.read(rest) if rest else {}
        for blob, data in fresh.items():
            if len(data) <= self._room:
                self._kept[blob] = data
                self._room -= len(data)
        return {**found, **fresh}


def prepare(
    source: PublicationSource,
    kv: Kv,
    publication: Publication,
    held: PublishedMap | None,
    found: MapComparison,
    now: Callable[[], datetime],
    everything: bool,
    layout: Layout = "plain",
) -> PreparedPublish:
    """What is to be written. Raises `Refused` where something cannot be."""
    since = held.generation if held and found.same_ledger else None
    late = {(each.component, each.environment) for each in found.held_back}
    before_ = held.pointers if held else {}
    asked = required_writes(publication, before_, None if everything else since, {name for name, _ in late})
    files = FileCache(source)
    looked_at = _looked_at(publication, asked.looked_at, files)
    fits, warnings = judged(asked, looked_at)
    publication, held_back = hold_back(publication, held if since is not None else None, asked, looked_at)
    contents = [version for version in asked.contents if version in fits]
    keys = {version: content_key(*version) for version in contents}
    stored, digests = _stored(kv, asked.documents, list(keys.values()))
    publication = _without_unseen(publication, asked, stored, looked_at, files)
    _refuse_rewriting(kv, [(keys[version], digests, fits[version]) for version in contents])
    missing = [version for version in contents if keys[version] not in digests]
    planned = plan(publication, asked, fits, held, stored, missing, since, now(), layout, late)
    if too_large := oversized(planned):
        raise Refused(f"nothing was published: KV cannot hold\n{bullet_list(too_large)}")
    whole = map_write(publication, layout)
    if why := outgrown(whole, publication.pointers, held):
        raise Refused(f"nothing was published: {why}", hint=WITH_LESS)
    slots = SlotPlan()
    before = layout_of(held.entry if held else None) or "plain"
    if layout == "conductor" and before == layout and not everything and since is not None:
        slots = _changed_slots(kv, publication, asked, fits, files)
    elif "conductor" in (layout, before):
        slots = _all_slots(kv, publication, files, layout)
    return PreparedPublish(
        publication, planned, fits, (*warnings, *nearly_outgrown(whole.value)), files, slots, held_back
    )


def _without_unseen(
    publication: Publication,
    asked: RequiredWrites,
    stored: Mapping[str, KvValue | None],
    looked_at: Mapping[VersionKey, StorableFile | str],
    files: FileCache,
) -> Publication:
    """The publication without the moves to versions that KV cannot hold; those that it has recorded were seen."""
    unrecorded: list[VersionKey] = []
    for name in asked.histories:
        recorded = {(move.environment, move.version) for move in read_moves(name, stored.get(history_key(name)))}
        unrecorded += [
            (name, move.version)
            for move in publication.moves[name]
            if move.version and (move.environment, move.version) not in recorded
        ]
    versions = list(dict.fromkeys(unrecorded))
    more = _looked_at(publication, [version for version in versions if version not in looked_at], files)
    bad = {version for version in versions if isinstance(looked_at.get(version, more.get(version)), str)}
    return without_moves_to(publication, asked.histories, bad) if bad else publication


def _changed_slots(
    kv: Kv,
    publication: Publication,
    asked: RequiredWrites,
    fits: Mapping[VersionKey, StorableFile],
    files: FileCache,
) -> SlotPlan:
    """Conductor's keys of the components that have changed."""
    names = {*asked.indexes, *asked.histories}
    wanted = list(wanted_slots(publication, names, asked.contents))
    other = [version for version in dict.fromkeys(version for _, version in wanted) if version not in fits]
    found = _looked_at(publication, other, files)
    known = {**fits, **{version: fit for version, fit in found.items() if isinstance(fit, StorableFile)}}
    writes = list(slot_writes(publication, iter(wanted), names, known))
    removed = list(removed_slots(publication, names))
    stored = kv.get_many([*(write.key for write in writes), *removed])
    metadata = {key: entry.metadata for key, entry in stored.items() if entry}
    return SlotPlan(
        tuple(write for write in writes if metadata.get(write.key) != write.metadata),
        tuple(key for key in removed if is_ours(metadata.get(key))),
    )


def _all_slots(kv: Kv, publication: Publication, files: FileCache, layout: Layout) -> SlotPlan:
    """All of Conductor's keys, held against those that are there; none of them shall be in the plain layout."""
    metadata: dict[str, object] = {}
    for prefix in PREFIXES:
        metadata |= kv.list_keys(prefix)
    writes: dict[str, SlotWrite] = {}
    if layout == "conductor":
        names = publication.pointers.keys() | publication.releases.keys()
        found = _looked_at(publication, list(publication.contents), files)
        fits = {version: fit for version, fit in found.items() if isinstance(fit, StorableFile)}
        wanted = wanted_slots(publication, names, publication.contents)
        writes = {write.key: write for write in slot_writes(publication, wanted, names, fits)}
    return SlotPlan(
        tuple(write for key, write in writes.items() if metadata.get(key) != write.metadata),
        tuple(key for key, found in metadata.items() if key not in writes and is_ours(found)),
    )


def _looked_at(
    publication: Publication, versions: Sequence[VersionKey], files: FileCache
) -> dict[VersionKey, StorableFile | str]:
    found: dict[VersionKey, StorableFile | str] = {}
    for part in chunks(versions, CHUNK):
        known = {version: publication.contents.get(version) for version in part}
        data = files.read(content.blob for content in known.values() if content)
        for version, content in known.items():
            found[version] = fitness(version, content, data.get(content.blob) if content else None)
    return found


def _stored(
    kv: Kv, documents: Sequence[str], contents: Sequence[str]
) -> tuple[dict[str, KvValue | None], dict[str, str]]:
    """KV's documents, and the digest of each content that it holds."""
    few = list(contents) if len(contents) <= _ASKED_FOR else []
    entries = kv.get_many([*documents, *few])
    listed: dict[str, object] = {}
    if not few and contents:
        listed = kv.list_keys(content_key("", "").rstrip("/") + "/")
    digests = {key: digest for key in contents if (digest := decode_content_metadata(listed.get(key)).sha256)}
    # What another writer has put has no digest in its metadata: the value is the only one to ask.
    undigested = [key for key in contents if key in listed and key not in digests]
    values = entries | (kv.get_many(undigested) if undigested else {})
    for key in contents:
        entry = values.get(key)
        if entry is not None:
            digests[key] = decode_content_metadata(entry.metadata).sha256 or sha256(entry.value.encode()).hexdigest()
    return {key: entries[key] for key in documents}, digests


def _refuse_rewriting(kv: Kv, contents: Iterable[tuple[str, Mapping[str, str], StorableFile]]) -> None:
    other = [
        f"`{key}` has the SHA-256 {digests[key][:12]}…, git's file {fit.sha256[:12]}…"
        for key, digests, fit in contents
        if digests.get(key, fit.sha256) != fit.sha256
    ]
    if other:
        raise Refused(
            f"nothing was published: {kv.name} holds another content under a version that git has too\n"
            f"{bullet_list(other)}",
            hint="a version's content never changes: tag git's file as a new version, or, if KV's was never meant, "
            "delete that key and publish again",
        )


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
