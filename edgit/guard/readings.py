"""Reading error rates from an address: a bare number, JSON by a path, or counters in Prometheus' text format.

Rules:

- an answer is a `Rate` over a period that the metrics choose, or `Totals`, counters that only go up, or `NoData`;
- whatever cannot be read for sure is `NoData` with the reason: another status than 200, a redirect, a page of HTML, a
  time-out, an answer too large or cut off, NaN, a negative number, a rate above 1. Nothing is read as 0 by default;
- a selector that could match nothing for ever by a slip (no such metric, no such label) is `NoData` too, not 0 errors;
- the address, the paths and the selectors may hold `{component}`, `{environment}` and `{version}`;
- no message holds the user, the password or the query of an address, or any token; what an answer said is shown short
  and without control characters.

From top to bottom: what a reading is, the subject, the formats, the source, and the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from edgit.errors import EdgitError

_PLACEHOLDER: Final = re.compile(r"\{(component|environment|version)\}")


class InvalidWatch(EdgitError):
    """What was asked for cannot be watched. Nothing was read and nothing moved."""

    # That of a wrong command line, and of "could not tell", which it also is.
    exit_code: ClassVar[int] = 2


# What a reading is


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate from 0 to 1, over a period that the metrics choose; `requests` in that period, if they are told."""

    rate: float
    requests: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Errors and requests since each process began, by series. A series that is not there has counted nothing yet."""

    errors: Mapping[str, float]
    requests: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NoData:
    """Nothing could be read; `why` is a clause such as `it answered 503`."""

    why: str


Reading: TypeAlias = Rate | Totals | NoData


class Unreadable(Exception):
    """Inside this module: no data, and why. The formats' `read` raises it, and `read_text` turns it into `NoData`."""

    def told(self) -> NoData:
        """What callers get."""
        return NoData(printable(str(self)))


# The subject


@dataclass(frozen=True, slots=True)
class Subject:
    """What is watched. With `canary` it is the version at the pointer `<environment>-canary`, and its figures alone."""

    component: str
    environment: str
    version: str
    canary: bool = False

    @property
    def pointer(self) -> str:
        """The environment whose pointer is watched."""
        return f"{self.environment}-canary" if self.canary else self.environment

    def __str__(self) -> str:
        return f"{self.component} {self.version} on {self.pointer}"

    def filled(self, text: str, quoted: Callable[[str], str] = str) -> str:
        """The text with each placeholder replaced by its value, which goes through `quoted` first."""
        values = {"component": self.component, "environment": self.environment, "version": self.version}
        return _PLACEHOLDER.sub(lambda match: quoted(values[match[1]]), text)


def excerpt(text: str, most: int = 60) -> str:
    return printable(text if len(text) <= most else f"{text[:most]}…")


def printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
