"""Watching a version after a move, and rolling back on a breach.

Rules:

- only the version that was there at the start is judged. When somebody moves the pointer, the watch ends and moves
  nothing, so that no fix is rolled back;
- Ctrl-C ends the watch and moves nothing;
- clock and sleep come from outside.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias

from edgit.errors import EdgitError
from edgit.guard.judgement import Judgement, Verdict, judged
from edgit.guard.observations import Observations, observed
from edgit.guard.readings import Reading, Subject
from edgit.guard.rules import WatchRules, count, percent

#: How long a move may take to reach every request, in seconds: KV's own delay and the edge's.
SPREAD: Final = 65.0
#: What two times that mean the same may differ by, in seconds.
_INSTANT: Final = 1e-6


class RollBackFailed(EdgitError):
    """A breach, and the version is still live or may be: the one outcome that somebody has to act on now."""

    exit_code: ClassVar[int] = 5


# The watch


@dataclass(frozen=True, slots=True)
class WatchStep:
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
class WatchOutcome:
    """What a watch came to. `reason` is a whole sentence; `rolled_back` what the roll-back said, None without one."""

    verdict: Verdict
    reason: str
    steps: tuple[WatchStep, ...] = ()
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
Show: TypeAlias = Callable[[WatchStep], None]


def guard(
    subject: Subject,
    rules: WatchRules,
    *,
    read: Read,
    live: Live,
    roll_back: RollBack | None,
    by_hand: str,
    show: Show = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> WatchOutcome:
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
    rules: WatchRules,
    *,
    read: Read,
    live: Live,
    by_hand: str,
    show: Show = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> WatchOutcome:
    """Readings from the end of `settle` to the end of the window, until one decides. Moves nothing.

    Raises `RollBackFailed` on a breach of which it cannot be said that this version is still the live one.
    """
    steps: list[WatchStep] = []
    try:
        sleep(rules.settle)
        start, seen = clock(), Observations()
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


def _step(at: float, before: Observations, seen: Observations, rules: WatchRules) -> WatchStep:
    note = seen.why_missed if seen.missed > before.missed else None
    return WatchStep(at, *seen.figures, judged(seen, rules, ended=True).verdict, note)


def _still_live(live: Live, subject: Subject) -> bool | EdgitError:
    """Whether the watched version is at its pointer, or why that could not be read."""
    try:
        return live() == subject.version
    except EdgitError as error:
        return error


def _outcome(subject: Subject, judgement: Judgement, steps: list[WatchStep]) -> WatchOutcome:
    said = {
        Verdict.GOOD: f"{subject} is good: ",
        Verdict.BREACH: f"{subject} is bad: ",
        Verdict.UNKNOWN: f"Could not tell whether {subject} is good: ",
    }
    return WatchOutcome(judgement.verdict, f"{said[judgement.verdict]}{judgement.why}.", tuple(steps))


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


def line(step: WatchStep) -> str:
    """One reading as a line of plain text: `   10 s  3 errors of 1,204 requests  0.25%  good`."""
    requests = "" if step.requests is None else count(step.requests, "request")
    errors = "" if step.errors is None else f"{count(step.errors, 'error')} of "
    rate = "" if step.rate is None else percent(step.rate)
    note = f"  ({step.note})" if step.note else ""
    return f"{step.at:5.0f} s  {errors + requests:<32}  {rate:>7}  {step.verdict.word}{note}"


def settling(subject: Subject, rules: WatchRules, moved: float, *, own: bool) -> str | None:
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
