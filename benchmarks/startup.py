"""What a start costs: the imports, package by package, in time or in memory.

`traced` runs in WebAssembly Python, from `wasm.mjs start`, for the Worker, and on CPython for the local edge. What a
package is charged with is what it does itself: what it imports is charged to what is imported.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from typing import Any


def traced(module: str, kind: str) -> str:
    """Import a module; JSON of what each package took, in ms (`kind` is `time`) or MiB (`memory`)."""
    if kind == "memory":
        tracemalloc.start()
    meter: Callable[[], float] = _memory if kind == "memory" else lambda: time.perf_counter() * 1000
    taken: defaultdict[str, float] = defaultdict(float)
    inside: list[float] = []
    original = builtins.__import__

    def measured(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        package = str((globals or {}).get("__package__") or name) if level else name
        inside.append(0.0)
        before = meter()
        try:
            return original(name, globals, locals, fromlist, level)
        finally:
            whole = meter() - before
            taken[_package(package)] += whole - inside.pop()
            if inside:
                inside[-1] += whole

    known = set(sys.modules)
    builtins.__import__ = measured
    try:
        builtins.__import__(module)
    finally:
        builtins.__import__ = original
    new = sorted({_package(name) for name in set(sys.modules) - known})
    packages = {name: taken[name] for name in new if name in taken}
    # What was compiled and parsed on the way is garbage now, most of it; ask once more what stays.
    gc.collect()
    return json.dumps({"packages": packages, "whole": sum(taken.values())})


def _package(name: str) -> str:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("pyodide", "_pyodide", "js", "_pyodide_core"):
        return "the standard library"
    if top.startswith("_") and top.strip("_") and f"{top.strip('_')}" in sys.modules:
        return top.strip("_")
    return top


def _memory() -> float:
    return tracemalloc.get_traced_memory()[0] / 2**20


def main() -> None:
    """Print what the local edge's import took on CPython, as JSON; nothing of it was imported before."""
    print(traced(sys.argv[1], sys.argv[2]))


if __name__ == "__main__":
    importlib.invalidate_caches()
    main()
