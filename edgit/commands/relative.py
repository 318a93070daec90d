"""Instants that are told from now: `30m`, `2h ago`, `3d`, `14:47`, `today 09:00`, `yesterday 14:47`.

Rules:

- a clock time is that of the zone, and names one moment: where the clocks go forward it may be none, where they go back
  two, and both are refused;
- a clock time alone is today's; one that is not over yet is refused, since yesterday's may be meant.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from resolver.errors import InvalidInstant
from resolver.instant import format_instant

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d{1,6}) ?(s|m|h|d|w|seconds?|secs?|minutes?|mins?|hours?|days?|weeks?)( ago)?", re.ASCII)
_CLOCK = re.compile(r"(?:(today|yesterday) )?([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def read_relative(text: str, now: datetime, zone: tzinfo | None = None) -> datetime | None:
    """The instant that a text tells from `now`, in UTC and whole seconds; None where it does not. Without a `zone` it
    is this machine's. Raises `InvalidInstant`."""
    words = " ".join(text.lower().split())
    if ago := _AGO.fullmatch(words):
        try:
            return now.astimezone(UTC).replace(microsecond=0) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2][0]])
        except OverflowError:
            raise InvalidInstant(f"`{text}` is before all dates", text=text, offset=0) from None
    clock = _CLOCK.fullmatch(words)
    if clock is None:
        if words in ("today", "yesterday"):
            raise InvalidInstant(f"`{text}` has no time of day; write `{words} 14:47`", text=text, offset=len(text))
        return None
    day = now.astimezone(zone).date() - timedelta(days=clock[1] == "yesterday")
    local = datetime.combine(day, time(int(clock[2]), int(clock[3]), int(clock[4] or 0)))
    found = _moment(text, local, zone)
    if found > now:
        earlier = f"; yesterday's is `yesterday {words.removeprefix('today ')}`"
        raise InvalidInstant(f"`{text}` lies in the future{earlier}", text=text, offset=0)
    return found


def read_ahead(text: str, now: datetime) -> datetime | None:
    """The instant that `3d` or `in 2h` means where one that is to come is asked for; None where it is no such text.
    Raises `InvalidInstant`."""
    words = " ".join(text.lower().split()).removeprefix("in ")
    found = _AGO.fullmatch(words)
    if found is None or found[3]:
        return None
    try:
        return now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=int(found[1]) * _UNITS[found[2][0]])
    except OverflowError:
        raise InvalidInstant(f"`{text}` is after all dates", text=text, offset=0) from None


def _moment(text: str, local: datetime, zone: tzinfo | None) -> datetime:
    """The one moment of a local time."""
    moments = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    # Without a zone Python takes a time without one for this machine's.
    real = sorted({each for each in moments if each.astimezone(zone).replace(tzinfo=None) == local})
    if len(real) == 1:
        return real[0]
    shown = " or ".join(map(format_instant, sorted(moments)))
    why = "is two moments: the clocks went back" if real else "was none: the clocks went forward"
    raise InvalidInstant(f"`{text}` {why}; write {shown}", text=text, offset=0)
