"""What is published, what is not yet, and where KV differs."""

from __future__ import annotations

from dataclasses import dataclass

from edgit.kv.comparison import MapKind, PointerDifference, attributed, compare_with_git, histories_of
from edgit.kv.publication import PublicationSource, VersionKey
from edgit.kv.store import Kv
from edgit.ledger.published import PublishedState
from resolver.documents import Move


@dataclass(frozen=True, slots=True)
class KvStatus:
    """How a KV stands to git.

    `moves` and `versions` are those that git has and KV's map does not show yet, known only where KV's generation is
    one of git's ledger. `differences` are the pointers that differ now (for `edited`: from what was published).
    """

    target: str
    kind: MapKind
    kv_generation: int | None
    kv_revision: str | None
    generation: int
    revision: str
    moves: tuple[tuple[str, Move], ...] = ()
    versions: tuple[VersionKey, ...] = ()
    differences: tuple[PointerDifference, ...] = ()
    faults: tuple[str, ...] = ()
    #: The pointers that KV shows otherwise than git, on purpose: git's version could not be published.
    held_back: tuple[PointerDifference, ...] = ()


def status(source: PublicationSource, kv: Kv, recorded: PublishedState | None = None) -> KvStatus:
    """How KV stands to git. Raises `KvFailed`."""
    held, found = compare_with_git(source, kv, recorded)
    moves: tuple[tuple[str, Move], ...] = ()
    versions: tuple[VersionKey, ...] = ()
    if found.kind in ("empty", "behind", "edited") and source.generation != (held.generation if held else None):
        since = (held.generation if held else None) or 0
        publication = source.publication()
        fresh = ((name, move) for name, all_ in publication.moves.items() for move in all_)
        unpublished = [(name, move) for name, move in fresh if (move.generation or 0) > since]
        moves = tuple(sorted(unpublished, key=lambda found: (found[1].generation or 0, found[0], found[1].environment)))
        versions = tuple(sorted(v for v, content in publication.contents.items() if content.generation > since))
    return KvStatus(
        target=kv.name,
        kind=found.kind,
        kv_generation=held.generation if held else None,
        kv_revision=held.revision if held else None,
        generation=source.generation,
        revision=source.revision,
        moves=moves,
        versions=versions,
        differences=attributed(found.differences, histories_of(kv, found.differences)),
        faults=found.faults,
        held_back=found.held_back,
    )
