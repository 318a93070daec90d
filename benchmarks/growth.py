"""What the edge costs as things grow: components in the version map, versions of a component, agents of an ensemble.

Each case has a process of its own, once on CPython and once in WebAssembly (`growth.mjs` over the staged Worker), with
a KV that is a table in memory. A case is `{"kv": {key: [value, metadata]}, "steps": […]}`; a step puts entries into
KV (`put`), moves the Worker's clock on by `after` seconds, sends its `calls` (`[method, path, body]`) in `rounds`, and
waits for everything behind the responses. It comes out as

    us       microseconds of a call: the median of the rounds
    block    the longest time in which the only thread served nothing else, in milliseconds
    total    milliseconds until all was answered and everything behind the responses had ended
    memory   MiB at the peak so far: the WebAssembly memory, or what the resident set of CPython has grown by (on Linux)
    status   of the last answer

Shown is memory above that of the same case with an empty map, before the whole map is asked for. The map is written as
`edgit publish` writes it, in the order of the names. `make staged` comes first.

    python benchmarks/growth.py --json FILE --svg FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from resolver.documents import VERSION_MAP
from worker.app import Edge, Platform, Request
from worker.cache import Clock
from worker.kv import Entry
from worker.settings import read_settings

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("WebAssembly", "CPython")
COMPONENTS = (0, 10, 100, 1_000, 10_000, 100_000)
VERSIONS = (5, 50, 500)
AGENTS = (1, 10, 50, 200)

Case = dict[str, Any]
Result = dict[str, float]

_AREAS = ("billing", "catalog", "checkout", "fraud", "onboarding", "search", "support", "translate")
_KINDS = ("agent-config", "few-shot-examples", "header-template", "result-schema", "retrieval-query", "system-prompt")


# The cases


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


def _entry(text: str, generation: int) -> dict[str, object]:
    return {"component-versions": [text, {"generation": generation, "revision": f"r{generation}"}]}


def _asked(references: Sequence[str]) -> list[object]:
    return ["POST", "/resolve", {"references": list(references), "key": "user-42"}]


STEPS = (
    "first request",
    "first look-ups",
    "request",
    "unchanged",
    "one moved",
    "all moved",
    "quiet",
    "typo",
    "version",
)


def components_case(components: int) -> Case:
    """A map of that size: started with, asked, refreshed behind the response, and after an hour's quiet."""
    text, moved, others = (
        version_map(components),
        version_map(components, moved=True),
        version_map(components, 5),
    )
    names = list(json.loads(text)) or ["none"]
    asked = [names[number * len(names) // 50] for number in range(50)]
    calls = [_asked([name]) for name in asked]
    one = calls[:1]
    steps = [
        {"calls": one},
        {"calls": calls},
        {"calls": calls, "rounds": 15},
        {"after": 6, "calls": one},
        {"put": _entry(moved, 2), "after": 6, "calls": one},
        {"put": _entry(others, 3), "after": 6, "calls": one},
        {"put": _entry(text, 4), "after": 6, "calls": one},
        {"put": _entry(moved, 5), "after": 3600, "calls": one},
        {"calls": [_asked(["bilin/agent-config"])]},
        {"calls": [["GET", "/version", None]]},
    ]
    return {"kv": _entry(text, 1), "steps": steps}


def versions_case() -> Case:
    """Components with 5 to 500 versions, asked by a range and by a `latest` that is no pointer."""
    kv: dict[str, object] = {}
    pointers = {}
    for versions in VERSIONS:
        pointers[f"with-{versions}"] = {"prod": "v1.0.0"}
        releases = [{"version": f"v1.{n // 10}.{n % 10}", "at": "2024-11-12T14:45:00Z"} for n in range(versions)]
        kv[f"index/with-{versions}"] = [json.dumps(releases), None]
    kv |= _entry(json.dumps(pointers), 1)
    steps: list[dict[str, object]] = [{"calls": [_asked(["with-5"])]}]
    for versions in VERSIONS:
        for selector in ("^1.0.0", "latest"):
            call = _asked([f"with-{versions}@{selector}"])
            steps += [{"calls": [call]}, {"calls": [call], "rounds": 200}]
    steps.append({"after": 6, "calls": [_asked(["with-5"])]})
    return {"kv": kv, "steps": steps}


def agents_case() -> Case:
    """Ensembles of 1 to 200 agents, half of them with a condition, over 50 components, a third with a canary."""
    kv: dict[str, object] = {"rollout-percentage": ["10", None]}
    pointers: dict[str, dict[str, str]] = json.loads(version_map(50))
    names = list(pointers)
    steps = []
    for agents in AGENTS:
        lines = [f"ensemble: agents-{agents}", "rollout:", "  key: ${input.user_id}", "agents:"]
        for number in range(agents):
            lines += [f"  - name: agent-{number}", "    operation: think", f"    component: {names[number % 50]}@prod"]
            if number % 2:
                lines.append(f'    condition: ${{input.user_id % 2 === 1 && input.tier === "tier-{number}"}}')
        pointers[f"agents-{agents}"] = {"prod": "v1.0.0"}
        kv[f"components/agents-{agents}/v1.0.0"] = ["\n".join(lines), {"type": "ensemble"}]
        call = ["POST", f"/ensembles/agents-{agents}/resolve", {"input": {"user_id": 7, "tier": "tier-3"}}]
        steps += [{"calls": [call]}, {"calls": [call], "rounds": 100}]
    return {"kv": kv | _entry(json.dumps(pointers), 1), "steps": steps}


# The two hosts


def measured(host: str, case: Case) -> list[Result]:
    """A case in a process of its own."""
    command = ["node", str(ROOT / "benchmarks" / "growth.mjs")]
    if host == "CPython":
        command = [sys.executable, __file__, "--case"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.json"
        file.write_text(json.dumps(case), "utf-8")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([*command, file], capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    results: list[Result] = json.loads(done.stdout.splitlines()[-1])
    for step, result in zip(case["steps"], results, strict=True):
        if result["status"] not in (200, 404):
            raise SystemExit(f"{host} answered {result['status']} to {step['calls'][-1]}")
    return results


async def on_cpython(case: Case) -> list[Result]:
    """The steps of a case on this CPython, over the same edge."""
    moved = 0.0
    stored = {key: Entry(*entry) for key, entry in case["kv"].items()}
    case["kv"].clear()

    class Table:
        async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
            await asyncio.sleep(0.001)
            found = {key: stored.get(key) for key in keys}
            if (entry := found.get(VERSION_MAP)) is not None:
                # As from a real store: a text of its own, not the very object of the last time.
                found[VERSION_MAP] = Entry(entry.value[:1] + entry.value[1:], entry.metadata)
            return found

        async def list_keys(self, prefix: str) -> list[str]:
            return [key for key in stored if key.startswith(prefix)]

    behind: list[Awaitable[None]] = []
    clock = Clock(lambda: time.monotonic() + moved, time.time)
    edge = Edge(read_settings({"ALLOW_ANONYMOUS": "true"}), clock, lambda: "key")
    # A task at once, as in `waitUntil`.
    platform = Platform(Table(), lambda work: behind.append(asyncio.ensure_future(work)))
    results = []
    with suppress(OSError):
        # The peak from here on, not that of the process that this one was forked from.
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    resident = _resident("VmRSS")
    for step in case["steps"]:
        for key, entry in step.pop("put", {}).items():
            stored[key] = Entry(*entry)
        moved += step.get("after", 0)
        requests = [
            Request(method, path, body=b"" if body is None else json.dumps(body).encode())
            for method, path, body in step["calls"]
        ]
        taken: list[float] = []
        began = time.perf_counter()
        status, block = await _watched(_sent(edge, platform, requests, step.get("rounds", 1), taken, behind))
        total = (time.perf_counter() - began) * 1000
        memory = _resident("VmHWM") - resident
        results.append(
            {"us": statistics.median(taken), "block": block, "total": total, "memory": memory, "status": status}
        )
    return results


def _resident(field: str) -> float:
    """MiB of this process, as Linux counts them; 0 elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


async def _sent(
    edge: Edge,
    platform: Platform,
    requests: Sequence[Request],
    rounds: int,
    taken: list[float],
    behind: list[Awaitable[None]],
) -> int:
    status = 0
    for _ in range(rounds):
        began = time.perf_counter()
        for request in requests:
            status = (await edge.handle(request, platform)).status
        taken.append((time.perf_counter() - began) / len(requests) * 1e6)
    while behind:
        await behind.pop()
    return status


async def _watched(work: Coroutine[Any, Any, int]) -> tuple[int, float]:
    """What the work comes to, and for how many milliseconds at most the event loop did not turn meanwhile."""
    task = asyncio.ensure_future(work)
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return await task, longest * 1000


# All of it


def experiments() -> dict[str, Any]:
    """All curves, by host: what each size costs."""
    began = time.perf_counter()
    found: dict[str, Any] = {}
    for host in HOSTS:
        sizes: dict[int, dict[str, Any]] = {}
        for size in COMPONENTS:
            results = measured(host, components_case(size))
            del results[6]  # back to the map as it was
            sizes[size] = dict(zip(STEPS, results, strict=True)) | {"memory": max(r["memory"] for r in results[:7])}
        empty = sizes[0]["memory"]
        components = [
            {
                "components": size,
                "bytes": len(version_map(size)),
                "request_us": found["request"]["us"],
                "first_lookup_us": found["first look-ups"]["us"],
                "cold_ms": found["first request"]["total"],
                "unchanged_ms": found["unchanged"]["total"],
                "one_moved_ms": found["one moved"]["total"],
                "all_moved_ms": found["all moved"]["total"],
                "block_ms": max(found[step]["block"] for step in ("unchanged", "one moved", "all moved")),
                "quiet_ms": found["quiet"]["us"] / 1000,
                "typo_ms": found["typo"]["us"] / 1000,
                "version_ms": found["version"]["us"] / 1000,
                "memory_mib": found["memory"] - empty,
            }
            for size, found in sizes.items()
            if size
        ]
        results = measured(host, versions_case())
        versions = [
            {"versions": count, "range_us": results[2 + 4 * i]["us"], "latest_us": results[4 + 4 * i]["us"],
             "first_ms": results[1 + 4 * i]["us"] / 1000}
            for i, count in enumerate(VERSIONS)
        ]  # fmt: skip
        results = measured(host, agents_case())
        agents = [
            {"agents": count, "resolve_us": results[1 + 2 * i]["us"], "first_ms": results[2 * i]["us"] / 1000}
            for i, count in enumerate(AGENTS)
        ]
        found[host] = {"components": components, "versions": versions, "agents": agents, "empty_mib": empty}
    return {"hosts": found, "seconds": time.perf_counter() - began}


_TITLES = {
    "components": "components",
    "bytes": "bytes of the map",
    "request_us": "request, µs",
    "first_lookup_us": "request for a component not asked before, µs",
    "cold_ms": "first request of an isolate, ms",
    "unchanged_ms": "refresh: nothing moved, ms",
    "one_moved_ms": "one moved, ms",
    "all_moved_ms": "all moved, ms",
    "block_ms": "longest block of a refresh, ms",
    "quiet_ms": "request after an hour's quiet, ms",
    "typo_ms": "unknown name, ms",
    "version_ms": "`GET /version`, ms",
    "memory_mib": "memory at its peak over an empty map, MiB",
    "versions": "versions",
    "range_us": "a range, µs",
    "latest_us": "`latest`, µs",
    "agents": "agents",
    "resolve_us": "resolve, µs",
    "first_ms": "the first time, ms",
}


def tables(found: Mapping[str, Any]) -> str:
    """The curves as tables in Markdown."""
    parts = []
    for host, curves in found["hosts"].items():
        for name in ("components", "versions", "agents"):
            rows = curves[name]
            head = [_TITLES[column] for column in rows[0]]
            body = [[_figure(value) for value in row.values()] for row in rows]
            lines = [f"| {' | '.join(line)} |" for line in (head, ["---:"] * len(head), *body)]
            parts.append("\n".join([f"**{host}, by {name}**", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


_LINES = (
    ("request_us", 1e-3, "#1b6ca8", "a request"),
    ("one_moved_ms", 1, "#2a9d5c", "refresh, one pointer moved"),
    ("all_moved_ms", 1, "#d98c1f", "refresh, all moved"),
    ("block_ms", 1, "#b3382c", "longest block of a refresh"),
)


def svg(found: Mapping[str, Any]) -> str:
    """Milliseconds, and MiB of memory, over the number of components; one panel a host, both axes logarithmic."""
    width, height, left, top = 460, 260, 60, 40
    low, high = -3, 3

    def x(components: float) -> float:
        return width * (math.log10(components) - 1) / 4

    def y(value: float) -> float:
        return top + height * (1 - (math.log10(max(value, 10.0**low)) - low) / (high - low))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * (width + left) + 60}" height="{height + 130}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    lines = [*_LINES, ("memory_mib", 1, "#6b4fa0", "memory over an empty map, MiB")]
    for panel, (host, curves) in enumerate(found["hosts"].items()):
        x0 = left + panel * (width + left + 20)
        parts.append(f'<text x="{x0}" y="{top - 14}" font-size="13">{host}</text>')
        for power in range(low, high + 1):
            at = y(10.0**power)
            parts.append(f'<line x1="{x0}" x2="{x0 + width}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
            parts.append(f'<text x="{x0 - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
        for row in curves["components"]:
            at = x0 + x(row["components"])
            parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + height}" stroke="#eee"/>')
            label = f"{row['components']:,}"
            parts.append(f'<text x="{at:.1f}" y="{top + height + 16}" text-anchor="middle">{label}</text>')
        for column, unit, colour, _ in lines:
            points = " ".join(
                f"{x0 + x(row['components']):.1f},{y(row[column] * unit):.1f}" for row in curves["components"]
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for number, (_, _, colour, name) in enumerate(lines):
        at, down = left + (number % 3) * 320, top + height + 44 + (number // 3) * 22
        parts.append(f'<rect x="{at}" y="{down - 9}" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{at + 24}" y="{down - 3}">{name}</text>')
    parts.append(
        f'<text x="{left}" y="{top + height + 82}">Over components in the version map: milliseconds, and MiB.</text>'
        "</svg>"
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    """Run everything and write what was asked for."""
    parser = argparse.ArgumentParser(description="What the edge costs as things grow.")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--svg", type=Path, help="write the plot here")
    parser.add_argument("--case", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(asyncio.run(on_cpython(json.loads(given.case.read_text("utf-8"))))))
        return
    found = experiments()
    print(tables(found))
    print(f"{found['seconds']:.1f} s")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if given.svg:
        given.svg.write_text(svg(found), "utf-8")


if __name__ == "__main__":
    main()
