"""Whose turn it is to read something again, and who waits for it.

Rules:

- something younger than `stale_for` is read behind the response, by one request at a time. Its lease expires, since
  the platform may drop such work;
- something older is read before the answer, by one request, and those that come meanwhile wait with it, all for at
  most `read_budget`. Where the read failed lately only that one waits: in an outage all others answer at once;
- after a failure the next read waits for `RETRY_FOR`;
- a request may not await what another one began. So those that wait look, on timers of their own, whether it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from worker.clock import SHORTEST_WAIT
from worker.settings import Settings

Behind = Callable[[Awaitable[None]], None]
"""Runs something after the response, as `ctx.waitUntil` does."""

#: How long a read may stay without an end before another one may start, in seconds.
LEASE_FOR = 5.0
#: How long after a failed read the next one waits.
RETRY_FOR = 1.0
#: How often a request looks for what another one reads, within `read_budget`.
_GLANCES = 8
NEVER = float("-inf")


class ReadLease:
    """The reads of one thing. Times are on the monotonic clock."""

    def __init__(self, settings: Settings, stale_for: float, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._stale_for = stale_for
        self._monotonic = monotonic
        #: After a failure: when it may be read again.
        self.retry_at = NEVER
        #: Before this time no second read begins behind a response or in a new isolate.
        self.until = NEVER
        #: Before this time no second read begins that a request waits for,
        self._first_until = NEVER
        #: and requests that come until then wait too.
        self._waited_until = NEVER
        #: How many reads have ended, well or badly.
        self.ended = 0
        #: How long a request waits before it looks again for what another one reads.
        self.glance = max(SHORTEST_WAIT, settings.read_budget / _GLANCES)

    def begin(
        self, age: float, now: float, patient: bool, read: Callable[[], Awaitable[None]], behind: Behind
    ) -> Awaitable[None] | None:
        """Have it read if it is this request's turn. Gives what the request has to wait for, if anything."""
        if now < self.retry_at:
            return None
        if age < self._stale_for:
            if now >= self.until:
                # At once: what runs behind the response may not have begun when the next request comes.
                self.until = now + LEASE_FOR
                behind(self.run(read))
            return None
        if now < self._first_until:
            return self._look_out(self._waited_until - now) if now < self._waited_until else None
        budget = self._settings.kv_timeout if patient else self._settings.read_budget
        failed_lately = now < self.retry_at + self._stale_for
        self._first_until = now + self._settings.kv_timeout
        self._waited_until = now if failed_lately else now + budget
        return self._first(read, budget, behind)

    async def run(self, read: Callable[[], Awaitable[None]]) -> None:
        """Read it, under the lease."""
        self.until = self._monotonic() + LEASE_FOR
        try:
            await read()
        finally:
            self.until = self._first_until = NEVER
            self.ended += 1

    def failed(self) -> None:
        """Let the next read wait for `RETRY_FOR`."""
        self.retry_at = self._monotonic() + RETRY_FOR

    async def _first(self, read: Callable[[], Awaitable[None]], budget: float, behind: Behind) -> None:
        reading = asyncio.ensure_future(self.run(read))
        done, _ = await asyncio.wait({reading}, timeout=budget)
        if not done:
            behind(reading)

    async def _look_out(self, left: float) -> None:
        """Look, on this request's own timers, whether the read that another request began has ended."""
        ended = self.ended
        while left >= SHORTEST_WAIT and self.ended == ended:
            # A rest that is too short for a wait of its own is added to this one.
            pause = self.glance if left - self.glance >= SHORTEST_WAIT else left
            await asyncio.sleep(pause)
            left -= pause
