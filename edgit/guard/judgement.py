"""The decision: good, a breach, or could not tell. Values only.

Rules:

- three verdicts and no default: what was not seen is neither good nor bad, and ends as "could not tell";
- of counters a breach is `errors / requests > threshold` of at least `min_requests`, at the end of the window. It ends
  the watch earlier when it is certain: were the true rate at the threshold, that many errors are rarer than `CHANCE`;
- of rates, whose requests may be unknown, the last `IN_A_ROW` readings decide. All above the threshold is a breach, at
  any time; all at or below it is good, at the end. Of fewer than `min_requests`, if they are told, it is no data;
- good needs to be seen: the readings with data reach over at least `COVERED` of the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from edgit.guard.observations import FLAPPING, CounterIncrease, Counts, Observations, Rates
from edgit.guard.readings import Rate
from edgit.guard.rules import IN_A_ROW, WatchRules, count, percent

#: How much of the window the readings with data reach over, at least, before anything is good.
COVERED: Final = 0.75
#: How likely a breach that ends the watch early is at most, if the true rate were at the threshold.
CHANCE: Final = 0.001


class Verdict(IntEnum):
    """What a watch came to. The numbers are the exit codes."""

    GOOD = 0
    BREACH = 1
    UNKNOWN = 2

    @property
    def word(self) -> str:
        """For people and for JSON."""
        return {Verdict.GOOD: "good", Verdict.BREACH: "breach", Verdict.UNKNOWN: "unknown"}[self]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the figures that it rests on, as a clause."""

    verdict: Verdict
    why: str


def judged(seen: Observations, rules: WatchRules, *, ended: bool) -> Judgement:
    """What the readings say: at the end of the window, or before it, where only a breach can be told already."""
    match seen.evidence:
        case Counts(errors, requests):
            judgement = _of_counts(errors, requests, rules, ended=ended)
        case Rates(latest):
            judgement = _of_rates(latest, rules)
        case None:
            return Judgement(Verdict.UNKNOWN, f"there is no data: {seen.why_missed or 'nothing was read'}")
    if judgement.verdict is not Verdict.GOOD:
        return judgement
    covered = seen.last - seen.first
    if covered < COVERED * rules.window:
        missed = f"; {count(seen.missed, 'reading')} had no data: {seen.why_missed}" if seen.missed else ""
        seconds = f"{covered:.3g} s of the window's {rules.window:g} s"
        return Judgement(Verdict.UNKNOWN, f"the readings with data reach over {seconds} only{missed}")
    return judgement if ended else Judgement(Verdict.UNKNOWN, judgement.why)


def _of_counts(errors: CounterIncrease, requests: CounterIncrease, rules: WatchRules, *, ended: bool) -> Judgement:
    failed, asked, wanted = errors.added, requests.added, max(1, rules.min_requests)
    if (breaks := max(errors.breaks, requests.breaks)) >= FLAPPING:
        why = f"a counter fell or was missing {breaks} times: the address seems to reach several processes in turn"
        return Judgement(Verdict.UNKNOWN, why)
    if failed > asked:
        why = f"{count(failed, 'error')} of {count(asked, 'request')}: the two do not count the same thing"
        return Judgement(Verdict.UNKNOWN, why)
    if asked < wanted:
        return Judgement(Verdict.UNKNOWN, f"only {count(asked, 'request')} came, and {wanted} are wanted")
    rate = failed / asked
    why = f"{failed:,.0f} of {count(asked, 'request')} failed, {percent(rate)}; at most {percent(rules.threshold)} may"
    if rate <= rules.threshold:
        return Judgement(Verdict.GOOD, why)
    certain = ended or surprise(failed, asked, rules.threshold) <= CHANCE
    return Judgement(Verdict.BREACH if certain else Verdict.UNKNOWN, why)


def _of_rates(latest: tuple[Rate, ...], rules: WatchRules) -> Judgement:
    if len(latest) < IN_A_ROW:
        return Judgement(Verdict.UNKNOWN, f"only {count(len(latest), 'reading')} had data; it takes {IN_A_ROW}")
    rates = ", ".join(percent(reading.rate) for reading in latest)
    untold = " (the metrics do not say of how many requests)" if latest[-1].requests is None else ""
    why = f"the last readings were {rates}{untold}; at most {percent(rules.threshold)} may fail"
    above = sum(reading.rate > rules.threshold for reading in latest)
    if above == IN_A_ROW:
        return Judgement(Verdict.BREACH, why)
    return Judgement(Verdict.UNKNOWN if above else Verdict.GOOD, why)


def surprise(errors: float, requests: float, rate: float) -> float:
    """At most how likely it is to see so many errors or more, if each request fails by itself with this rate.

    Chernoff's bound, `exp(-requests × D)` with D the relative entropy of the seen rate to `rate`; 1 where no more were
    seen than expected.
    """
    seen = errors / requests
    if seen <= rate:
        return 1.0
    if rate == 0:
        return 0.0
    entropy = seen * math.log(seen / rate)
    if seen < 1:
        entropy += (1 - seen) * math.log((1 - seen) / (1 - rate))
    return math.exp(-requests * entropy)
