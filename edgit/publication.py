"""What git says that KV should hold, what KV holds, and the writes that lead from the one to the other: values only.

Rules:

- KV is a function of the ledger. A generation never goes down, and only what git knows to be behind is written over;
- contents come first, then `index/` and `history/`, the version map last: whoever stops in between leaves pointers that
  are right, and generations that are not in the map yet are written anew by whoever goes on;
- a content is never rewritten. One that KV cannot hold is refused where a pointer names it, and left out otherwise, of
  the index too, so that no range can choose it;
- a move keeps the instant at which requests began to see it; moves that become visible now get the present one, and
  never one before that of a move that they follow: a clock that is behind must not turn the order round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import takewhile
from typing import Literal, Protocol

import msgspec
from msgspec.structs import replace

from edgit.kv import LARGEST_METADATA, LARGEST_VALUE, LONGEST_KEY, Entry, Write
from resolver.documents import (
    LARGEST_MAP,
    VERSION_MAP,
    Move,
    Release,
    content_key,
    decode_history,
    decode_map_metadata,
    history_key,
    index_key,
)
from resolver.errors import InvalidDocument
from resolver.history import format_instant
from resolver.snapshot import Pointers
from resolver.version_map import decode_version_map

Version = tuple[str, str]
"""A component and one of its versions."""

#: The pointers that no move moves: they follow the versions.
DERIVED = ("latest", "stable")
#: From this share of `LARGEST_MAP` on a publish warns.
NEARLY = 0.8
WITH_LESS = (
    "take away pointers that nobody asks for (`edgit deploy unset`), or give a part of the components a KV and a "
    "Worker of their own; what only moves pointers that KV has is published at any size"
)


@dataclass(frozen=True, slots=True)
class Content:
    """One version's file: its type, the commit it was tagged at, its object's id, and since which generation it is."""

    type: str | None
    commit: str | None
    blob: str
    generation: int


@dataclass(frozen=True, slots=True)
class Publication:
    """All that git says KV should hold, as of one commit of the ledger.

    `pointers` hold `latest` and `stable` too. `moves` are oldest first, with their generation and without
    `published_at`.
    """

    generation: int
    revision: str
    pointers: Pointers
    moves: Mapping[str, tuple[Move, ...]] = field(default_factory=dict)
    releases: Mapping[str, tuple[Release, ...]] = field(default_factory=dict)
    contents: Mapping[Version, Content] = field(default_factory=dict)


class Source(Protocol):
    """Git, as far as publishing asks it."""

    @property
    def generation(self) -> int:
        """That of the ledger's tip."""

    @property
    def revision(self) -> str:
        """The commit id of the ledger's tip."""

    def pointers_at(self, revision: str) -> Pointers | None:
        """The version map as of a commit of the ledger; None where it is not the tip or an ancestor of it."""

    def publication(self) -> Publication:
        """All that should be in KV; reads the whole ledger."""

    def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """Files by object id; one that git has not is left out."""


# What KV holds


@dataclass(frozen=True, slots=True)
class Held:
    """The version map as KV holds it. `faults` say what in it cannot be read."""

    entry: Entry
    pointers: Pointers
    generation: int | None
    revision: str | None
    faults: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """How it is called in a message."""
        return shown(self.generation, self.revision)


def shown(generation: int | None, revision: str | None) -> str:
    """`generation 9 (abc1234)`."""
    if generation is None:
        return "a map without a generation"
    return f"generation {generation} ({(revision or 'no revision')[: 7 if revision else None]})"


def read_map(entry: Entry | None) -> Held | None:
    """The version map from its value in KV; None where there is none. One that cannot be read at all is a fault."""
    if entry is None:
        return None
    metadata = decode_map_metadata(entry.metadata)
    try:
        decoded = decode_version_map(entry.value)
    except InvalidDocument as error:
        return Held(entry, {}, metadata.generation, metadata.revision, (error.detail,))
    faults = tuple(f"{problem.entry}: {problem.detail}" for problem in decoded.problems)
    return Held(entry, trimmed(decoded.value), metadata.generation, metadata.revision, faults)


def trimmed(pointers: Pointers) -> dict[str, dict[str, str]]:
    """The pointers in order, without components that have none."""
    return {name: dict(sorted(found.items())) for name, found in sorted(pointers.items()) if found}


@dataclass(frozen=True, slots=True)
class Difference:
    """A pointer of which KV and git say different versions, None where one has no such pointer.

    `actor` and `at` are those of the move that KV has recorded for its side.
    """

    component: str
    environment: str
    kv: str | None
    git: str | None
    actor: str | None = None
    at: datetime | None = None

    def __str__(self) -> str:
        said = [part for part in (self.actor, self.at and format_instant(self.at)) if part]
        by = f" ({', '.join(said)})" if said else ""
        return f"{self.component} {self.environment}: KV has {self.kv or 'none'}{by}, git has {self.git or 'none'}"

    def as_json(self) -> dict[str, object]:
        """As the command prints it."""
        return {
            "component": self.component,
            "environment": self.environment,
            "kv": self.kv,
            "git": self.git,
            "actor": self.actor,
            "at": self.at and format_instant(self.at),
        }


def differences(kv: Pointers, git: Pointers) -> tuple[Difference, ...]:
    """Where two maps differ, sorted."""
    places = sorted(
        {(name, environment) for side in (kv, git) for name, found in side.items() for environment in found}
    )
    pairs = ((place, kv.get(place[0], {}).get(place[1]), git.get(place[0], {}).get(place[1])) for place in places)
    return tuple(Difference(*place, there, here) for place, there, here in pairs if there != here)


def attributed(found: Sequence[Difference], histories: Mapping[str, Entry | None]) -> tuple[Difference, ...]:
    """The differences with who moved KV's side and when, from KV's `history/` documents by component."""
    moves = {name: read_moves(name, entry) for name, entry in histories.items()}

    def with_author(difference: Difference) -> Difference:
        for move in reversed(moves.get(difference.component, ())):
            if (move.environment, move.version) == (difference.environment, difference.kv):
                return Difference(
                    difference.component, difference.environment, difference.kv, difference.git, move.actor, move.at
                )
        return difference

    return tuple(map(with_author, found))


def read_moves(name: str, entry: Entry | None) -> tuple[Move, ...]:
    """The moves that KV has recorded for a component; none where the document is missing or unreadable."""
    try:
        return () if entry is None else decode_history(history_key(name), entry.value).value
    except InvalidDocument:
        return ()


# How KV stands to git

Kind = Literal["empty", "current", "behind", "edited", "by hand", "diverged", "ahead", "unreadable"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the map in KV stands to git, and where the two differ.

    | Kind | KV holds |
    |---|---|
    | `empty` | no map |
    | `current` | git's generation, revision and pointers |
    | `behind` | an earlier commit of git's ledger, as it was |
    | `edited` | a commit of git's ledger by its metadata, and other pointers: `differences` are against that commit |
    | `by hand` | a map without generation or revision |
    | `diverged` | a commit that git's ledger does not know, of a lower generation |
    | `ahead` | a higher generation, or the same of another commit |
    | `unreadable` | a map that is no JSON object |
    """

    kind: Kind
    differences: tuple[Difference, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def publishable(self) -> bool:
        """Whether nothing that only KV has would be lost."""
        if self.kind == "by hand":
            return not self.faults and not any(difference.kv for difference in self.differences)
        return self.kind in ("empty", "current", "behind")

    @property
    def same_ledger(self) -> bool:
        """Whether KV's generation counts the same moves as git's."""
        return self.kind in ("current", "behind", "edited")


def standing(held: Held | None, generation: int, revision: str, ours: Pointers, theirs: Pointers | None) -> Standing:
    """How KV's map stands to the ledger's tip. `ours` is the map at the tip, `theirs` that at KV's revision."""
    if held is None:
        return Standing("empty")
    against_tip = differences(held.pointers, trimmed(ours))
    if held.generation is not None and (
        held.generation > generation or (held.generation == generation and held.revision != revision)
    ):
        return Standing("ahead", against_tip, held.faults)
    if held.faults and not held.pointers:
        return Standing("unreadable", against_tip, held.faults)
    if held.generation is None or held.revision is None:
        return Standing("by hand", against_tip, held.faults)
    if theirs is None:
        return Standing("diverged", against_tip, held.faults)
    edits = differences(held.pointers, trimmed(theirs))
    if edits or held.faults:
        return Standing("edited", edits, held.faults)
    return Standing("current" if held.generation == generation else "behind", against_tip)


# What is to be done


@dataclass(frozen=True, slots=True)
class Needs:
    """What has changed since a generation: contents that KV must hold, and documents to be compared with KV's.

    `looked_at` are the versions whose files decide something: besides `contents` all versions of an index.
    """

    contents: tuple[Version, ...]
    looked_at: tuple[Version, ...]
    indexes: tuple[str, ...]
    histories: tuple[str, ...]
    pointed_at: Mapping[Version, tuple[str, ...]]

    @property
    def documents(self) -> tuple[str, ...]:
        """The keys of the documents."""
        return (*map(index_key, self.indexes), *map(history_key, self.histories))


def needs(publication: Publication, before: Pointers, since: int | None) -> Needs:
    """What has changed since KV held `before` at generation `since`; all of it for None."""
    news = [version for version, content in publication.contents.items() if since is None or content.generation > since]
    pointed_at: dict[Version, list[str]] = {}
    derived: set[str] = set()
    for name, pointers in publication.pointers.items():
        known = before.get(name, {}) if since is not None else {}
        for environment, version in pointers.items():
            if known.get(environment) != version:
                pointed_at.setdefault((name, version), []).append(environment)
                if environment in DERIVED:
                    derived.add(name)
    indexes = {name for name, _ in news} | derived
    if since is None:
        indexes |= publication.releases.keys()
    histories = [
        name
        for name, moves in publication.moves.items()
        if any(since is None or (move.generation or 0) > since for move in moves)
    ]
    contents = dict.fromkeys([*news, *pointed_at])
    of_indexes = ((name, r.version) for name in sorted(indexes) for r in publication.releases.get(name, ()))
    return Needs(
        contents=tuple(contents),
        looked_at=tuple(dict.fromkeys([*contents, *of_indexes])),
        indexes=tuple(sorted(indexes)),
        histories=tuple(sorted(histories)),
        pointed_at={version: tuple(sorted(found)) for version, found in pointed_at.items()},
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """A file that KV can hold."""

    sha256: str
    size: int


def fitness(version: Version, content: Content | None, data: bytes | None) -> Fit | str:
    """Whether KV can hold a version's file, or why not."""
    if content is None or data is None:
        return "git has no file for it"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 text (byte {error.start:,})"
    fit = Fit(sha256(data).hexdigest(), len(data))
    write = Write(content_key(*version), text, content_metadata(content, fit))
    return unfit(write) or fit


def content_metadata(content: Content, fit: Fit) -> dict[str, str]:
    """The metadata of a content; what is not known is left out."""
    fields = {"type": content.type, "sha256": fit.sha256, "commit": content.commit}
    return {name: value for name, value in fields.items() if value is not None}


def unfit(write: Write) -> str | None:
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
    asked: Needs, looked_at: Mapping[Version, Fit | str]
) -> tuple[dict[Version, Fit], tuple[str, ...], tuple[str, ...]]:
    """The contents that fit, and two lists of what does not: why publishing is refused, and what is left out."""
    fits: dict[Version, Fit] = {}
    refusals: list[str] = []
    warnings: list[str] = []
    for version in asked.looked_at:
        found = looked_at[version]
        name = "@".join(version)
        if isinstance(found, Fit):
            fits[version] = found
        elif version in asked.pointed_at:
            refusals.append(f"{name}, which {' and '.join(asked.pointed_at[version])} names: {found}")
        else:
            warnings.append(f"{name} is left out: {found}")
    return fits, tuple(refusals), tuple(warnings)


@dataclass(frozen=True, slots=True)
class Plan:
    """The writes, in this order: contents (whose texts are read when they are written), documents, the map."""

    contents: tuple[Version, ...]
    documents: tuple[Write, ...]
    map: Write | None

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
    asked: Needs,
    fits: Mapping[Version, Fit],
    held: Held | None,
    stored: Mapping[str, Entry | None],
    missing: Iterable[Version],
    since: int | None,
    now: datetime,
) -> Plan:
    """The writes that bring KV to the publication.

    `stored` holds KV's own documents by key, `missing` the contents that KV has not; `since` and `now` are as in
    `stamped`.
    """
    documents = []
    for name in asked.indexes:
        releases = [r for r in publication.releases.get(name, ()) if (name, r.version) in fits]
        documents.append(Write(index_key(name), index_text(releases)))
    for name in asked.histories:
        recorded = read_moves(name, stored.get(history_key(name)))
        moves = stamped(publication.moves[name], recorded, since, now)
        documents.append(Write(history_key(name), history_text(moves)))
    changed = tuple(write for write in documents if stored.get(write.key) != Entry(write.value, write.metadata))
    whole = map_write(publication)
    current = held is not None and held.entry == Entry(whole.value, whole.metadata)
    return Plan(tuple(missing), changed, None if current else whole)


def stamped(moves: Sequence[Move], recorded: Sequence[Move], since: int | None, now: datetime) -> tuple[Move, ...]:
    """The moves with the instant at which requests began to see each.

    Those up to generation `since`, which KV's map has shown, keep what KV has recorded of them. Later ones were never
    seen, whatever an interrupted publish has recorded, and get `now`. None says that it is not known what KV's map has
    shown (there is none, or it was written by hand, or from another ledger): then those that KV has recorded keep it,
    up to the first one that it has not.
    """
    known = {_identity(move): move.published_at for move in recorded}

    def was_seen(move: Move) -> bool:
        return _identity(move) in known if since is None else (move.generation or 0) <= since

    kept = [replace(move, published_at=known.get(_identity(move))) for move in takewhile(was_seen, moves)]
    stamp = max([now, *(move.effective for move in kept)])
    return (*kept, *(replace(move, published_at=stamp) for move in moves[len(kept) :]))


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
    return msgspec.json.encode([replace(r, at=r.at and r.at.astimezone(UTC)) for r in releases]).decode()


def map_write(publication: Publication) -> Write:
    """The version map, which makes everything visible."""
    text = msgspec.json.encode(trimmed(publication.pointers)).decode()
    return Write(VERSION_MAP, text, {"generation": publication.generation, "revision": publication.revision})


def oversized(planned: Plan) -> tuple[str, ...]:
    """The documents that KV does not take, with why: the history of a component with a hundred thousand moves."""
    writes = [*planned.documents, *([planned.map] if planned.map else [])]
    return tuple(f"`{write.key}`: {reason}" for write in writes if (reason := unfit(write)))


def outgrown(whole: Write, pointers: Pointers, held: Held | None) -> str | None:
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


def some(lines: Sequence[str], most: int = 20) -> str:
    """Lines as they stand in a message, not all of them where there are many."""
    rest = len(lines) - most
    return "\n".join([*(f"  {line}" for line in lines[:most]), *([f"  … and {rest:,} more"] if rest > 0 else [])])
