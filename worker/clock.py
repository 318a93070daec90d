"""The time of a host, and how long to wait on it.

Only the host knows what lets other requests in: `Clock.pause`. A wait of asyncio's does it if it is not shorter than
`SHORTEST_WAIT`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

#: The shortest wait on a timer, in seconds. Pyodide ends one of up to 2 ms at once, before anything else may run.
SHORTEST_WAIT = 0.003


def _next_turn() -> Awaitable[object]:
    return asyncio.sleep(0)


class Clock(NamedTuple):
    """`monotonic` in seconds, for ages; `now` is the wall clock as seconds since 1970.

    `pause` ends once everything else that is ready has had its turn. CPython's event loop does that for a wait of 0 s.
    """

    monotonic: Callable[[], float]
    now: Callable[[], float]
    pause: Callable[[], Awaitable[object]] = _next_turn
