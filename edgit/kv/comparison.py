"""How the version map in KV stands to git.

A map that git does not know is never written over unless that is asked for, and is told with who moved what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from edgit.kv.publication import DERIVED, PublicationSource
from edgit.kv.store import Kv, KvValue
from edgit.ledger.published import PublishedState
from resolver.documents import VERSION_MAP, Move, decode_history, decode_map_metadata, history_key
from resolver.errors import InvalidDocument
from resolver.instant import format_instant
from resolver.snapshot import Pointers
from resolver.version_map import TYPE, decode_version_map

# What KV holds


@dataclass(frozen=True, slots=True)
class PublishedMap:
    """The version map as KV holds it. `faults` say what in it cannot be read, `types` the types that it states."""

    entry: KvValue
    pointers: Pointers
    generation: int | None
    revision: str | None
    faults: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    #: The digest of the pointers that were held back when it was published; None where none was.
    held_back: str | None = None

    @property
    def shown(self) -> str:
        """How it is called in a message."""
        return shown(self.generation, self.revision)


def shown(generation: int | None, revision: str | None) -> str:
    """`generation 9 (abc1234)`."""
    if generation is None:
        return "a map without a generation"
    return f"generation {generation} ({(revision or 'no revision')[: 7 if revision else None]})"


def read_map(entry: KvValue | None) -> PublishedMap | None:
    """The version map from its value in KV; None where there is none. One that cannot be read at all is a fault."""
    if entry is None:
        return None
    metadata = decode_map_metadata(entry.metadata)
    try:
        decoded = decode_version_map(entry.value)
    except InvalidDocument as error:
        return PublishedMap(entry, {}, metadata.generation, metadata.revision, (error.detail,))
    faults = tuple(f"{problem.entry}: {problem.detail}" for problem in decoded.problems)
    found = decoded.value
    stated = entry.metadata.get("held_back") if isinstance(entry.metadata, Mapping) else None
    return PublishedMap(
        entry,
        trimmed(found),
        metadata.generation,
        metadata.revision,
        faults,
        found.types,
        stated if isinstance(stated, str) else None,
    )


def trimmed(pointers: Pointers) -> dict[str, dict[str, str]]:
    """The pointers in order, without components that have none."""
    return {name: dict(sorted(found.items())) for name, found in sorted(pointers.items()) if found}


def with_types(pointers: Pointers, types: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """A version map: each component's type, as far as it is known, then its pointers."""
    return {name: {TYPE: types[name], **found} if name in types else found for name, found in pointers.items()}


@dataclass(frozen=True, slots=True)
class PointerDifference:
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


def differences(kv: Pointers, git: Pointers) -> tuple[PointerDifference, ...]:
    """Where two maps differ, sorted."""
    places = sorted(
        {(name, environment) for side in (kv, git) for name, found in side.items() for environment in found}
    )
    pairs = ((place, kv.get(place[0], {}).get(place[1]), git.get(place[0], {}).get(place[1])) for place in places)
    return tuple(PointerDifference(*place, there, here) for place, there, here in pairs if there != here)


def held_back_digest(found: Sequence[PointerDifference]) -> str | None:
    """What stands for pointers that KV shows otherwise than git, since git's version cannot be published."""
    lines = sorted(f"{each.component} {each.environment} {each.kv} {each.git}" for each in found)
    return sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()[:16] if lines else None


def attributed(
    found: Sequence[PointerDifference], histories: Mapping[str, KvValue | None]
) -> tuple[PointerDifference, ...]:
    """The differences with who moved KV's side and when, from KV's `history/` documents by component."""
    moves = {name: read_moves(name, entry) for name, entry in histories.items()}

    def with_author(difference: PointerDifference) -> PointerDifference:
        for move in reversed(moves.get(difference.component, ())):
            if (move.environment, move.version) == (difference.environment, difference.kv):
                return PointerDifference(
                    difference.component,
                    difference.environment,
                    difference.kv,
                    difference.git,
                    move.actor,
                    move.at.astimezone(UTC),
                )
        return difference

    return tuple(map(with_author, found))


def read_moves(name: str, entry: KvValue | None) -> tuple[Move, ...]:
    """The moves that KV has recorded for a component; none where the document is missing or unreadable."""
    try:
        return () if entry is None else decode_history(history_key(name), entry.value).value
    except InvalidDocument:
        return ()


# How KV stands to git

MapKind = Literal["empty", "current", "behind", "edited", "by hand", "replayed", "diverged", "ahead", "unreadable"]


@dataclass(frozen=True, slots=True)
class MapComparison:
    """How the map in KV stands to git, and where the two differ.

    | Kind | KV holds |
    |---|---|
    | `empty` | no map |
    | `current` | git's generation, revision and pointers |
    | `behind` | an earlier commit of git's ledger, as it was |
    | `edited` | a commit of git's ledger by its metadata, and other pointers: `differences` are against that commit |
    | `by hand` | a map without generation or revision |
    | `replayed` | what is on record as published from here, of a commit that a pull has put after others since |
    | `diverged` | a commit that git's ledger does not know, of a lower generation |
    | `ahead` | a higher generation, or the same of another commit |
    | `unreadable` | a map that is no JSON object |
    """

    kind: MapKind
    differences: tuple[PointerDifference, ...] = ()
    faults: tuple[str, ...] = ()
    #: The pointers that KV shows otherwise than the commit of git's that it was published from, on purpose.
    held_back: tuple[PointerDifference, ...] = ()

    @property
    def publishable(self) -> bool:
        """Whether nothing that only KV has would be lost."""
        if self.kind == "by hand":
            return not self.faults and not any(difference.kv for difference in self.differences)
        return self.kind in ("empty", "current", "behind", "replayed")

    @property
    def same_ledger(self) -> bool:
        """Whether KV's generation counts the same moves as git's."""
        return self.kind in ("current", "behind", "edited")


def compare_map(
    held: PublishedMap | None,
    generation: int,
    revision: str,
    ours: Pointers,
    theirs: Pointers | None,
    recorded: PublishedState | None = None,
) -> MapComparison:
    """How KV's map stands to the ledger's tip. `ours` is the map at the tip, `theirs` that at KV's revision, `recorded`
    what is on record as published last."""
    if held is None:
        return MapComparison("empty")
    against_tip = differences(held.pointers, trimmed(ours))
    if held.generation is not None and (
        held.generation > generation or (held.generation == generation and held.revision != revision)
    ):
        return MapComparison("ahead", against_tip, held.faults)
    if held.faults and not held.pointers:
        return MapComparison("unreadable", against_tip, held.faults)
    if held.generation is None or held.revision is None:
        return MapComparison("by hand", against_tip, held.faults)
    if theirs is None:
        known = recorded is not None and recorded.revision == held.revision and not held.faults
        same = known and recorded is not None and without_derived(held.pointers) == recorded.pointers
        return MapComparison("replayed" if same else "diverged", against_tip, held.faults)
    edits = differences(held.pointers, trimmed(theirs))
    held_back = edits if edits and held.held_back == held_back_digest(edits) else ()
    if (edits and not held_back) or held.faults:
        return MapComparison("edited", edits, held.faults)
    return MapComparison(
        "current" if held.generation == generation else "behind", against_tip, held_back=tuple(held_back)
    )


def without_derived(pointers: Pointers) -> dict[str, dict[str, str]]:
    """The pointers that somebody moves: those that follow the versions are left out."""
    found = {name: {env: v for env, v in each.items() if env not in DERIVED} for name, each in pointers.items()}
    return {name: each for name, each in found.items() if each}


def compare_with_git(
    source: PublicationSource, kv: Kv, recorded: PublishedState | None = None
) -> tuple[PublishedMap | None, MapComparison]:
    """KV's map, and how it stands to the ledger's tip. `recorded` is as in `compare_map`."""
    held = read_map(kv.get_many([VERSION_MAP])[VERSION_MAP])
    ours = source.pointers_at(source.revision) or {}
    if held is None or held.revision is None:
        theirs = None
    else:
        theirs = ours if held.revision == source.revision else source.pointers_at(held.revision)
    return held, compare_map(held, source.generation, source.revision, ours, theirs, recorded)


def histories_of(kv: Kv, found: Iterable[PointerDifference]) -> dict[str, KvValue | None]:
    """KV's history of the components that differ, for who and when."""
    names = sorted({difference.component for difference in found if difference.kv})
    entries = kv.get_many([history_key(name) for name in names]) if names else {}
    return {name: entries[history_key(name)] for name in names}
