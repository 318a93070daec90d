"""Pointers that name a version which KV cannot hold: they are held back, and everything else is published.

Rules:

- a pointer that is held back shows in KV what it showed there before. Where it showed nothing it is left out. `latest`
  and `stable` take the highest version that KV can hold;
- a move that is held back is no part of the history in KV: no request ever saw it;
- the map's metadata has a digest of what is held back. So the next reader tells it from what was changed by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgit.kv.comparison import PublishedMap, differences, held_back_digest, trimmed
from edgit.kv.plan import RequiredWrites, StorableFile
from edgit.kv.publication import DERIVED, Publication, VersionKey
from resolver.documents import Move
from resolver.version import highest


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A pointer whose version cannot be published, why, and what KV shows instead; None where it shows nothing."""

    component: str
    environment: str
    version: str
    shown: str | None
    reason: str

    def __str__(self) -> str:
        stays = f"stays at {self.shown}" if self.shown else "is left out"
        return f"{self.component} {self.environment} {stays}: {self.version} cannot be published, {self.reason}"


#: What to do about pointers that are held back.
WAY_OUT = (
    "let these pointers name a version whose file is UTF-8 text of at most 25 MiB; `latest` and `stable` pass over one "
    "that is withdrawn: edgit withdraw NAME@VERSION --reason …"
)


def hold_back(
    publication: Publication,
    held: PublishedMap | None,
    asked: RequiredWrites,
    looked_at: Mapping[VersionKey, StorableFile | str],
) -> tuple[Publication, tuple[HeldBack, ...]]:
    """What of a publication can be published, and the pointers that are held back."""
    before = held.pointers if held else {}
    found: list[HeldBack] = []
    for (name, version), environments in asked.pointed_at.items():
        reason = looked_at[name, version]
        if not isinstance(reason, str):
            continue
        for environment in environments:
            shown = (
                _highest(publication, name, looked_at, stable=environment == "stable")
                if environment in DERIVED
                else before.get(name, {}).get(environment)
            )
            if shown is not None and not _is_there(publication, (name, shown), looked_at):
                shown = None
            if shown != version:
                found.append(HeldBack(name, environment, version, shown, reason))
    if not found:
        return publication, ()
    pointers = {name: dict(each) for name, each in publication.pointers.items()}
    moves = dict(publication.moves)
    for each in found:
        pointers[each.component].pop(each.environment)
        if each.shown:
            pointers[each.component][each.environment] = each.shown
        if each.component in moves:
            moves[each.component] = _shown_moves(moves[each.component], each)
    digest = held_back_digest(differences(trimmed(pointers), trimmed(publication.pointers)))
    found.sort(key=lambda each: (each.component, each.environment))
    return replace(publication, pointers=pointers, moves=moves, held_back=digest), tuple(found)


def without_moves_to(publication: Publication, names: Iterable[str], bad: Collection[VersionKey]) -> Publication:
    """The publication without moves to versions that were never to be seen."""
    moves = dict(publication.moves)
    for name in names:
        moves[name] = tuple(move for move in moves[name] if (name, move.version) not in bad)
    return replace(publication, moves=moves)


def _is_there(
    publication: Publication, version: VersionKey, looked_at: Mapping[VersionKey, StorableFile | str]
) -> bool:
    return version in publication.contents and not isinstance(looked_at.get(version), str)


def _highest(
    publication: Publication, name: str, looked_at: Mapping[VersionKey, StorableFile | str], *, stable: bool
) -> str | None:
    releases = publication.releases.get(name, ())
    fit = [r.version for r in releases if not r.is_withdrawn() and _is_there(publication, (name, r.version), looked_at)]
    return highest(fit, stable=stable)


def _shown_moves(moves: Sequence[Move], held_back: HeldBack) -> tuple[Move, ...]:
    """The moves without those of this pointer that came after what it shows."""
    own = [number for number, move in enumerate(moves) if move.environment == held_back.environment]
    shown = [number for number in own if moves[number].version == held_back.shown]
    last = shown[-1] if shown else -1
    return tuple(move for number, move in enumerate(moves) if number <= last or number not in own)
