"""The numbers that the targets are about and that other texts quote, from all that was measured."""

from __future__ import annotations

import statistics
from typing import Any

Found = dict[str, Any]
Target = tuple[str, str, str, bool]
"""What, what is wanted, what was seen, and whether the one is within the other."""

_PEERS = ("flagd", "LaunchDarkly", "Unleash", "GrowthBook")


def figures(found: Found) -> dict[str, float]:
    """Every figure by its name."""
    return {**_of_decisions(found), **_of_cost(found), **_of_growth(found)}


def _of_decisions(found: Found) -> dict[str, float]:
    short = found["decision"]["keys"]["user-42"]
    uuid = found["decision"]["keys"]["a UUID"]
    expressions = found["expressions"].values()
    inside = found["inside"]
    return {
        "decision_us": short["times"]["ours"][0],
        "decision_to_floor": short["to_floor"]["ours"][0],
        "decision_to_floor_uuid": uuid["to_floor"]["ours"][0],
        **{f"decision_{peer.lower()}_to_ours": short["to_ours"][peer][0] for peer in _PEERS},
        "decision_fastest_peer_to_ours": short["to_ours"][short["fastest"]][0],
        "decision_fastest_peer_to_ours_uuid": uuid["to_ours"][uuid["fastest"]][0],
        "resolve_cpython_us": found["resolve"]["ten agents, answer encoded"][0],
        "resolve_workerd_us": inside["resolve"]["ten agents, answer encoded"][0],
        "expression_slowest_us": max(case["times"]["ours"][0] for case in expressions),
        "expression_slowest_workerd_us": max(times[0] for times in inside["expression"].values()),
        "expression_median_us": statistics.median(case["times"]["ours"][0] for case in expressions),
        "expression_closest_library_to_ours": min(
            ratio[0] for case in expressions for ratio in case["to_ours"].values()
        ),
    }


def _of_cost(found: Found) -> dict[str, float]:
    http, rpc = found["cost"]["http"], found["cost"]["rpc"]
    to_constant = {name: next(iter(cost["cpu_to"].values()))[0] for name, cost in {**http, **rpc}.items()}
    to_reading = http["one reference"]["cpu_to"]["constant that reads the body"][0]
    to_documented = {name: cost["cpu_to"]["constant, as documented"][0] for name, cost in http.items()}
    snapshot, without = found["starts"]["with the snapshot"], found["starts"]["without"]
    tails = {state: tail["late"]["p99.9"] for state, tail in found["tails"].items() if "reads" in tail}
    return {
        "constant_us": http["constant"]["cpu"][0],
        "http_us": http["one reference"]["cpu"][0],
        "http_to_constant": to_constant["one reference"],
        "http_to_reading": to_reading,
        "http_to_documented": to_documented["one reference"],
        "http_ten_to_constant": to_constant["ten agents"],
        "http_ten_to_documented": to_documented["ten agents"],
        "javascript_to_constant": to_constant["in JavaScript"],
        "rpc_us": rpc["one reference, JSON text"]["cpu"][0],
        "rpc_to_constant": to_constant["one reference, JSON text"],
        "rpc_object_to_constant": to_constant["one reference, an object"],
        "rpc_ten_to_constant": to_constant["ten agents, JSON text"],
        "tail_p999_ms": max(tails.values()),
        "tail_warm_p999_ms": max(late for state, late in tails.items() if state.startswith("warm")),
        "start_ms": snapshot["ours"]["ms"][0],
        "start_constant_ms": snapshot["a constant"]["ms"][0],
        "import_ms": without["more"]["ms"][0],
    }


def _of_growth(found: Found) -> dict[str, float]:
    sizes = {row["components"]: row for row in found["growth"]["components"]}
    smallest, largest = sizes[min(sizes)], sizes[max(sizes)]
    return {
        "growth_components": max(sizes),
        "growth_memory_mib": largest["memory_mib"],
        "growth_block_ms": largest["block_ms"],
        "growth_request_to_smallest": largest["request_us"] / smallest["request_us"],
    }


def targets(f: dict[str, float]) -> list[Target]:
    """Everything that was wanted."""
    return [
        _most("one decision, times the floor", f["decision_to_floor"], 2.5),
        _least("the fastest other SDK, times ours, for a key of seven letters", f["decision_fastest_peer_to_ours"], 8),
        _least("the fastest other SDK, times ours, for a UUID", f["decision_fastest_peer_to_ours_uuid"], 8),
        _most("ten agents, CPython", f["resolve_cpython_us"], 100, "µs"),
        _most("ten agents, workerd", f["resolve_workerd_us"], 250, "µs"),
        _most("the slowest expression", f["expression_slowest_us"], 2, "µs"),
        _least("the closest other library, times ours", f["expression_closest_library_to_ours"], 1),
        _most("POST /resolve, times a constant as documented", f["http_to_documented"], 1.2),
        _most("POST /resolve, times a constant that reads the body", f["http_to_reading"], 1.2),
        _most("POST /resolve, times the least constant", f["http_to_constant"], 1.2),
        _most("resolve over the binding, JSON text, times a constant", f["rpc_to_constant"], 1.1),
        _most("resolve over the binding, an object, times a constant", f["rpc_object_to_constant"], 1.1),
        _most("the worst p99.9, warm, refreshing or cold, KV at 0, 10 or 30 ms", f["tail_p999_ms"], 50, "ms"),
        _most("a start without the snapshot, over a constant's", f["import_ms"], 600, "ms"),
        _most("WebAssembly memory for 100,000 components, over an empty map", f["growth_memory_mib"], 64, "MiB"),
        _most("a request at 100,000 components, times one at the fewest", f["growth_request_to_smallest"], 1.2),
    ]


def _most(what: str, seen: float, wanted: float, unit: str = "") -> Target:
    return what, f"≤ {wanted:g} {unit}".strip(), _shown(seen, unit), seen <= wanted


def _least(what: str, seen: float, wanted: float) -> Target:
    return what, f"≥ {wanted:g}", _shown(seen, ""), seen >= wanted


def _shown(seen: float, unit: str) -> str:
    return f"{seen:,.{2 if seen < 10 else 1 if seen < 100 else 0}f} {unit}".strip()
