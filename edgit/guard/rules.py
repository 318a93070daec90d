"""Watching a version after a move: good, bad and rolled back, or could not tell.

Rules:

- three verdicts and no default: what was not seen is neither good nor bad, and ends as "could not tell";
- of counters only what was added within the window counts. One that fell began anew and counts from 0; one that fell or
  was missing `FLAPPING` times is no one counter, as when an address reaches several processes in turn;
- of counters a breach is `errors / requests > threshold` of at least `min_requests`, at the end of the window. It ends
  the watch earlier when it is certain: were the true rate at the threshold, that many errors are rarer than `CHANCE`;
- of rates, whose requests may be unknown, the last `IN_A_ROW` readings decide. All above the threshold is a breach, at
  any time; all at or below it is good, at the end. Of fewer than `min_requests`, if they are told, it is no data;
- good needs to be seen: the readings with data reach over at least `COVERED` of the window;
- only the version that was there at the start is judged. When somebody moves the pointer, the watch ends and moves
  nothing, so that no fix is rolled back;
- Ctrl-C ends the watch and moves nothing.

`observed` and `judged` are the decision, pure; `watch` runs them over readings, with clock and sleep from outside;
`guard` also rolls back.
"""

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
                f"The threshold is {self.threshold:g}, and an error rate is from 0 to 1.", hint="1 % is written 0.01."
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
