"""What a publish will write, found and checked before anything is written.

Everything that can be refused is refused here: files that KV cannot hold, contents that KV has otherwise, a map that
has grown too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from edgit.errors import Refused
from edgit.kv.comparison import MapComparison, PublishedMap
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
from edgit.kv.store import Kv, KvValue
from resolver.documents import content_key, decode_content_metadata

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
) -> PreparedPublish:
    """What is to be written. Raises `Refused` where something cannot be."""
    since = held.generation if held and found.same_ledger else None
    asked = required_writes(publication, held.pointers if held else {}, None if everything else since)
    files = FileCache(source)
    fits, refusals, warnings = judged(asked, _looked_at(publication, asked, files))
    if refusals:
        raise Refused(
            f"nothing was published: KV cannot hold\n{bullet_list(refusals)}",
            hint="tag a version whose file is UTF-8 text of at most 25 MiB, and let the pointers name that one",
        )
    contents = [version for version in asked.contents if version in fits]
    keys = {version: content_key(*version) for version in contents}
    stored, digests = _stored(kv, asked.documents, list(keys.values()))
    _refuse_rewriting(kv, [(keys[version], digests, fits[version]) for version in contents])
    missing = [version for version in contents if keys[version] not in digests]
    planned = plan(publication, asked, fits, held, stored, missing, since, now())
    if too_large := oversized(planned):
        raise Refused(f"nothing was published: KV cannot hold\n{bullet_list(too_large)}")
    whole = map_write(publication)
    if why := outgrown(whole, publication.pointers, held):
        raise Refused(f"nothing was published: {why}", hint=WITH_LESS)
    return PreparedPublish(publication, planned, fits, (*warnings, *nearly_outgrown(whole.value)), files)


def _looked_at(
    publication: Publication, asked: RequiredWrites, files: FileCache
) -> dict[VersionKey, StorableFile | str]:
    found: dict[VersionKey, StorableFile | str] = {}
    for part in chunks(asked.looked_at, CHUNK):
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
