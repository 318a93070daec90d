"""The announced number of the newest generation, where there is a GENERATION_URL.

Rules:

- it is heard again by the rules of `worker/lease.py`, with `HEARD_FRESH_FOR` and `HEARD_STALE_FOR`;
- a number above the held generation is followed by a read of that generation's own key, of which no cache can have an
  old copy. A number below it is an old copy, and says nothing;
- a number whose map is not there is tried for `DISTRUST_FOR`, and then ignored until another one comes;
- whatever fails here leaves KV's own way as it is. It is told in `/health`, and no answer is stale for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from resolver.errors import InvalidDocument
from worker.kv import Announcements, KvFailed, read_latest
from worker.lease import NEVER, Behind, ReadLease
from worker.settings import Settings

#: A number heard less than so long ago is used as it is, in seconds.
HEARD_FRESH_FOR = 0.5
#: One heard less than so long ago is used, and heard anew behind the response; an older one is heard first.
HEARD_STALE_FOR = 1.0
#: How long a lower generation must stay in KV until it is taken for a reset namespace, not for a stale read.
DISTRUST_FOR = 120.0

Follow = Callable[[int], Awaitable[None]]
"""Reads and takes the snapshot of a generation. Raises `KvFailed` and `InvalidDocument`."""


class Heard(NamedTuple):
    """The announced number: how many seconds ago it was heard, which one it is, and what went wrong last."""

    age: float | None
    number: int | None
    error: str | None


class AnnouncedGeneration:
    """The number that was heard last. Times are on the monotonic clock."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float], held: Callable[[], int | None]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        #: The generation of the snapshot in memory; None where it has none.
        self._held = held
        self._lease = ReadLease(settings, HEARD_STALE_FOR, monotonic)
        self._heard_at = NEVER
        self._number: int | None = None
        #: A number above the held one, and since when its map is wanted.
        self._wanted: tuple[int, float] | None = None
        self._error: str | None = None

    @property
    def heard(self) -> Heard:
        """What is known of the announced number."""
        age = None if self._number is None else self._monotonic() - self._heard_at
        return Heard(age, self._number, self._error)

    def is_fresh(self, now: float) -> bool:
        """Whether the number need not be heard again."""
        return now - self._heard_at < HEARD_FRESH_FOR

    def announces(self, generation: int) -> bool:
        """Whether this generation, or a later one, was announced."""
        return self._number is not None and self._number >= generation

    def begin(
        self, announcements: Announcements, follow: Follow, now: float, patient: bool, behind: Behind
    ) -> Awaitable[None] | None:
        """Have it heard if it is this request's turn. Gives what the request has to wait for, if anything."""
        return self._lease.begin(now - self._heard_at, now, patient, lambda: self._hear(announcements, follow), behind)

    async def _hear(self, announcements: Announcements, follow: Follow) -> None:
        """Hear the number, and have its map read if it is above the held one. Never raises."""
        started = self._monotonic()
        try:
            number = await read_latest(announcements, self._settings.kv_timeout)
            if started < self._heard_at:
                return
            self._heard_at, self._number = started, number
            held = self._held()
            # A map that was written by hand has no number, and is not written over by one.
            if held is None or number <= held:
                self._wanted = None
            elif self._wants(number):
                await follow(number)
            else:
                return
            self._error = None
        except (KvFailed, InvalidDocument) as error:
            # As with the snapshot: an older hearing does not replace a newer one.
            if started >= self._heard_at:
                self._error = str(error)
                self._lease.failed()

    def _wants(self, number: int) -> bool:
        """Whether the map of a number above the held one should be read. It should not if that has failed for long."""
        now = self._monotonic()
        if self._wanted is None or self._wanted[0] != number:
            self._wanted = number, now
        return now - self._wanted[1] < DISTRUST_FOR
