"""What is asked of a version that is watched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from edgit.guard.readings import InvalidWatch

#: How many readings of a rate in a row decide.
IN_A_ROW: Final = 3
#: The usual time between two readings, in seconds, and how many a shorter window has at least.
EVERY: Final = 5.0
FEWEST: Final = 6
_MOST_READINGS: Final = 100_000


@dataclass(frozen=True, slots=True)
class WatchRules:
    """What is asked of a version. Times are seconds; `threshold` is the highest error rate that is good, from 0 to 1.

    Raises `InvalidWatch` when no readings could ever satisfy them.
    """

    threshold: float
    window: float = 60.0
    min_requests: int = 20
    every: float = EVERY
    settle: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InvalidWatch(
                f"The threshold is {self.threshold:g}, and an error rate is from 0 to 1.",
                hint="1 % is written 1% or 0.01.",
            )
        if not 0 < self.window < math.inf or not 0 <= self.settle < math.inf or self.min_requests < 0:
            raise InvalidWatch("--window is more than 0 seconds; --settle and --min-requests are at least 0.")
        if not self.window / _MOST_READINGS <= self.every <= self.window / (IN_A_ROW - 1):
            raise InvalidWatch(
                f"A reading every {self.every:g} s does not fit a window of {self.window:g} s: it takes at least "
                f"{IN_A_ROW} readings to tell anything, and {_MOST_READINGS:,} are too many.",
            )


def every_of(window: float) -> float:
    """The seconds between two readings when nobody says: `EVERY`, and less in a window too short for `FEWEST`."""
    return min(EVERY, window / FEWEST)


def percent(rate: float) -> str:
    """A rate as a percentage of three digits: `0.25%`."""
    return f"{rate * 100:.3g}%"


def count(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}" if number == 1 else f"{number:,.0f} {noun}s"
