"""Asking again what may pass: each time after a longer pause. A `Retry-After` is kept to."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edgit.kv.store import KvFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a failing call is tried: so many attempts, within so many seconds, pauses included.

    The pauses double from `first` to `longest` seconds, each shortened by chance to somewhere above its half.
    """

    attempts: int = 8
    seconds: float = 120
    first: float = 0.5
    longest: float = 30
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    #: Told of each failure that is waited out: nobody should look at a silent terminal for a minute.
    say: Callable[[str], None] = lambda _text: None

    def pause(self, attempt: int, asked_for: float | None) -> float:
        """How many seconds to wait after the given attempt, counted from 1; never less than was asked for."""
        grown = min(self.longest, self.first * 2.0 ** (attempt - 1)) * (1 + self.chance()) / 2
        return grown if asked_for is None else asked_for + grown / 10

    def persist(self, name: str, doing: str, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked again while it raises `TransientFailure`. Raises `KvFailed` with the last reason."""
        end = self.clock() + self.seconds
        for attempt in range(1, self.attempts + 1):
            try:
                return ask()
            except TransientFailure as failure:
                reason = failure.reason
                wait = self.pause(attempt, failure.retry_after)
            if attempt == self.attempts or self.clock() + wait > end:
                break
            self.say(f"{name}: {reason}; asking again in {wait:.1f} s")
            self.sleep(wait)
        raise KvFailed(
            f"{name} failed while {doing}, {attempt} time{'s' if attempt > 1 else ''}: {reason}",
            hint="run the same command again later; what was done so far is kept and not done twice",
        )


class TransientFailure(Exception):
    """A failure that may pass; `retry_after` is how many seconds the other side asked to wait."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
