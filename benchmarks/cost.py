"""A request in workerd: what it costs over a Worker that answers a constant, by HTTP and over a service binding.

All Workers stand in one workerd, which has one thread for them all, and are asked in turns, in a new order each round.
A ratio is that of the same round. What counts is the CPU time of workerd's threads: what a request costs, whoever else
is busy on the machine. The time on the wall is of four callers who always wait for an answer: with one thread it is
the same, and its inverse is what the thread can answer in a second.

There are four to compare with. `constant` is the least that a Python Worker can do: it reads nothing of the request,
and its answer, the very bytes of ours, is JavaScript's own `Response`. `constant that reads the body` awaits the body
besides, as whoever answers a POST must. `constant, as documented` reads nothing, and has the SDK's `Response`.
`in JavaScript` does for these requests what ours does, without Python, without checks (`in_javascript.js`).

Over the binding a Worker in JavaScript makes the calls (`caller.js`), fifty for each request to it. The constant method
gives the same object, made from the same text; its argument is that of ours, since the platform converts it in any
case. An argument is an object, or its JSON text.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.client import Ask, Run, once, percentiles, run
from benchmarks.rounds import Summary, summary
from benchmarks.workers import ANSWER, CONSTANT, DOCUMENTED, FRESH, READING, alone, javascript, ours, serving, worked
from tests.edge.workerd.config import Edge
from tests.edge.workerd.process import Workerd

ONE: dict[str, object] = {"references": ["my-prompt@prod"], "key": "user-42"}
TEN: dict[str, object] = {"input": {"user_id": 4, "deep": True, "items": [1, 2, 3, 4], "channel": "mail"}}
RESOLVE, TEN_AGENTS = Ask("/resolve", ONE), Ask("/ensembles/ten-agents/resolve", TEN)
DOCUMENTED_NAME = "constant, as documented"
READING_NAME = "constant that reads the body"
#: What is asked over HTTP: the Worker's socket, and the request.
HTTP: dict[str, tuple[str, Ask]] = {
    "constant": ("constant", RESOLVE),
    READING_NAME: ("reading", RESOLVE),
    DOCUMENTED_NAME: ("documented", RESOLVE),
    "in JavaScript": ("in-javascript", RESOLVE),
    "one reference": ("edge", RESOLVE),
    "ten agents": ("edge", TEN_AGENTS),
}
#: What is called over the binding: the Worker, the method, and its arguments.
RPC: dict[str, tuple[str, str, list[object]]] = {
    "constant, an object": ("CONSTANT", "resolve", [ONE]),
    "constant, JSON text": ("CONSTANT", "resolve", [json.dumps(ONE)]),
    "one reference, an object": ("RESOLVER", "resolve", [ONE]),
    "one reference, JSON text": ("RESOLVER", "resolve", [json.dumps(ONE)]),
    "ten agents, an object": ("RESOLVER", "resolveEnsemble", ["ten-agents", TEN]),
    "ten agents, JSON text": ("RESOLVER", "resolveEnsemble", ["ten-agents", json.dumps(TEN)]),
}
#: With which constants each is compared.
_BASES = {name: (f"constant, {name.rpartition(', ')[2]}",) for name in RPC}
CALLERS, CALLS = 4, 50


def measure(rounds: int = 18, requests: int = 100) -> dict[str, Any]:
    """The cost of each kind of request, by HTTP and over the binding."""
    edges = [
        ours(),
        Edge("constant", alone("constant", CONSTANT), FRESH),
        Edge("reading", alone("reading", READING), FRESH),
        Edge("documented", alone("documented", DOCUMENTED), FRESH),
    ]
    callers = [{"name": "RESOLVER", "service": "edge"}, {"name": "CONSTANT", "service": "constant"}]
    services = [
        javascript("in-javascript", "in_javascript.js", [{"name": "KV", "kvNamespace": "gate"}]),
        javascript("caller", "caller.js", callers),
    ]
    with serving(edges, services, snapshot=False) as process:
        urls = process.urls
        _alike(urls)
        http = {name: partial(run, urls[socket], ask, requests, CALLERS) for name, (socket, ask) in HTTP.items()}
        rpc = {name: partial(_call, urls["caller"], *call, requests) for name, call in RPC.items()}
        return {
            "http": _compared(
                process, http, dict.fromkeys(http, ("constant", READING_NAME, DOCUMENTED_NAME)), rounds, requests
            ),
            "rpc": _compared(process, rpc, _BASES, rounds, requests),
        }


def _call(caller: str, worker: str, method: str, given: list[object], requests: int) -> Run:
    return run(caller, Ask(f"/{worker}/{method}/{CALLS}", given), requests // CALLS, 1)


def _alike(urls: Mapping[str, str]) -> None:
    """The one in JavaScript answers what ours answers, and so does the constant."""
    for number in range(100):
        ask = Ask("/resolve", {"references": ["my-prompt@prod", "extraction-prompt@prod"], "key": f"user-{number}"})
        answers = [json.loads(once(urls[socket], ask)[1]) for socket in ("edge", "in-javascript")]
        for answer in answers:
            del answer["snapshot"]["age_ms"]
        assert answers[0] == answers[1], answers
    asked = json.loads(once(urls["edge"], RESOLVE)[1])
    assert {**asked, "snapshot": {**asked["snapshot"], "age_ms": 0}} == json.loads(ANSWER), asked


def _compared(
    process: Workerd,
    turns: Mapping[str, Callable[[], Run]],
    bases: Mapping[str, tuple[str, ...]],
    rounds: int,
    requests: int,
) -> dict[str, Any]:
    """Everyone's cost, with the ratios to its bases in the same round."""
    wall: dict[str, list[float]] = {name: [] for name in turns}
    cpu: dict[str, list[float]] = {name: [] for name in turns}
    late: dict[str, list[float]] = {name: [] for name in turns}
    order = random.Random(42)
    names = list(turns)
    for number in range(-4, rounds):
        order.shuffle(names)
        for name in names:
            before = worked(process)
            whole, taken = turns[name]()
            if number >= 0:
                cpu[name].append((worked(process) - before) / requests)
                wall[name].append(whole / requests * 1e6)
                late[name] += taken
    return {
        name: {
            "per_second": 1e6 / statistics.median(wall[name]),
            "cpu": summary(cpu[name]),
            "wall": summary(wall[name]),
            "cpu_to": {base: _ratio(cpu[name], cpu[base]) for base in bases[name]},
            "wall_to": {base: _ratio(wall[name], wall[base]) for base in bases[name]},
            "late": percentiles(late[name]),
        }
        for name in turns
    }


def _ratio(over: Sequence[float], under: Sequence[float]) -> Summary:
    return summary([a / b for a, b in zip(over, under, strict=True)])


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
