"""The writes that bring KV to what git says: values only.

Rules:

- contents come first, then `index/` and `history/`, the version map last: whoever stops in between leaves pointers that
  are right, and the next publish writes the generations that are not in the map yet anew;
- a content is never rewritten. One that KV cannot hold is left out, of the index too, so that no range can choose it,
  and a pointer that names it is held back (`quarantine.py`);
- a move keeps the instant at which requests began to see it. Moves that become visible now get the present one, and
  never one before that of a move that they follow: a clock that is behind must not turn the order round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from edgit.kv.comparison import PublishedMap, read_moves, trimmed, with_types
from edgit.kv.publication import DERIVED, Content, Publication, VersionKey
from edgit.kv.store import LARGEST_METADATA, LARGEST_VALUE, LONGEST_KEY, KvValue, KvWrite
from resolver.documents import LARGEST_MAP, VERSION_MAP, Move, Release, content_key, history_key, index_key
from resolver.snapshot import Pointers

#: From this share of `LARGEST_MAP` on a publish warns.
NEARLY = 0.8


WITH_LESS = (
    "take away pointers that nobody asks for (`edgit deploy unset`), or give a part of the components a KV and a "
    "Worker of their own; what only moves pointers that KV has is published at any size"
)


@dataclass(frozen=True, slots=True)
class RequiredWrites:
    """What has changed since a generation: contents that KV must hold, and documents to be compared with KV's.

    `looked_at` are the versions whose files decide something: besides `contents` all versions of an index.
    """

    contents: tuple[VersionKey, ...]
    looked_at: tuple[VersionKey, ...]
    indexes: tuple[str, ...]
    histories: tuple[str, ...]
    pointed_at: Mapping[VersionKey, tuple[str, ...]]

    @property
    def documents(self) -> tuple[str, ...]:
        """The keys of the documents."""
        return (*map(index_key, self.indexes), *map(history_key, self.histories))


def required_writes(
    publication: Publication, before: Pointers, since: int | None, held_back: Collection[str] = ()
) -> RequiredWrites:
    """What has changed since KV held `before` at generation `since`; all of it for None. `held_back` are components
    with pointers that were held back then, and may not be any more."""
    news = [version for version, content in publication.contents.items() if since is None or content.generation > since]
    pointed_at: dict[VersionKey, list[str]] = {}
    derived: set[str] = set()
    for name, pointers in publication.pointers.items():
        known = before.get(name, {}) if since is not None else {}
        for environment, version in pointers.items():
            if known.get(environment) != version:
                pointed_at.setdefault((name, version), []).append(environment)
                if environment in DERIVED:
                    derived.add(name)
    withdrawn = {name for name, at in publication.withdrawals.items() if since is None or at > since}
    indexes = {name for name, _ in news} | derived | withdrawn | (set(held_back) & publication.releases.keys())
    if since is None:
        indexes |= publication.releases.keys()
    histories = [
        name
        for name, moves in publication.moves.items()
        if name in held_back or any(since is None or (move.generation or 0) > since for move in moves)
    ]
    contents = dict.fromkeys([*news, *pointed_at])
    of_indexes = ((name, r.version) for name in sorted(indexes) for r in publication.releases.get(name, ()))
    return RequiredWrites(
        contents=tuple(contents),
        looked_at=tuple(dict.fromkeys([*contents, *of_indexes])),
        indexes=tuple(sorted(indexes)),
        histories=tuple(sorted(histories)),
        pointed_at={version: tuple(sorted(found)) for version, found in pointed_at.items()},
    )


@dataclass(frozen=True, slots=True)
class StorableFile:
    """A file that KV can hold."""

    sha256: str
    size: int


def fitness(version: VersionKey, content: Content | None, data: bytes | None) -> StorableFile | str:
    """Whether KV can hold a version's file, or why not."""
    if content is None or data is None:
        return "git has no file for it"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 text (byte {error.start:,})"
    fit = StorableFile(sha256(data).hexdigest(), len(data))
    write = KvWrite(content_key(*version), text, content_metadata(content, fit))
    return unfit(write) or fit


def content_metadata(content: Content, fit: StorableFile) -> dict[str, str]:
    """The metadata of a content; what is not known is left out."""
    fields = {"type": content.type, "sha256": fit.sha256, "commit": content.commit}
    return {name: value for name, value in fields.items() if value is not None}


def unfit(write: KvWrite) -> str | None:
    """Why KV does not take a write; None where it does."""
    try:
        key = len(write.key.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if key > LONGEST_KEY:
        return f"its key has {key:,} bytes, and KV takes {LONGEST_KEY}"
    size = len(write.value.encode())
    if size > LARGEST_VALUE:
        return f"it has {size:,} bytes, and KV takes {LARGEST_VALUE:,} (25 MiB)"
    metadata = len(msgspec.json.encode(write.metadata))
    if metadata > LARGEST_METADATA:
        return f"its metadata has {metadata:,} bytes, and KV takes {LARGEST_METADATA:,}"
    return None


def judged(
    asked: RequiredWrites, looked_at: Mapping[VersionKey, StorableFile | str]
) -> tuple[dict[VersionKey, StorableFile], tuple[str, ...]]:
    """The contents that fit, and what is left out, of those that no pointer names."""
    fits: dict[VersionKey, StorableFile] = {}
    warnings: list[str] = []
    for version in asked.looked_at:
        found = looked_at[version]
        name = "@".join(version)
        if isinstance(found, StorableFile):
            fits[version] = found
        elif version not in asked.pointed_at:
            warnings.append(f"{name} is left out: {found}")
    return fits, tuple(warnings)


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The writes, in this order: contents (whose texts are read when they are written), documents, the map."""

    contents: tuple[VersionKey, ...]
    documents: tuple[KvWrite, ...]
    map: KvWrite | None

    @property
    def counts(self) -> dict[str, int]:
        """How many writes of each kind."""
        histories = sum(write.key.startswith(history_key("")) for write in self.documents)
        return {
            "contents": len(self.contents),
            "indexes": len(self.documents) - histories,
            "histories": histories,
            "map": int(self.map is not None),
        }

    @property
    def total(self) -> int:
        """How many writes in all."""
        return sum(self.counts.values())


def plan(
    publication: Publication,
    asked: RequiredWrites,
    fits: Mapping[VersionKey, StorableFile],
    held: PublishedMap | None,
    stored: Mapping[str, KvValue | None],
    missing: Iterable[VersionKey],
    since: int | None,
    now: datetime,
    layout: str = "plain",
    late: Collection[tuple[str, str]] = (),
) -> WritePlan:
    """The writes that bring KV to the publication.

    `stored` holds KV's own documents by key, `missing` the contents that KV has not; `since` and `now` are as in
    `stamped`. `late` are the pointers that were held back in `held`.
    """
    documents = []
    for name in asked.indexes:
        if unnameable(name):
            continue
        shown = held.pointers.get(name, {}).values() if held and since is not None else ()
        releases = [r for r in publication.releases.get(name, ()) if (name, r.version) in fits or r.version in shown]
        documents.append(KvWrite(index_key(name), index_text(releases)))
    for name in asked.histories:
        recorded = read_moves(name, stored.get(history_key(name)))
        if unnameable(name):
            continue
        environments = {environment for component, environment in late if component == name}
        moves = stamped(publication.moves[name], recorded, since, now, environments)
        documents.append(KvWrite(history_key(name), history_text(moves)))
    changed = tuple(write for write in documents if stored.get(write.key) != KvValue(write.value, write.metadata))
    whole = map_write(publication, layout)
    current = held is not None and held.entry == KvValue(whole.value, whole.metadata)
    return WritePlan(tuple(missing), changed, None if current else whole)


def unnameable(name: str) -> bool:
    """Whether a component's name is too long for KV: then nothing of it can be there."""
    return len(history_key(name).encode(errors="replace")) > LONGEST_KEY


def stamped(
    moves: Sequence[Move],
    recorded: Sequence[Move],
    since: int | None,
    now: datetime,
    late: Collection[str] = (),
) -> tuple[Move, ...]:
    """The moves with the instant at which requests began to see each.

    Those up to generation `since`, which KV's map has shown, keep what KV has recorded of them. Later ones were never
    seen, whatever an interrupted publish has recorded, and get `now`. None says that it is not known what KV's map has
    shown (there is none, or it was written by hand, or from another ledger): then those that KV has recorded keep it,
    up to the first one that it has not. `late` are environments that were held back: of their moves only what KV has
    recorded was seen.
    """
    known = {_identity(move): move.published_at for move in recorded}

    def was_seen(move: Move) -> bool:
        return _identity(move) in known if since is None else (move.generation or 0) <= since

    unseen = {number for number, move in enumerate(moves) if move.environment in late and _identity(move) not in known}
    others = [move for number, move in enumerate(moves) if number not in unseen]
    kept = [replace(move, published_at=known.get(_identity(move))) for move in takewhile(was_seen, others)]
    stamp = max([now, *(move.effective for move in kept)])
    fresh = [*others[len(kept) :], *(moves[number] for number in sorted(unseen))]
    fresh.sort(key=lambda move: (move.at, move.generation or 0))
    return (*kept, *(replace(move, published_at=stamp) for move in fresh))


def _identity(move: Move) -> tuple[int | None, str, str | None]:
    return move.generation, move.environment, move.version


def history_text(moves: Iterable[Move]) -> str:
    """The document `history/<name>`."""
    return msgspec.json.encode([_in_utc(move) for move in moves]).decode()


def _in_utc(move: Move) -> Move:
    published = move.published_at
    return replace(move, at=move.at.astimezone(UTC), published_at=published and published.astimezone(UTC))


def index_text(releases: Iterable[Release]) -> str:
    """The document `index/<name>`."""

    def in_utc(release: Release) -> Release:
        turns = tuple(at.astimezone(UTC) for at in release.withdrawn)
        return replace(release, at=release.at and release.at.astimezone(UTC), withdrawn=turns)

    return msgspec.json.encode(list(map(in_utc, releases))).decode()


def map_write(publication: Publication, layout: str = "plain") -> KvWrite:
    """The version map, which makes everything visible. Its metadata says which other keys were written with it."""
    text = msgspec.json.encode(with_types(trimmed(publication.pointers), publication.types)).decode()
    metadata: dict[str, object] = {"generation": publication.generation, "revision": publication.revision}
    if publication.held_back:
        metadata["held_back"] = publication.held_back
    return KvWrite(VERSION_MAP, text, metadata if layout == "plain" else {**metadata, "layout": layout})


def oversized(planned: WritePlan) -> tuple[str, ...]:
    """The documents that KV does not take, with why: the history of a component with a hundred thousand moves."""
    writes = [*planned.documents, *([planned.map] if planned.map else [])]
    return tuple(f"`{write.key}`: {reason}" for write in writes if (reason := unfit(write)))


def outgrown(whole: KvWrite, pointers: Pointers, held: PublishedMap | None) -> str | None:
    """Why a version map is too large to be published; None where it is not.

    One that only moves pointers is not, whatever its size: a rollback must always come through.
    """
    size, count = len(whole.value.encode()), _count(pointers)
    if size <= LARGEST_MAP or (held is not None and count <= _count(held.pointers)):
        return None
    return (
        f"the version map would have {size:,} bytes ({len(trimmed(pointers)):,} components, {count:,} pointers), "
        f"and isolates of the edge have room for {LARGEST_MAP:,}"
    )


def _count(pointers: Pointers) -> int:
    return sum(map(len, pointers.values()))


def nearly_outgrown(value: str) -> tuple[str, ...]:
    """What there is to say of the size of a version map."""
    size = len(value.encode())
    if size < LARGEST_MAP * NEARLY:
        return ()
    share = size / LARGEST_MAP
    return (f"the version map has {size:,} bytes, {share:.0%} of what isolates of the edge have room for",)


def bullet_list(lines: Sequence[str], most: int = 20) -> str:
    """Lines as they stand in a message, not all of them where there are many."""
    rest = len(lines) - most
    return "\n".join([*(f"  {line}" for line in lines[:most]), *([f"  … and {rest:,} more"] if rest > 0 else [])])
