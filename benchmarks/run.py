"""Every benchmark, one after the other, and what came out: results.md, results.json, the plots, README.md's figures.

    python -m benchmarks.run            with the packages of requirements.txt; the Worker must be staged
    python -m benchmarks.run --only decision,load      the others' figures are taken from results.json

Each question is a script of its own, which prints JSON; this one runs them in processes of their own and writes tables.
`changes.md` is written by hand and stands at the end. `figures` in results.json are the numbers that other texts quote.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.quote import quoted

HERE = Path(__file__).parent
ROOT = HERE.parent
Found = dict[str, Any]

_PYTHON = [sys.executable, "-m"]
_WASM = ["node", str(HERE / "wasm.mjs")]
_FRESH = {"VARS": json.dumps({"FRESH_FOR": "3600", "STALE_FOR": "3600"})}


def _json(command: Sequence[str], variables: dict[str, str] | None = None) -> Any:
    environment = {**os.environ, **(variables or {})}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if run.returncode:
        # Of a fault in Pyodide the first line is a megabyte of its source.
        shown = "\n".join(line[:300] for line in run.stderr.splitlines()[-15:])
        raise SystemExit(f"{' '.join(command)} failed:\n{shown}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def _starts() -> Found:
    return {
        "WebAssembly": {kind: _json([*_WASM, "start", kind]) for kind in ("time", "memory")},
        "CPython": {"time": _json([*_PYTHON, "benchmarks.startup", "worker.local", "time"])},
    }


def _tables(script: str) -> Found:
    """The tables of a script that writes its own, with its plot, and the figures they are of."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        plot = str(HERE / f"{script}.svg")
        command = [*_PYTHON, f"benchmarks.{script}", "--svg", plot, "--json", str(file)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{run.stderr[-3000:]}")
        return {"tables": run.stdout.strip(), "found": json.loads(file.read_text("utf-8"))}


STEPS: dict[str, Callable[[], Any]] = {
    "decision": lambda: _json([*_PYTHON, "benchmarks.decision"]),
    "resolve": lambda: _json([*_PYTHON, "benchmarks.resolve"]),
    "expressions": lambda: _json([*_PYTHON, "benchmarks.expressions"]),
    "wasm": lambda: _json([*_WASM, "loops"], _FRESH),
    "load": lambda: _json([*_PYTHON, "benchmarks.load"]),
    "start": _starts,
    "where": lambda: _json([*_PYTHON, "benchmarks.where"]),
    "growth": lambda: _tables("growth"),
    "propagation": lambda: _tables("propagation"),
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
    middle, low, high = (f"{value:.{digits}f}" for value in found)
    return f"{middle} ({low}–{high})"


def figures(found: Found) -> dict[str, float]:
    """The numbers that the targets are about and that other texts quote."""
    short = found["decision"]["keys"]["user-42"]
    uuid = found["decision"]["keys"]["a UUID"]
    peers = ("flagd", "LaunchDarkly", "Unleash", "GrowthBook")
    local, wasm = found["load"]["CPython"], found["load"]["WebAssembly"]
    expressions = found["expressions"].values()
    tails = [tail["late"]["p99.9"] for host in (local, wasm) for tail in host["tails"].values()]
    imports = found["start"]["WebAssembly"]
    growth = {row["components"]: row for row in found["growth"]["found"]["hosts"]["WebAssembly"]["components"]}
    smallest, largest = growth[min(growth)], growth[max(growth)]
    return {
        "decision_us": short["times"]["ours"][0],
        "decision_to_floor": short["to_floor"]["ours"][0],
        "decision_to_floor_uuid": uuid["to_floor"]["ours"][0],
        **{f"decision_{peer.lower()}_to_ours": short["to_ours"][peer][0] for peer in peers},
        "decision_fastest_peer_to_ours": short["to_ours"][short["fastest"]][0],
        "decision_fastest_peer_to_ours_uuid": uuid["to_ours"][uuid["fastest"]][0],
        "resolve_cpython_us": found["resolve"]["ten agents, answer encoded"][0],
        "resolve_wasm_us": found["wasm"]["resolve"]["ten agents, answer encoded"][0],
        "expression_slowest_us": max(case["times"]["ours"][0] for case in expressions),
        "expression_median_us": statistics.median(case["times"]["ours"][0] for case in expressions),
        "expression_closest_library_to_ours": min(
            ratio[0] for case in expressions for ratio in case["to_ours"].values()
        ),
        "expression_slowest_wasm_us": max(times[0] for times in found["wasm"]["expressions"].values()),
        "http_cpython_per_second": local["cost"]["one reference"]["requests_per_second"],
        "http_wasm_per_second": wasm["cost"]["one reference"]["requests_per_second"],
        "http_cpython_over_constant": local["cost"]["one reference"]["wall_to_constant"][0] * 100 - 100,
        "http_wasm_over_constant": wasm["cost"]["one reference"]["wall_to_constant"][0] * 100 - 100,
        "http_wasm_over_constant_cpu": wasm["cost"]["one reference"]["cpu_to_constant"][0] * 100 - 100,
        "http_worst_p999_ms": max(tails),
        "http_wasm_worst_p999_ms": max(tail["late"]["p99.9"] for tail in wasm["tails"].values()),
        "growth_components": max(growth),
        "growth_memory_mib": largest["memory_mib"],
        "growth_block_ms": largest["block_ms"],
        "growth_request_us": largest["request_us"],
        "growth_request_to_smallest": largest["request_us"] / smallest["request_us"],
        "import_wasm_ms": imports["time"]["whole"],
        "import_pydantic_percent": 100 * _of_pydantic(imports["time"]),
    }


_PYDANTIC = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection")


def _of_pydantic(start: Found) -> float:
    return float(sum(start["packages"].get(name, 0.0) for name in _PYDANTIC) / start["whole"])


def targets(f: dict[str, float]) -> list[str]:
    """What was wanted, what was seen, and whether the one is within the other."""
    rows = [
        ("one decision, times the floor", "≤ 2.5", f"{f['decision_to_floor']:.2f}", f["decision_to_floor"] <= 2.5),
        (
            "the fastest other SDK, times ours, for a key of seven letters",
            "≥ 8",
            f"{f['decision_fastest_peer_to_ours']:.1f}",
            f["decision_fastest_peer_to_ours"] >= 8,
        ),
        (
            "the fastest other SDK, times ours, for a UUID",
            "≥ 8",
            f"{f['decision_fastest_peer_to_ours_uuid']:.1f}",
            f["decision_fastest_peer_to_ours_uuid"] >= 8,
        ),
        (
            "ten agents, CPython",
            "< 100 µs",
            f"{f['resolve_cpython_us']:.1f} µs",
            f["resolve_cpython_us"] < 100,
        ),
        ("ten agents, WebAssembly", "< 250 µs", f"{f['resolve_wasm_us']:.1f} µs", f["resolve_wasm_us"] < 250),
        ("the slowest expression", "< 2 µs", f"{f['expression_slowest_us']:.2f} µs", f["expression_slowest_us"] < 2),
        (
            "the closest other library, times ours",
            "> 1",
            f"{f['expression_closest_library_to_ours']:.2f}",
            f["expression_closest_library_to_ours"] > 1,
        ),
        (
            "POST /resolve over a constant, WebAssembly",
            "< 25 %",
            f"{f['http_wasm_over_constant']:.0f} %",
            f["http_wasm_over_constant"] < 25,
        ),
        (
            "the worst p99.9 of all states, WebAssembly",
            "< 50 ms",
            f"{f['http_wasm_worst_p999_ms']:.1f} ms",
            f["http_wasm_worst_p999_ms"] < 50,
        ),
        (
            "the worst p99.9 of all states, both hosts",
            "< 50 ms",
            f"{f['http_worst_p999_ms']:.1f} ms",
            f["http_worst_p999_ms"] < 50,
        ),
        (
            "memory for 100,000 components, WebAssembly, over an empty map",
            "≤ 64 MiB",
            f"{f['growth_memory_mib']:.1f} MiB",
            f["growth_memory_mib"] <= 64,
        ),
        (
            "a warm request at 100,000 components, times one at the fewest, WebAssembly",
            "flat",
            f"{f['growth_request_to_smallest']:.2f}",
            f["growth_request_to_smallest"] < 1.5,
        ),
    ]
    return table(
        ["What", "Wanted", "Seen", ""],
        [(what, want, seen, "met" if met else "missed") for what, want, seen, met in rows],
    )


def _machine() -> list[str]:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or "an unknown processor",
    )
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    pyodide = json.loads((ROOT / "tests/edge/node_modules/pyodide/package.json").read_text("utf-8"))["version"]
    return [
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}; "
        f"CPython {platform.python_version()}, Node {node.lstrip('v')}, Pyodide {pyodide}, "
        f"msgspec {version('msgspec')}, uvicorn {version('uvicorn')}.",
        "",
    ]


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text("utf-8").splitlines() if file.is_file() else []


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


def _resolve(cpython: Found, wasm: Found) -> list[str]:
    rows = [(name, spread(times, 1), spread(wasm[name], 1)) for name, times in cpython.items()]
    return ["## One resolve", "", _doc("resolve"), "", *table(["µs (10th–90th)", "CPython", "WebAssembly"], rows)]


def _expressions(found: Found, wasm: Found) -> list[str]:
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
        rows.append((name, f"`{text}`", f"{case['times']['ours'][0]:.2f}", f"{wasm[name][0]:.2f}", *others))
    head = ["Case", "Expression", "ours", "ours, WebAssembly", *(f"{name} {version(name)}" for name in libraries)]
    return [
        "## Expressions",
        "",
        _doc("expressions"),
        "",
        "Microseconds; in brackets, times ours.",
        "",
        *table(head, rows),
    ]


def _load(found: Found) -> list[str]:
    lines = ["## HTTP", "", _doc("load"), ""]
    rows = [
        (
            f"{host}: {name}",
            f"{cost['requests_per_second']:.0f}",
            spread(cost["wall"], 0),
            spread(cost["wall_to_constant"]),
            spread(cost["cpu_to_constant"]),
            *(f"{cost['late'][share]:.2f}" for share in ("p50", "p99", "p99.9")),
        )
        for host, measured in found.items()
        for name, cost in measured["cost"].items()
    ]
    head = ["", "requests/s", "µs a request", "to the constant", "the same, CPU time", "p50 ms", "p99 ms", "p99.9 ms"]
    lines += table(head, rows)
    rows = [
        (
            f"{host}: {state}",
            f"{tail['requests']}",
            f"{tail['reads']:.0f}",
            *(f"{tail['late'][share]:.2f}" for share in ("p50", "p99", "p99.9")),
            f"{tail['worst']:.2f}",
            f"{tail['constant']['p99.9']:.2f}",
        )
        for host, measured in found.items()
        for state, tail in measured["tails"].items()
    ]
    head = [
        "KV's delay",
        "requests",
        "reads of KV",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "the very latest, ms",
        "p99.9 of the constant",
    ]
    return [*lines, *table(head, rows), "![Latencies](latency.svg)", ""]


def _start(found: Found) -> list[str]:
    wasm, local = found["WebAssembly"], found["CPython"]["time"]
    names = sorted(wasm["time"]["packages"], key=lambda name: -wasm["time"]["packages"][name])
    rows = [
        (
            name,
            f"{wasm['time']['packages'][name]:.0f}",
            f"{100 * wasm['time']['packages'][name] / wasm['time']['whole']:.0f} %",
            f"{wasm['memory']['packages'].get(name, 0):.2f}",
            f"{local['packages'][name]:.0f}" if name in local["packages"] else "–",
        )
        for name in names
        if wasm["time"]["packages"][name] >= 1
    ]
    heap = [size / 2**20 for size in wasm["time"]["heap"]]
    whole = (
        "all",
        f"{wasm['time']['whole']:.0f}",
        "100 %",
        f"{wasm['memory']['whole']:.2f}",
        f"{local['whole']:.0f}",
    )
    return [
        "## Start-up",
        "",
        f"{_doc('startup')} In WebAssembly no bytecode is there beforehand, as none is deployed: compiling is in the "
        f"times. The heap grows from {heap[0]:.0f} to {heap[1]:.0f} MiB.",
        "",
        *table(["", "WebAssembly, ms", "share", "MiB that stay", "`make dev` on CPython, ms"], [*rows, whole]),
    ]


def _where(cpython: Found, wasm: Found) -> list[str]:
    lines = ["## Where the time goes", "", "### In WebAssembly, step by step", ""]
    lines += [
        "Each step alone, again and again: with the processor's caches full of it. Within a request, after much "
        "JavaScript, they are not, and the edge's own step costs some three times as much."
    ]
    lines += ["", *table(["Step", "µs"], [(name, f"{us:.1f}") for name, us in wasm["steps"].items()])]
    medians = {name: statistics.median(times) for name, times in wasm["whole"].items()}
    lines += [
        f"Whole calls as the host makes them, without HTTP: a constant {medians['constant']:.0f} µs, one reference "
        f"{medians['one']:.0f}, ten agents {medians['ten']:.0f}.",
        "",
        "### On CPython, by function",
        "",
        _doc("where"),
        "",
    ]
    for name, profile in cpython.items():
        rows = [
            (f"`{row['function']}`", f"{row['calls']:.0f}", f"{row['own']:.2f}", f"{row['with']:.2f}")
            for row in profile["functions"]
        ]
        lines += [f"{name[0].upper()}{name[1:]}: {profile['us']:.1f} µs without the profiler.", ""]
        lines += table(["", "calls", "own µs", "with what it calls"], rows)
    return lines


def _doc(script: str) -> str:
    """What a script says of itself, without its first line and without what is indented."""
    from importlib import import_module  # noqa: PLC0415

    text = str(import_module(f"benchmarks.{script}").__doc__)
    paragraphs = [part for part in text.split("\n\n")[1:] if not part.startswith(("  ", "Rules"))]
    return "\n\n".join(" ".join(part.split()) for part in paragraphs)


def report(found: Found) -> str:
    """results.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; `results.json` holds all of it. Times are medians, with 10th and 90th percentile.",
        "What is compared was measured in turns in one process, and a ratio is the median of the turns' ratios.",
        "",
        *_machine(),
        *targets(figures(found)),
        *_decision(found["decision"]),
        *_resolve(found["resolve"], found["wasm"]["resolve"]),
        *_expressions(found["expressions"], found["wasm"]["expressions"]),
        *_load(found["load"]),
        *_start(found["start"]),
        *_where(found["where"], found["wasm"]),
        (HERE / "changes.md").read_text("utf-8"),
        "## Growth",
        "",
        found["growth"]["tables"],
        "",
        "![Growth](growth.svg)",
        "",
        "## A rollback's way to the whole world",
        "",
        found["propagation"]["tables"],
        "",
        "![A rollback's way](propagation.svg)",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _plots(found: Found) -> None:
    times = {name: times[0] for name, times in found["decision"]["keys"]["user-42"]["times"].items()}
    picture = plots.bars("One decision, microseconds (logarithmic)", "µs", times, "ours")
    (HERE / "decision.svg").write_text(picture, "utf-8")
    tails = {
        f"{host}: {state}": (tail["late"]["p50"], tail["late"]["p99.9"])
        for host, measured in found["load"].items()
        for state, tail in measured["tails"].items()
    }
    picture = plots.latencies("p50 and p99.9 of POST /resolve, by KV's delay", tails, 50)
    (HERE / "latency.svg").write_text(picture, "utf-8")


def main() -> None:
    """Run what was asked for, and write everything."""
    parser = argparse.ArgumentParser(description="Run the benchmarks and write results.md.")
    parser.add_argument("--only", help=f"some of {','.join(STEPS)}; what else there is stays as it was measured before")
    only = parser.parse_args().only
    kept = HERE / "results.json"
    found: Found = json.loads(kept.read_text("utf-8"))["found"] if only else {}
    began = time.monotonic()
    for name in only.split(",") if only else STEPS:
        started = time.monotonic()
        found[name] = STEPS[name]()
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    written = {"figures": figures(found), "found": found}
    kept.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", "utf-8")
    _plots(found)
    (HERE / "results.md").write_text(report(found), "utf-8")
    readme = ROOT / "README.md"
    stated = readme.read_text("utf-8")
    if (renewed := quoted(stated, written["figures"])) != stated:
        readme.write_text(renewed, "utf-8")
    print("\n".join(targets(figures(found))))
    print(f"benchmarks/results.md, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
