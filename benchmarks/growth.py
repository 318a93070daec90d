"""What the edge costs in workerd as things grow: components in the version map, versions of a component, agents.

Each number of components has a process of its own, started from the snapshot. A request is timed by the CPU of
workerd's threads, the runtime's own part in it included. A refresh is watched by a caller who asks one request after
the other: how long it takes until the new map answers, and the longest that any request waited meanwhile, for the
Worker or for KV's Worker, which hands over the whole map on the same thread.

Memory is that of WebAssembly, which never shrinks, after two refreshes, over what it is with an empty map. The map is
written as `edgit publish` writes it, in the order of the names.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import Ask, once, run
from benchmarks.workers import FRESH, WITH_HEAP, called, lever, ours, serving, with_ours, worked
from tests.edge.workerd.process import Workerd

COMPONENTS = (0, 10, 1_000, 10_000, 100_000)
VERSIONS = (5, 50, 500)
AGENTS = (1, 10, 50, 200)
#: After so many seconds a snapshot is refreshed.
FRESH_FOR = 1.0
#: Requests after a refresh that are still watched.
AFTERWARDS = 50

Entries = dict[str, object]
Found = dict[str, float]

_AREAS = ("billing", "catalog", "checkout", "fraud", "onboarding", "search", "support", "translate")
_KINDS = ("agent-config", "few-shot-examples", "header-template", "result-schema", "retrieval-query", "system-prompt")


# What KV holds


def version_map(components: int, major: int = 1, moved: bool = False) -> str:
    """A map of components with three or four pointers each, some 95 bytes a component."""
    pointers = {}
    for number in range(components):
        version = f"v{major + number % 4}.{number % 17}.{number % 9}"
        pointers[f"{_AREAS[number % 8]}/{_KINDS[number % 6]}-{number}"] = {
            **({"prod-canary": f"v{major + number % 4}.{number % 17 + 1}.0"} if number % 3 == 0 else {}),
            "latest": version,
            "prod": "v10.10.10" if moved and number == components // 2 else version,
            "stable": version,
        }
    return json.dumps(dict(sorted(pointers.items())), separators=(",", ":"))


def _entry(text: str, generation: int) -> Entries:
    return {"component-versions": [text, {"generation": generation, "revision": f"r{generation}"}]}


def _ranged() -> Entries:
    """Components with 5 to 500 versions."""
    entries: Entries = {}
    for versions in VERSIONS:
        releases = [{"version": f"v1.{n // 10}.{n % 10}", "at": "2024-11-12T14:45:00Z"} for n in range(versions)]
        entries[f"index/with-{versions}"] = [json.dumps(releases), None]
    pointers = {f"with-{versions}": {"prod": "v1.0.0"} for versions in VERSIONS}
    return entries | _entry(json.dumps(pointers), 1)


def _ensembles() -> Entries:
    """Ensembles of 1 to 200 agents, half of them with a condition, over 50 components, a third with a canary."""
    entries: Entries = {"rollout-percentage": ["10", None]}
    pointers: dict[str, dict[str, str]] = json.loads(version_map(50))
    names = list(pointers)
    for agents in AGENTS:
        lines = [f"ensemble: agents-{agents}", "rollout:", "  key: ${input.user_id}", "agents:"]
        for number in range(agents):
            lines += [f"  - name: agent-{number}", "    operation: think", f"    component: {names[number % 50]}@prod"]
            if number % 2:
                lines.append(f'    condition: ${{input.user_id % 2 === 1 && input.tier === "tier-{number}"}}')
        pointers[f"agents-{agents}"] = {"prod": "v1.0.0"}
        entries[f"components/agents-{agents}/v1.0.0"] = ["\n".join(lines), {"type": "ensemble"}]
    return entries | _entry(json.dumps(pointers), 1)


# What is measured


def _asked(*references: str) -> Ask:
    return Ask("/resolve", {"references": list(references), "key": "user-42"})


def _each(process: Workerd, ask: Ask, requests: int = 40, rounds: int = 5) -> float:
    """Microseconds of CPU that a request takes, the median of some rounds."""
    # In a new process, what the runtime compiles meanwhile would be in the first ones.
    run(process.urls["edge"], ask, 300, 2)
    taken = []
    for _ in range(rounds):
        before = worked(process)
        run(process.urls["edge"], ask, requests, 2)
        taken.append((worked(process) - before) / requests)
    return statistics.median(taken)


def _ms(process: Workerd, ask: Ask) -> float:
    return once(process.urls["edge"], ask)[0] * 1000


def _refreshed(process: Workerd, entries: Entries, ask: Ask, generation: int) -> tuple[float, float]:
    """How long after the map is no longer fresh the new one answers, and the longest that a request waited, in ms."""
    lever(process, put=entries)
    time.sleep(FRESH_FOR + 0.1)
    waited: list[float] = []
    began, seen = time.perf_counter(), None
    while seen is None or len(waited) < seen[1] + AFTERWARDS:
        taken, body = once(process.urls["edge"], ask)
        waited.append(taken)
        if seen is None and json.loads(body)["snapshot"]["generation"] == generation:
            seen = time.perf_counter() - began, len(waited)
        assert len(waited) < 20_000, "the new map is never seen"
    return seen[0] * 1000, max(waited) * 1000


def components(size: int, folder: Path) -> Found:
    """A map of that size: started with, asked, refreshed with one pointer moved and with all moved."""
    text = version_map(size)
    names: list[str] = list(json.loads(text)) or ["none"]
    asked = [_asked(names[number * len(names) // 50]) for number in range(50)]
    variables = {"FRESH_FOR": str(FRESH_FOR), "STALE_FOR": "36000"}
    with serving([ours(variables, folder)], entries=_entry(text, 1)) as process:
        if not size:
            # Of an empty map there is nothing to resolve; it is what memory is compared with.
            once(process.urls["edge"], Ask("/health", None, "GET"))
            return {"components": 0, "heap_mib": called(process, "heap") / 2**20}
        first = _ms(process, asked[0])
        once(process.urls["edge"], asked[0])
        lookups = statistics.median(_ms(process, ask) for ask in asked[1:])
        one, one_block = _refreshed(process, _entry(version_map(size, moved=True), 2), asked[0], 2)
        every, every_block = _refreshed(process, _entry(version_map(size, 5), 3), asked[0], 3)
        heap = called(process, "heap") / 2**20
        return {
            "components": size,
            "bytes": len(text),
            "first_ms": first,
            "lookup_ms": lookups,
            "request_us": _each(process, asked[0]),
            "one_moved_ms": one,
            "all_moved_ms": every,
            "block_ms": max(one_block, every_block),
            "typo_ms": _ms(process, _asked("bilin/agent-config")),
            "version_ms": _ms(process, Ask("/version", None, "GET")),
            "heap_mib": heap,
        }


def _curve(process: Workerd, asks: Sequence[tuple[dict[str, int], dict[str, Ask]]]) -> list[Found]:
    rows: list[Found] = []
    for row, named in asks:
        first = {f"first_{name}_ms": _ms(process, ask) for name, ask in named.items()}
        rows.append({**row, **{f"{name}_us": _each(process, ask) for name, ask in named.items()}, **first})
    return rows


def measure() -> dict[str, list[Found]]:
    """The three curves."""
    folder = with_ours("with-heap", WITH_HEAP)
    sizes = [components(size, folder) for size in COMPONENTS]
    for found in sizes[1:]:
        found["memory_mib"] = found["heap_mib"] - sizes[0]["heap_mib"]
    with serving([ours(FRESH, folder)], entries=_ranged()) as process:
        once(process.urls["edge"], _asked("with-5"))
        ranges = _curve(
            process,
            [
                ({"versions": n}, {"range": _asked(f"with-{n}@^1.0.0"), "latest": _asked(f"with-{n}@latest")})
                for n in VERSIONS
            ],
        )
    with serving([ours(FRESH, folder)], entries=_ensembles()) as process:
        once(process.urls["edge"], _asked("billing/agent-config-0"))
        given = {"input": {"user_id": 7, "tier": "tier-3"}}
        ensembles = _curve(
            process, [({"agents": n}, {"resolve": Ask(f"/ensembles/agents-{n}/resolve", given)}) for n in AGENTS]
        )
    return {"components": sizes[1:], "versions": ranges, "agents": ensembles}


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
