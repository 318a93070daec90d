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
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple, TypeAlias

from edgit.errors import EdgitError
from edgit.metrics import InvalidWatch, NoData, Rate, Reading, Subject, Totals

#: How many readings of a rate in a row decide.
IN_A_ROW: Final = 3
#: How much of the window the readings with data reach over, at least, before anything is good.
COVERED: Final = 0.75
#: How often one series may not fall or be missing anew; a process that restarts falls once.
FLAPPING: Final = 3
#: How likely a breach that ends the watch early is at most, if the true rate were at the threshold.
CHANCE: Final = 0.001
#: The usual time between two readings, in seconds, and how many a shorter window has at least.
EVERY: Final = 5.0
FEWEST: Final = 6
#: How long a move may take to reach every request, in seconds: KV's own delay and the edge's.
SPREAD: Final = 65.0

_MOST_READINGS: Final = 100_000
#: What two times that mean the same may differ by, in seconds.
_INSTANT: Final = 1e-6


class Verdict(IntEnum):
    """What a watch came to. The numbers are the exit codes."""

    GOOD = 0
    BREACH = 1
    UNKNOWN = 2

    @property
    def word(self) -> str:
        """For people and for JSON."""
        return {Verdict.GOOD: "good", Verdict.BREACH: "breach", Verdict.UNKNOWN: "unknown"}[self]


class RollBackFailed(EdgitError):
    """A breach, and the version is still live or may be: the one outcome that somebody has to act on now."""

    exit_code: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Rules:
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


# What was seen


class Last(NamedTuple):
    """A series as last seen: its value, whether the last reading had it, and how often it fell or was missing."""

    value: float
    there: bool = True
    breaks: int = 0


@dataclass(frozen=True, slots=True)
class Increase:
    """What one kind of counters added since the first reading, in all, and its series."""

    added: float = 0.0
    series: Mapping[str, Last] = field(default_factory=dict)

    def lacks(self, totals: Mapping[str, float]) -> bool:
        """Whether a series that the last reading had is not in this one."""
        return any(last.there and name not in totals for name, last in self.series.items())

    def after(self, totals: Mapping[str, float], *, elsewhere: bool) -> Increase:
        """With one more reading. A series that is new began at 0; if `elsewhere`, nobody knows what it added since."""
        added = self.added
        series = {
            name: last if name in totals else last._replace(there=False, breaks=last.breaks + last.there)
            for name, last in self.series.items()
        }
        for name, value in totals.items():
            last = series.get(name) or Last(value if elsewhere else 0.0)
            fell = value < last.value
            added += value if fell else value - last.value
            series[name] = Last(value, breaks=last.breaks + fell)
        return Increase(added, series)

    @property
    def breaks(self) -> int:
        """How often the series with the most breaks fell or was missing."""
        return max((last.breaks for last in self.series.values()), default=0)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the counters of errors and requests added since the first reading."""

    errors: Increase
    requests: Increase

    @staticmethod
    def since(totals: Totals) -> Counts:
        """The first reading: what the others are counted from."""
        return Counts(*(Increase().after(kind, elsewhere=True) for kind in (totals.errors, totals.requests)))

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
class Seen:
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


def observed(seen: Seen, at: float, reading: Reading, rules: Rules) -> Seen:
    """What was seen with one more reading, taken `at` seconds after the start."""
    match reading:
        case NoData(why):
            return replace(seen, missed=seen.missed + 1, why_missed=why)
        case Rate(_, requests) if requests is not None and requests < (wanted := max(1, rules.min_requests)):
            why = f"the reading is of {_count(requests, 'request')}, and {wanted} are wanted"
            return replace(seen, missed=seen.missed + 1, why_missed=why)
        case Rate():
            before = seen.evidence.latest if isinstance(seen.evidence, Rates) else ()
            evidence: Evidence = Rates((*before, reading)[-IN_A_ROW:])
        case Totals():
            evidence = seen.evidence.after(reading) if isinstance(seen.evidence, Counts) else Counts.since(reading)
    return replace(seen, evidence=evidence, first=at if seen.evidence is None else seen.first, last=at)


# The decision


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the figures that it rests on, as a clause."""

    verdict: Verdict
    why: str


def judged(seen: Seen, rules: Rules, *, ended: bool) -> Judgement:
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
        missed = f"; {_count(seen.missed, 'reading')} had no data: {seen.why_missed}" if seen.missed else ""
        seconds = f"{covered:.3g} s of the window's {rules.window:g} s"
        return Judgement(Verdict.UNKNOWN, f"the readings with data reach over {seconds} only{missed}")
    return judgement if ended else Judgement(Verdict.UNKNOWN, judgement.why)


def _of_counts(errors: Increase, requests: Increase, rules: Rules, *, ended: bool) -> Judgement:
    failed, asked, wanted = errors.added, requests.added, max(1, rules.min_requests)
    if (breaks := max(errors.breaks, requests.breaks)) >= FLAPPING:
        why = f"a counter fell or was missing {breaks} times: the address seems to reach several processes in turn"
        return Judgement(Verdict.UNKNOWN, why)
    if failed > asked:
        why = f"{_count(failed, 'error')} of {_count(asked, 'request')}: the two do not count the same thing"
        return Judgement(Verdict.UNKNOWN, why)
    if asked < wanted:
        return Judgement(Verdict.UNKNOWN, f"only {_count(asked, 'request')} came, and {wanted} are wanted")
    rate = failed / asked
    why = f"{failed:,.0f} of {_count(asked, 'request')} failed, {percent(rate)}; at most {percent(rules.threshold)} may"
    if rate <= rules.threshold:
        return Judgement(Verdict.GOOD, why)
    certain = ended or surprise(failed, asked, rules.threshold) <= CHANCE
    return Judgement(Verdict.BREACH if certain else Verdict.UNKNOWN, why)


def _of_rates(latest: tuple[Rate, ...], rules: Rules) -> Judgement:
    if len(latest) < IN_A_ROW:
        return Judgement(Verdict.UNKNOWN, f"only {_count(len(latest), 'reading')} had data; it takes {IN_A_ROW}")
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


# The watch


@dataclass(frozen=True, slots=True)
class Step:
    """One reading, for the progress. `at` is in seconds since the start; figures are of the window so far.

    `verdict` is what the watch would come to if it ended here, `note` why this reading had no data.
    """

    at: float
    errors: float | None
    requests: float | None
    rate: float | None
    verdict: Verdict
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a watch came to. `reason` is a whole sentence; `rolled_back` what the roll-back said, None without one."""

    verdict: Verdict
    reason: str
    steps: tuple[Step, ...] = ()
    rolled_back: str | None = None

    @property
    def exit_code(self) -> int:
        """0 good, 1 breach, 2 could not tell."""
        return int(self.verdict)


Read: TypeAlias = Callable[[], Reading]
#: The version at the watched pointer now, None where there is none. May raise EdgitError when that cannot be read.
Live: TypeAlias = Callable[[], str | None]
#: Moves the pointer back and publishes; returns one sentence that says so. Raises when that is not done whole.
RollBack: TypeAlias = Callable[[], str]
Show: TypeAlias = Callable[[Step], None]


def guard(
    subject: Subject,
    rules: Rules,
    *,
    read: Read,
    live: Live,
    roll_back: RollBack | None,
    by_hand: str,
    show: Show = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Watch, and roll back on a breach; without `roll_back` only tell it.

    `by_hand` is the command that rolls back, for the message when that fails. Raises `RollBackFailed`.
    """
    outcome = watch(subject, rules, read=read, live=live, by_hand=by_hand, show=show, clock=clock, sleep=sleep)
    if outcome.verdict is not Verdict.BREACH or roll_back is None:
        return outcome
    try:
        return replace(outcome, rolled_back=roll_back())
    except (Exception, KeyboardInterrupt) as error:
        raise _failed(subject, outcome.reason, error, live, by_hand) from error


def watch(
    subject: Subject,
    rules: Rules,
    *,
    read: Read,
    live: Live,
    by_hand: str,
    show: Show = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Readings from the end of `settle` to the end of the window, until one decides. Moves nothing.

    Raises `RollBackFailed` on a breach of which it cannot be said that this version is still the live one.
    """
    steps: list[Step] = []
    try:
        sleep(rules.settle)
        start, seen = clock(), Seen()
        for _ in range(math.ceil(rules.window / rules.every) + 2):
            reading = read()
            at = clock() - start
            ended = at >= rules.window - _INSTANT
            before, seen = seen, observed(seen, at, reading, rules)
            steps.append(_step(at, before, seen, rules))
            show(steps[-1])
            judgement = judged(seen, rules, ended=ended)
            decided = ended or judgement.verdict is Verdict.BREACH
            match _still_live(live, subject):
                case False:
                    why = f"somebody moved {subject.pointer} of {subject.component} meanwhile; nothing was moved here"
                    return _outcome(subject, Judgement(Verdict.UNKNOWN, why), steps)
                case EdgitError() as unread if judgement.verdict is Verdict.BREACH:
                    raise _failed(subject, _outcome(subject, judgement, steps).reason, unread, live, by_hand)
                case EdgitError() as unread if decided:
                    why = f"whether it is still live could not be read: {unread.detail.removesuffix('.')}"
                    return _outcome(subject, Judgement(Verdict.UNKNOWN, why), steps)
            if decided:
                return _outcome(subject, judgement, steps)
            due = min(rules.window, (math.floor((at + _INSTANT) / rules.every) + 1) * rules.every)
            sleep(max(0.0, due - at))
    except KeyboardInterrupt:
        return _outcome(subject, Judgement(Verdict.UNKNOWN, "the watch was interrupted, and nothing was moved"), steps)
    return _outcome(subject, Judgement(Verdict.UNKNOWN, "the clock did not reach the end of the window"), steps)


def _step(at: float, before: Seen, seen: Seen, rules: Rules) -> Step:
    note = seen.why_missed if seen.missed > before.missed else None
    return Step(at, *seen.figures, judged(seen, rules, ended=True).verdict, note)


def _still_live(live: Live, subject: Subject) -> bool | EdgitError:
    """Whether the watched version is at its pointer, or why that could not be read."""
    try:
        return live() == subject.version
    except EdgitError as error:
        return error


def _outcome(subject: Subject, judgement: Judgement, steps: list[Step]) -> Outcome:
    said = {
        Verdict.GOOD: f"{subject} is good: ",
        Verdict.BREACH: f"{subject} is bad: ",
        Verdict.UNKNOWN: f"Could not tell whether {subject} is good: ",
    }
    return Outcome(judgement.verdict, f"{said[judgement.verdict]}{judgement.why}.", tuple(steps))


def _failed(subject: Subject, reason: str, error: BaseException, live: Live, by_hand: str) -> RollBackFailed:
    """The breach, what went wrong, and where that leaves the pointer."""
    cause = error.detail if isinstance(error, EdgitError) else f"{type(error).__name__} {error}".rstrip()
    try:
        now = live()
    except (Exception, KeyboardInterrupt):
        state = f"What {subject.pointer} is at now could not be read."
    else:
        if now == subject.version:
            state = f"{subject.version} is still live on {subject.pointer}."
        else:
            state = f"{subject.pointer} is at {now or 'nothing'} now, which may not be published."
    return RollBackFailed(
        f"{reason}\nTHE ROLL-BACK FAILED: {cause.removesuffix('.')}. {state}", hint=f"Roll back by hand now: {by_hand}"
    )


# Words


def line(step: Step) -> str:
    """One reading as a line of plain text: `   10 s  3 errors of 1,204 requests  0.25%  good`."""
    requests = "" if step.requests is None else _count(step.requests, "request")
    errors = "" if step.errors is None else f"{_count(step.errors, 'error')} of "
    rate = "" if step.rate is None else percent(step.rate)
    note = f"  ({step.note})" if step.note else ""
    return f"{step.at:5.0f} s  {errors + requests:<32}  {rate:>7}  {step.verdict.word}{note}"


def as_json(subject: Subject, rules: Rules, outcome: Outcome) -> dict[str, object]:
    """The whole watch as a JSON value: names as in `Rules` and `Step`, times in seconds, null for what is not known."""
    return {
        "component": subject.component,
        "environment": subject.pointer,
        "version": subject.version,
        "verdict": outcome.verdict.word,
        "reason": outcome.reason,
        "rolled_back": outcome.rolled_back,
        "threshold": rules.threshold,
        "window": rules.window,
        "min_requests": rules.min_requests,
        "readings": [
            {
                "at": round(step.at, 3),
                "errors": step.errors,
                "requests": step.requests,
                "rate": step.rate,
                "verdict": step.verdict.word,
                "note": step.note,
            }
            for step in outcome.steps
        ],
    }


def settling(subject: Subject, rules: Rules, moved: float, *, own: bool) -> str | None:
    """A caution for a watch that starts `moved` seconds after the pointer moved, if it would see the version before.

    There is none where the figures are the version's `own`.
    """
    left = SPREAD - moved
    if own or rules.settle >= left:
        return None
    return (
        f"{subject.pointer} moved {moved:.0f} s ago, and for up to {SPREAD:.0f} s requests may still run the version "
        f"before; --settle {math.ceil(left)} leaves those out."
    )


def percent(rate: float) -> str:
    """A rate as a percentage of three digits: `0.25%`."""
    return f"{rate * 100:.3g}%"


def _count(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}" if number == 1 else f"{number:,.0f} {noun}s"
