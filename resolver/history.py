"""What was live at an instant, from the recorded moves.

Rules:

- a move counts from when it was published. Where that is not recorded, it counts from when it was made;
- of two moves at one instant the one with the higher generation is the later one;
- a pointer whose last move removed it was not live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from resolver.documents import Move, Release, RolloutChange
from resolver.instant import format_instant
from resolver.rollout import RolloutTable
from resolver.snapshot import Snapshot


def state_at(moves: Iterable[Move], instant: datetime) -> dict[str, str]:
    """Environment → version at the instant; the moves in the order of `decode_history`."""
    state: dict[str, str] = {}
    for move in moves:
        if move.effective > instant:
            break
        if move.version is None:
            state.pop(move.environment, None)
        else:
            state[move.environment] = move.version
    return state


def rollout_at(changes: Sequence[RolloutChange], instant: datetime) -> RolloutTable | None:
    """The percentages in force at the instant; None where none is recorded that early."""
    past = [change for change in changes if change.at <= instant]
    return past[-1].table if past else None


def releases_at(releases: Iterable[Release], instant: datetime | None) -> tuple[str, ...]:
    """The versions that existed at the instant, or all for None, without those that were withdrawn then. One without a
    date counts as having existed."""
    existed = (r for r in releases if instant is None or r.at is None or r.at <= instant)
    return tuple(r.version for r in existed if not r.is_withdrawn(instant))


def snapshot_at(
    instant: datetime,
    moves: Mapping[str, Sequence[Move]],
    changes: Sequence[RolloutChange],
    indexes: Mapping[str, Sequence[Release]],
) -> Snapshot:
    """The snapshot that a request at that instant would have been resolved from."""
    states = {name: state_at(found, instant) for name, found in moves.items()}
    return Snapshot(
        pointers={name: state for name, state in states.items() if state},
        rollout=rollout_at(changes, instant),
        indexes={name: releases_at(found, instant) for name, found in indexes.items()},
        revision=f"at:{format_instant(instant)}",
    )
