"""The scenarios, asked of a real Conductor and of the miniature: python -m tests.conductor.real FOLDER

`FOLDER` is what real.sh has made of a checkout: `src`, `template`, and `node_modules` with their packages. It prints a
table, and what a run takes with the drop-in and without. The exit code is 1 where anything is not as wanted, or the
two differ.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tests.conductor.scenarios import ADA, SCENARIOS, WANTED, published
from tests.conductor.world import EXAMPLE, MINIATURE, PROJECT, Conductor, World, world

#: Runs with the drop-in and without, in turns.
TURNS = 300


def results(conductor: Conductor, *, timed: bool = False) -> dict[str, Any]:
    """What each scenario comes to; the text of what went wrong where one fails. Timed, what runs take is printed."""
    found: dict[str, Any] = {}
    with world(conductor) as started:
        for scenario in SCENARIOS:
            try:
                found[scenario.__name__] = json.loads(json.dumps(scenario(started)))
            except Exception as error:
                found[scenario.__name__] = f"{type(error).__name__}: {error}"
        if timed:
            print_times(started)
    return found


def print_times(started: World) -> None:
    """What one run takes, over HTTP on this machine: an ensemble of two agents, one of which has a published prompt."""
    started.publish(published())
    took: dict[str, list[float]] = {"plain": [], "direct": [], "http": []}
    for turn in range(TURNS + 20):
        for name, times in took.items():
            begun = time.perf_counter()
            started.runs("answer", {**ADA, "user_id": turn}, name)
            if turn >= 20:
                times.append((time.perf_counter() - begun) * 1000)
    print(f"\n{TURNS} runs of `answer` each, in turns, in one process   p50 ms   p99 ms")
    for name, label in (
        ("plain", "without the drop-in"),
        ("direct", "with it, over RPC"),
        ("http", "with it, over HTTP"),
    ):
        cuts = statistics.quantiles(took[name], n=100)
        print(f"{label:<54}{cuts[49]:7.1f}  {cuts[98]:7.1f}")


def main(folder: Path) -> int:
    template = folder / "template"
    real = Conductor("real", folder / "src", template / "src/index-auto-discovery.ts", (template, EXAMPLE, PROJECT))
    miniature = Conductor("miniature", MINIATURE, EXAMPLE / "src/index.ts", (EXAMPLE, PROJECT))
    ours, theirs = results(miniature), results(real, timed=True)
    print(f"\n{'scenario':<20}{'real':<8}{'miniature':<12}the same")
    bad = 0
    for name, wanted in WANTED.items():
        right = [found[name] == wanted for found in (theirs, ours)]
        same = theirs[name] == ours[name]
        bad += not (all(right) and same)
        print(f"{name:<20}{_said(right[0]):<8}{_said(right[1]):<12}{'yes' if same else 'no'}")
    for name, wanted in WANTED.items():
        for who, found in (("real", theirs), ("miniature", ours)):
            if found[name] != wanted:
                print(f"\n{name}, {who}:\n  wanted {json.dumps(wanted)}\n  was    {json.dumps(found[name])}")
    print(f"\n{len(WANTED) - bad} of {len(WANTED)} scenarios as they are wanted, in both")
    return 1 if bad else 0


def _said(right: bool) -> str:
    return "ok" if right else "FAILED"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
