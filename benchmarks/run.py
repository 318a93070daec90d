"""Every benchmark, one after the other, and what came out: results.md, figures.json, the plots, README.md's figures.

    python -m benchmarks.run            with the packages of requirements.txt; the Worker must be staged
    python -m benchmarks.run --only decision,cost    the others' figures are those of the last run on this machine

Each question is a script of its own, which prints JSON; this one runs them in processes of their own and writes tables.
`changes.md` is written by hand and stands at the end. figures.json has the numbers that other texts quote; everything
that was measured is in build/benchmarks/results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.figures import Found, figures, targets
from benchmarks.quote import quoted

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = ROOT / "build" / "benchmarks" / "results.json"
FIGURES = HERE / "figures.json"
NODE_MODULES = ROOT / "tests" / "edge" / "node_modules"


def _run(command: Sequence[str]) -> str:
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800)
    if run.returncode:
        shown = "\n".join(line[:300] for line in run.stderr.splitlines()[-25:])
        raise SystemExit(f"{' '.join(command)} failed:\n{shown}")
    return run.stdout.strip()


def _json(script: str) -> Any:
    return json.loads(_run([sys.executable, "-m", f"benchmarks.{script}"]).splitlines()[-1])


#: The questions, in the order of results.md; those of workerd first, where others on the machine disturb most.
STEPS: dict[str, Callable[[], Any]] = {
    **{
        name: lambda name=name: _json(name)  # type: ignore[misc]
        for name in ("cost", "tails", "starts", "inside", "growth", "decision", "resolve", "expressions", "where")
    },
}


# Tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; numbers stand on the right."""
    rows = list(rows)
    numeric = [all(row[at][:1] in "0123456789–<>" for row in rows) for at in range(len(head))]
    rule = ["---:" if right else "---" for right in numeric]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)] + [""]


def spread(found: Sequence[float], digits: int = 2) -> str:
    """Median, and the 10th and 90th percentile."""
    middle, low, high = (f"{value:,.{digits}f}" for value in found)
    return f"{middle} ({low}–{high})"


def _doc(script: str) -> str:
    """What a script says of itself, without its first line and without what is indented."""
    text = str(import_module(f"benchmarks.{script}").__doc__)
    paragraphs = [part for part in text.split("\n\n")[1:] if not part.startswith(("  ", "Rules"))]
    return "\n\n".join(" ".join(part.split()) for part in paragraphs)


def _machine() -> list[str]:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or "an unknown processor",
    )
    npm = {name: json.loads((NODE_MODULES / name / "package.json").read_text("utf-8"))["version"] for name in _NPM}
    return [
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}; "
        f"workerd {npm['workerd']}, Pyodide {npm['pyodide']}, CPython {platform.python_version()}, "
        f"msgspec {version('msgspec')}.",
        "",
    ]


_NPM = ("workerd", "pyodide")


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text("utf-8").splitlines() if file.is_file() else []


def _cost(found: Found) -> list[str]:
    lines = ["## A request", "", _doc("cost"), ""]
    for part, title in (("http", "HTTP"), ("rpc", "A call over the binding")):
        costs = found[part]
        bases = ["to the constant", "to one that reads the body", "to the one as documented"][
            : len(next(iter(costs.values()))["cpu_to"])
        ]
        rows = [
            (
                name,
                spread(cost["cpu"], 0),
                *(spread(ratio) for ratio in cost["cpu_to"].values()),
                f"{next(iter(cost['wall_to'].values()))[0]:.2f}",
                f"{cost['per_second']:.0f}",
            )
            for name, cost in costs.items()
        ]
        lines += table([title, "µs of CPU (10th–90th)", *bases, "to the constant, on the wall", "a second"], rows)
    return lines


def _tails(found: Found) -> list[str]:
    rows = [
        (
            state,
            f"{tail['requests']}",
            f"{tail.get('reads', 0):.0f}",
            *(f"{tail['late'][share]:.1f}" for share in ("p50", "p99", "p99.9")),
            f"{tail['worst']:.1f}",
        )
        for state, tail in found.items()
    ]
    head = ["KV's delay", "requests", "calls of KV", "p50 ms", "p99 ms", "p99.9 ms", "the very latest, ms"]
    return ["## The latest answers", "", _doc("tails"), "", *table(head, rows), "![Latencies](latency.svg)", ""]


def _starts(found: Found) -> list[str]:
    rows = [
        (f"{way}: {'the more' if name == 'more' else name}", spread(taken["ms"], 0), spread(taken["cpu_ms"], 0))
        for way in ("with the snapshot", "without")
        for name, taken in found[way].items()
    ]
    sizes = " and ".join(f"{size:.1f} MiB ({name})" for name, size in found["snapshots"].items())
    return [
        "## A start",
        "",
        f"{_doc('starts')} The snapshots are of {sizes}.",
        "",
        *table(["", "ms to the first answer", "ms of CPU"], rows),
    ]


def _inside(found: Found) -> list[str]:
    rows = [(name, spread(times, 1)) for name, times in found["steps"].items()]
    return ["## Python inside workerd, step by step", "", _doc("inside"), "", *table(["Step", "µs (10th–90th)"], rows)]


_TITLES = {
    "components": "components",
    "bytes": "bytes of the map",
    "first_ms": "first answer of a process, ms",
    "lookup_ms": "request for a component not asked before, ms",
    "request_us": "request, µs of CPU",
    "one_moved_ms": "refresh: one moved, ms",
    "all_moved_ms": "all moved, ms",
    "block_ms": "longest wait of a request meanwhile, ms",
    "typo_ms": "unknown name, ms",
    "version_ms": "`GET /version`, ms",
    "heap_mib": "WebAssembly memory, MiB",
    "memory_mib": "of it over an empty map",
    "versions": "versions",
    "range_us": "a range, µs of CPU",
    "latest_us": "`latest`, µs of CPU",
    "first_range_ms": "a range, the first time, ms",
    "first_latest_ms": "`latest`, the first time, ms",
    "agents": "agents",
    "resolve_us": "resolve, µs of CPU",
    "first_resolve_ms": "the first time, ms",
}


def _growth(found: Found) -> list[str]:
    lines = ["## Growth", "", _doc("growth"), ""]
    for rows in found.values():
        shown = [[_figure(value) for value in row.values()] for row in rows]
        lines += table([_TITLES[column] for column in rows[0]], shown)
    return lines


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _decision(found: Found) -> list[str]:
    lines = ["## One decision", "", _doc("decision"), ""]
    for kind, measured in found["keys"].items():
        rows = [
            (
                name,
                spread(times),
                f"{measured['to_floor'][name][0]:.1f}",
                f"{measured['to_ours'][name][0]:.1f}",
                f"{measured['shares'][name]:.2%}",
            )
            for name, times in measured["times"].items()
        ]
        lines += [f"Keys like `{kind}`:" if kind != "a UUID" else "Keys that are UUIDs:", ""]
        lines += table(["", "µs (10th–90th)", "times the floor", "times ours", "its share of canaries"], rows)
    packages = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return [*lines, f"Versions: {packages}.", "", "![One decision](decision.svg)", ""]


def _resolve(cpython: Found, inside: Found) -> list[str]:
    rows = [(name, spread(times, 1), spread(inside[name], 1)) for name, times in cpython.items()]
    return ["## One resolve", "", _doc("resolve"), "", *table(["µs (10th–90th)", "CPython", "workerd"], rows)]


def _expressions(found: Found, inside: Found) -> list[str]:
    libraries = ("simpleeval", "cel-python", "jmespath")
    rows = []
    for name, case in found.items():
        others = (
            f"{case['times'][library][0]:.2f} ({case['to_ours'][library][0]:.0f} ×)"
            if library in case["times"]
            else "–"
            for library in libraries
        )
        text = case["text"].replace("|", "\\|")
        rows.append((name, f"`{text}`", f"{case['times']['ours'][0]:.2f}", f"{inside[name][0]:.2f}", *others))
    head = ["Case", "Expression", "ours", "ours in workerd", *(f"{name} {version(name)}" for name in libraries)]
    said = "Microseconds; in brackets, times ours."
    return ["## Expressions", "", _doc("expressions"), "", said, "", *table(head, rows)]


def _where(found: Found) -> list[str]:
    lines = ["## Where the time of the edge goes", "", _doc("where"), ""]
    for name, profile in found.items():
        rows = [
            (f"`{row['function']}`", f"{row['calls']:.0f}", f"{row['own']:.2f}", f"{row['with']:.2f}")
            for row in profile["functions"]
        ]
        lines += [f"{name[0].upper()}{name[1:]}: {profile['us']:.1f} µs without the profiler.", ""]
        lines += table(["", "calls", "own µs", "with what it calls"], rows)
    return lines


def report(found: Found) -> str:
    """results.md."""
    rows = [(what, want, seen, "met" if met else "missed") for what, want, seen, met in targets(figures(found))]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Times are medians, with 10th and 90th percentile. What is compared was measured in",
        "turns in one process, and a ratio is the median of the turns' ratios.",
        "",
        *_machine(),
        *table(["What", "Wanted", "Seen", ""], rows),
        *_cost(found["cost"]),
        *_tails(found["tails"]),
        *_starts(found["starts"]),
        *_inside(found["inside"]),
        *_growth(found["growth"]),
        *_decision(found["decision"]),
        *_resolve(found["resolve"], found["inside"]["resolve"]),
        *_expressions(found["expressions"], found["inside"]["expression"]),
        *_where(found["where"]),
        quoted((HERE / "changes.md").read_text("utf-8"), figures(found)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _plots(found: Found) -> None:
    times = {name: times[0] for name, times in found["decision"]["keys"]["user-42"]["times"].items()}
    picture = plots.bars("One decision, microseconds (logarithmic)", "µs", times, "ours")
    (HERE / "decision.svg").write_text(picture, "utf-8")
    late = {state: (tail["late"]["p50"], tail["late"]["p99.9"]) for state, tail in found["tails"].items()}
    picture = plots.latencies("p50 and p99.9 of POST /resolve in workerd, by KV's delay", late, 50)
    (HERE / "latency.svg").write_text(picture, "utf-8")


def main() -> None:
    """Run what was asked for, and write everything."""
    parser = argparse.ArgumentParser(description="Run the benchmarks and write results.md.")
    parser.add_argument("--only", help=f"some of {','.join(STEPS)}; what else there is stays as it was measured before")
    only = parser.parse_args().only
    found: Found = json.loads(RESULTS.read_text("utf-8")) if only else {}
    began = time.monotonic()
    for name in only.split(",") if only else STEPS:
        started = time.monotonic()
        found[name] = STEPS[name]()
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    numbers = figures(found)
    FIGURES.write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    _plots(found)
    (HERE / "results.md").write_text(report(found), "utf-8")
    readme = ROOT / "README.md"
    stated = readme.read_text("utf-8")
    if (renewed := quoted(stated, numbers)) != stated:
        readme.write_text(renewed, "utf-8")
    for what, want, seen, met in targets(numbers):
        print(f"{'met   ' if met else 'MISSED'} {what}: {seen} (wanted {want})")
    print(f"benchmarks/results.md, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
