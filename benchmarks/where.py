"""Where the time of a request goes on CPython: a profile of the edge, from an HTTP request's values to its answer's.

cProfile makes each call dearer than it is, the short ones most; what counts is the order. `own` is the time
in a function itself and `with` that and what it calls, in microseconds a request.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import pstats
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from worker.bundle import bundled_ensembles
from worker.clock import Clock
from worker.edge import Edge, Platform
from worker.http import Request, Response, handle
from worker.kv import Entry
from worker.local.seed import seed
from worker.settings import read_settings

ROOT = Path(__file__).parents[1]
REQUESTS = {
    "one reference": ("/resolve", {"references": ["my-prompt@prod"], "key": "user-42"}),
    "ten agents": (
        "/ensembles/ten-agents/resolve",
        {"input": {"user_id": 4, "deep": True, "items": [1, 2, 3, 4], "channel": "mail"}},
    ),
}


class _Store:
    async def get_many(self, keys: Sequence[str]) -> dict[str, Entry | None]:
        entries = seed()
        return {key: Entry(*entries[key]) if key in entries else None for key in keys}

    async def list_keys(self, prefix: str) -> list[str]:
        return [key for key in seed() if key.startswith(prefix)]


def _answered(work: Coroutine[Any, Any, Response]) -> Response:
    """A warm request waits for nothing, so that it needs no loop."""
    try:
        work.send(None)
    except StopIteration as end:
        assert end.value.status == 200
        answer: Response = end.value
        return answer
    raise AssertionError("a warm request waited")


def measure(requests: int = 5000) -> dict[str, Any]:
    """For each kind of request: microseconds without the profiler, and the dearest functions with it."""
    settings = read_settings({"ALLOW_ANONYMOUS": "true", "FRESH_FOR": "3600", "STALE_FOR": "3600"})
    edge = Edge(settings, Clock(time.monotonic, time.time), lambda: "drawn", bundled_ensembles())
    platform = Platform(_Store(), lambda _: None)
    found: dict[str, Any] = {}
    for name, (path, body) in REQUESTS.items():
        request = Request("POST", path, "", {}, json.dumps(body).encode())
        asyncio.run(handle(edge, request, platform))
        started = time.thread_time()
        for _ in range(requests):
            _answered(handle(edge, request, platform))
        plain = (time.thread_time() - started) / requests * 1e6
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(requests):
            _answered(handle(edge, request, platform))
        profiler.disable()
        found[name] = {"us": plain, "functions": _dearest(pstats.Stats(profiler), requests)}
    return found


def _dearest(stats: pstats.Stats, requests: int, most: int = 12) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    profiled: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = stats.stats  # type: ignore[attr-defined]
    for (file, _, function), (_, calls, own, whole, _) in profiled.items():
        path = Path(file)
        inside = path.is_relative_to(ROOT / "resolver") or path.is_relative_to(ROOT / "worker")
        place = f"{path.relative_to(ROOT)}: {function}" if inside else f"{path.name if file != '~' else ''} {function}"
        rows.append(
            {
                "function": place.strip(),
                "calls": calls / requests,
                "own": own / requests * 1e6,
                "with": whole / requests * 1e6,
            }
        )
    return sorted(rows, key=lambda row: -row["own"])[:most]


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
