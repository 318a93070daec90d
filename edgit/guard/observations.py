"""What was seen so far, as a value that grows with each reading.

Of counters only what was added within the window counts. One that fell began anew and counts from 0. One that fell or
was missing `FLAPPING` times is no one counter, as when an address reaches several processes in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from edgit.guard.readings import NoData, Rate, Reading, Totals
from edgit.guard.rules import IN_A_ROW, WatchRules, count

#: How often one series may not fall or be missing anew; a process that restarts falls once.
FLAPPING: Final = 3


class SeriesState(NamedTuple):
    """A series as last seen: its value, whether the last reading had it, and how often it fell or was missing."""

    value: float
    there: bool = True
    breaks: int = 0


@dataclass(frozen=True, slots=True)
class CounterIncrease:
    """What one kind of counters added since the first reading, in all, and its series."""

    added: float = 0.0
    series: Mapping[str, SeriesState] = field(default_factory=dict)

    def lacks(self, totals: Mapping[str, float]) -> bool:
        """Whether a series that the last reading had is not in this one."""
        return any(last.there and name not in totals for name, last in self.series.items())

    def after(self, totals: Mapping[str, float], *, elsewhere: bool) -> CounterIncrease:
        """With one more reading. A series that is new began at 0; if `elsewhere`, nobody knows what it added since."""
        added = self.added
        series = {
            name: last if name in totals else last._replace(there=False, breaks=last.breaks + last.there)
            for name, last in self.series.items()
        }
        for name, value in totals.items():
            last = series.get(name) or SeriesState(value if elsewhere else 0.0)
            fell = value < last.value
            added += value if fell else value - last.value
            series[name] = SeriesState(value, breaks=last.breaks + fell)
        return CounterIncrease(added, series)

    @property
    def breaks(self) -> int:
        """How often the series with the most breaks fell or was missing."""
        return max((last.breaks for last in self.series.values()), default=0)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the counters of errors and requests added since the first reading."""

    errors: CounterIncrease
    requests: CounterIncrease

    @staticmethod
    def since(totals: Totals) -> Counts:
        """The first reading: what the others are counted from."""
        return Counts(*(CounterIncrease().after(kind, elsewhere=True) for kind in (totals.errors, totals.requests)))

    def after(self, totals: Totals) -> Counts:
        """With one more reading. Where known series are missing, another process may have answered."""
        elsewhere = self.errors.lacks(totals.errors) or self.requests.lacks(totals.requests)
        return Counts(
            self.errors.after(totals.errors, elsewhere=elsewhere),
            self.requests.after(totals.requests, elsewhere=elsewhere),
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """The last readings of a rate, up to `IN_A_ROW`, newest last."""

    latest: tuple[Rate, ...]


Evidence: TypeAlias = Counts | Rates | None


@dataclass(frozen=True, slots=True)
class Observations:
    """All that a decision needs of the readings so far. `first` and `last`: seconds, of those with data."""

    evidence: Evidence = None
    first: float = 0.0
    last: float = 0.0
    missed: int = 0
    why_missed: str | None = None

    @property
    def figures(self) -> tuple[float | None, float | None, float | None]:
        """Errors, requests and rate in the window so far; of rates those of the last reading. None: not known."""
        match self.evidence:
            case Counts(errors, requests):
                return errors.added, requests.added, errors.added / requests.added if requests.added else None
            case Rates((*_, rate)):
                return None, rate.requests, rate.rate
            case _:
                return None, None, None


def observed(seen: Observations, at: float, reading: Reading, rules: WatchRules) -> Observations:
    """What was seen with one more reading, taken `at` seconds after the start."""
    match reading:
        case NoData(why):
            return replace(seen, missed=seen.missed + 1, why_missed=why)
        case Rate(_, requests) if requests is not None and requests < (wanted := max(1, rules.min_requests)):
            why = f"the reading is of {count(requests, 'request')}, and {wanted} are wanted"
            return replace(seen, missed=seen.missed + 1, why_missed=why)
        case Rate():
            before = seen.evidence.latest if isinstance(seen.evidence, Rates) else ()
            evidence: Evidence = Rates((*before, reading)[-IN_A_ROW:])
        case Totals():
            evidence = seen.evidence.after(reading) if isinstance(seen.evidence, Counts) else Counts.since(reading)
    return replace(seen, evidence=evidence, first=at if seen.evidence is None else seen.first, last=at)
