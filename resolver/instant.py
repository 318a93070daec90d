"""An instant as text: RFC 3339, with an offset or `Z`.

Rules:

- an instant names one moment, and one without an offset is refused;
- it is written in UTC with a `Z`, fractions only where there are any.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from resolver.errors import InvalidInstant

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
