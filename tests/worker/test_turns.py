"""Whose turn it is: work in steps lets others in by the host's own pause, and no timer is shorter than a host can keep.

In Pyodide a wait of up to 2 ms ends before anything else may run: `asyncio.sleep(0)` lets nobody in, and a loop of such
waits would hold the isolate. tests/edge/test_turns.py holds both in workerd.
"""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

import worker
from tests.worker.fakes import run
from tests.worker.test_cache import MAP, Isolate
from worker.clock import SHORTEST_WAIT
from worker.settings import Settings

WORKER = Path(worker.__file__).parent
#: The two waits of requests that look for what another one reads, and what CPython's event loop has for a pause.
WAITS = {("lease.py", "_look_out"), ("snapshots.py", "_read_by_another"), ("clock.py", "_next_turn")}


def waits(path: Path) -> set[tuple[str, str]]:
    """The functions that call asyncio's `sleep` or a loop's `call_later`, under whatever name it was imported."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {getattr(node, "attr", None) or getattr(node, "id", None) for node in ast.walk(function)}
            if names & {"sleep", "call_later", "call_at"}:
                found.add((path.name, function.name))
    return found


def test_nothing_else_waits_on_a_timer() -> None:
    sources = sorted(WORKER.glob("*.py"))
    assert set().union(*map(waits, sources)) == WAITS
    for source in sources:
        tree = ast.parse(source.read_text("utf-8"))
        named = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
        assert not {"sleep", "wait_for"} & set(named), source


@pytest.mark.parametrize("budget", [0.0001, 0.002, 0.01, 0.04])
def test_no_wait_is_shorter_than_a_host_can_keep(budget: float, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        waited.append(seconds)
        await sleep(seconds)

    async def scenario() -> None:
        # A new isolate, whose first request reads for all; then a snapshot that is too old, and the same again.
        isolate = Isolate(settings=Settings(kv_timeout=0.2, read_budget=budget))
        isolate.store.gate = asyncio.Event()
        first = asyncio.gather(*(isolate.view() for _ in range(3)))
        await sleep(0.01)
        isolate.store.gate.set()
        await first
        isolate.store.gate = asyncio.Event()
        isolate.time.time += 3600
        second = asyncio.gather(*(isolate.view() for _ in range(3)))
        await sleep(0.01)
        isolate.store.gate.set()
        await second
        await isolate.behind.run()

    monkeypatch.setattr(asyncio, "sleep", recorded)
    run(scenario())
    # The first wait is for a turn at all; all others are of the requests that look for what another one reads.
    timers = [seconds for seconds in waited if seconds]
    assert timers
    assert min(timers) >= SHORTEST_WAIT > 0.002


@pytest.mark.parametrize("budget", [0.0029, 0.005, 0.007, 0.02])
def test_looking_out_takes_no_longer_than_the_budget(budget: float, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def recorded(seconds: float) -> None:
        waited.append(seconds)

    async def scenario() -> None:
        isolate = Isolate(settings=Settings(kv_timeout=0.1, read_budget=budget))
        await isolate.view()
        isolate.store.mode = "stall"
        isolate.time.time += 3600
        first = asyncio.ensure_future(isolate.view())
        for _ in range(3):
            await asyncio.tasks.sleep(0)
        monkeypatch.setattr(asyncio, "sleep", recorded)
        await isolate.view()
        await first
        await isolate.behind.run()

    run(scenario())
    assert sum(waited) == pytest.approx(budget if budget >= SHORTEST_WAIT else 0)


def test_a_small_map_is_taken_without_a_pause_and_a_large_one_with_many() -> None:
    async def scenario(size: int) -> int:
        isolate = Isolate()
        isolate.store.publish({f"c{number:05}": {"prod": "v1.0.0"} for number in range(size)} | MAP, 8)
        await isolate.view()
        return isolate.time.pauses

    assert run(scenario(10)) == 0
    assert run(scenario(20_000)) > 20
