"""Timing on a machine that others use too: short rounds, every subject in each, and what is compared, by the round.

Rules:

- a subject is a function of one argument; a round calls each subject with every argument, one subject after the other,
  beginning with another one each time;
- a subject's time is the median of its rounds, its spread the 10th and 90th percentile;
- a ratio is the median of the rounds' ratios, never a ratio of medians: what slows a round slows both sides of it.

Times are in microseconds a call, of the thread's own CPU time, which stands still while others have the processor. The
loop's own cost, some 15 ns a call, is in every subject's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Subject = Callable[[Any], object]
Times = dict[str, list[float]]


class Summary(NamedTuple):
    """Median and spread of one subject's rounds."""

    median: float
    low: float
    high: float


def interleaved(subjects: Mapping[str, Subject], arguments: Sequence[object], rounds: int = 30) -> Times:
    """The times of each subject, one for each round. One round before the first is thrown away."""
    names = list(subjects)
    times: Times = {name: [] for name in names}
    for number in range(-1, rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            taken = _timed(subjects[name], arguments)
            if number >= 0:
                times[name].append(taken)
    return times


def _timed(subject: Subject, arguments: Sequence[object]) -> float:
    started = time.thread_time()
    for argument in arguments:
        subject(argument)
    return (time.thread_time() - started) / len(arguments) * 1e6


def summary(times: Sequence[float]) -> Summary:
    """Median, 10th and 90th percentile."""
    ordered = sorted(times)
    return Summary(statistics.median(ordered), ordered[len(ordered) // 10], ordered[(len(ordered) - 1) * 9 // 10])


def ratio(times: Times, over: str, under: str) -> Summary:
    """How many times as long `over` took as `under`, by round."""
    return summary([a / b for a, b in zip(times[over], times[under], strict=True)])
