"""The first entry of a ledger, as the tags tell of the past. It is not written yet.

Rules:

- a repository without a ledger is read as if this entry were its ledger;
- a version whose own tag is gone comes on record as well, where an environment's tag still tells of it;
- what an environment's tags say are moves, in the order of their dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgit.components.keys import KnownTypes
from edgit.components.tags import ComponentTags
from edgit.git.process import Git
from edgit.git.tags import UNKNOWN, not_in_the_future, read_dates
from edgit.ledger.entries import LedgerChange, LedgerEntry, LedgerState, Moved, instant
from edgit.ledger.history import fold
from edgit.repository.environments import EnvironmentTag, find_untagged_versions


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first entry, and the state after it."""

    entry: LedgerEntry
    state: LedgerState


def read_beginning(
    git: Git, tags: ComponentTags, environment_tags: Sequence[EnvironmentTag], types: KnownTypes, now: int
) -> Beginning | None:
    """What the tags tell; None where they tell nothing."""
    if not tags.components():
        return None
    # What only a repository without a ledger needs.
    from edgit.repository.records import describe_versions  # noqa: PLC0415

    wanted = {name: dict(found) for name, found in tags.versions.items()}
    for name, versions in find_untagged_versions(tags, environment_tags).items():
        wanted[name] = {**versions, **wanted.get(name, {})}
    records = describe_versions(git, wanted, types, now)
    changes: list[LedgerChange] = [*records.created, *_read_moves(git, environment_tags, now)]
    if not changes:
        return None
    latest = max((change.at for change in changes if change.at), default=instant(0))
    summary = f"Begin the ledger from {len(changes)} tags"
    entry = LedgerEntry("", None, 1, latest, "", summary, tuple(changes))
    versions_: dict[str, dict[str, str]] = {}
    for (name, version), blob in records.files.items():
        versions_.setdefault(name, {})[version] = blob
    return Beginning(entry, LedgerState(fold([entry]), versions_))


def _read_moves(git: Git, environment_tags: Sequence[EnvironmentTag], now: int) -> list[Moved]:
    """What the tags tell of moves, oldest first: of a pointer that stands under several names, one for each."""
    moves = [
        Moved(
            each.component,
            each.environment,
            None,
            each.meaning.version,
            None,
            each.tag.id,
            each.meaning.version_tag,
            None if each.meaning.at is None else instant(not_in_the_future(each.meaning.at, now)),
            each.meaning.actor if each.meaning.dated else UNKNOWN,
        )
        for each in environment_tags
        if each.meaning.version is not None
    ]
    # A tag without a tagger that points at a version's: no commit was asked, and the version's date is the nearest.
    undated = read_dates(git, [m.version_tag for m in moves if m.at is None and m.version_tag], now)
    dates = {id: instant(at) for id, (_, at) in undated.items() if at is not None}
    moves = [move if move.at else replace(move, at=dates.get(move.version_tag or "")) for move in moves]
    # The one that counts stands last: it was set last, as far as dates tell.
    counts = {each.tag.id for each in environment_tags if each.counts}
    moves.sort(key=lambda m: (m.at or instant(0), m.tag in counts, m.component, m.environment))
    found: list[Moved] = []
    live: dict[tuple[str, str], str | None] = {}
    for move in moves:
        before = live.get((move.component, move.environment))
        if before != move.after:
            found.append(replace(move, before=before))
        live[move.component, move.environment] = move.after
    return found
