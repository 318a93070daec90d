"""What one reading of the metrics is, and of what.

Rules:

- an answer is a `Rate` over a period that the metrics choose, or `Totals`, counters that only go up, or `NoData`;
- what an answer said is shown short and without control characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from edgit.errors import EdgitError

_PLACEHOLDER: Final = re.compile(r"\{(component|environment|version)\}")


#: The exit code of a watch that could not begin. No other outcome has it: what was not watched at all must not pass
#: where "could not tell" may.
NOT_BEGUN: Final = 6


class InvalidWatch(EdgitError):
    """What was asked for cannot be watched. Nothing was read and nothing moved."""

    exit_code: ClassVar[int] = NOT_BEGUN


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
