"""What was live at an instant, from the recorded moves.

Rules:

- an instant names one moment: it carries an offset or `Z`, and one without is refused;
- a move counts from when it was published. Where that is not recorded, it counts from when it was made;
- of two moves at one instant the one with the higher generation is the later one;
- a pointer whose last move removed it was not live.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from resolver.documents import Move, Release, RolloutChange
from resolver.errors import InvalidInstant
from resolver.rollout import RolloutTable
from resolver.snapshot import Snapshot

_NO_OFFSET = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?", re.ASCII)
# Hours and the minutes of the offset are bounded here: `fromisoformat` reads 24:00 and +01:75 in a way of its own.
_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]([01]\d|2[0-3]):\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]([01]\d|2[0-3]):?[0-5]\d)", re.ASCII
)


def parse_instant(text: str) -> datetime:
    """The moment that an RFC 3339 text names, in UTC. Raises `InvalidInstant`."""
    if _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidInstant(f"`{text}` is not an instant: {error}", text=text, offset=0) from None
    if _NO_OFFSET.fullmatch(text):
        whole = text if len(text) > 10 else f"{text}T00:00:00"
        raise InvalidInstant(
            f"`{text}` has no offset and could mean a different moment to everyone who reads it; "
            f"write `{whole.replace(' ', 'T')}Z` for UTC, or an offset such as `+01:00`",
            text=text,
            offset=len(text),
        )
    raise InvalidInstant(f"`{text[:60]}` is not an instant; it is written 2024-11-12T14:47:00Z", text=text, offset=0)


def format_instant(instant: datetime) -> str:
    """An instant as it is written everywhere: UTC with a `Z`, fractions only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


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
