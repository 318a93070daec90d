"""Python inside workerd: the loops of `resolve.py` and `expressions.py`, and the steps of a request one by one.

A Worker that carries ours and these loops runs one of them so many times for a request; how long that took is asked
from outside, since the clock inside stands still: it is the CPU time of workerd's threads. The loops take turns, in
rounds. Each step runs again and again here, with the processor's caches full of it; within a request, after all that
the runtime itself does, the first run of a step costs two to three times as much.
"""

from __future__ import annotations

import json
from statistics import median
from urllib.parse import quote

from benchmarks.client import Ask, once
from benchmarks.cost import ONE, TEN
from benchmarks.expressions import CASES
from benchmarks.rounds import Summary, summary
from benchmarks.workers import ANSWER, FRESH, ours, serving, with_ours, worked
from tests.edge.workerd.process import Workerd
from worker.local.seed import seed

#: The Worker's main file. A step is a function of the request; what it gives is awaited where it can be.
MAIN = f"""
import asyncio, inspect, json
import js
from js import JSON
from pyodide.code import relaxed_call
from urllib.parse import unquote
from workers import Request, Response, WorkerEntrypoint, python_from_rpc, python_to_rpc
from benchmarks import expressions, resolve
from worker import entry, http

SEED = json.loads({json.dumps(json.dumps(seed()))})
ANSWER, ONE, TEN = {ANSWER!r}, {ONE!r}, {TEN!r}
HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"), ("server-timing", "total;dur=0.000"))
PLAIN = [http.Request("POST", path, body=json.dumps(body).encode())
         for path, body in (("/resolve", ONE), ("/ensembles/ten-agents/resolve", TEN))]
ANSWERED = http.Response(200, HEADERS, ANSWER.encode())

class Bound:
    def fetch(self, request):
        return None

def steps(worker, request):
    asked = request.js_object
    lent = entry._platform(worker, entry._isolate(worker.env))
    edge = entry._isolate(worker.env)
    call, answer, text = JSON.parse(json.dumps(ONE)), JSON.parse(ANSWER), json.dumps(ONE)
    made = lambda: js.Request.new("http://edge/", method="POST", body=text)
    return {{
        "the edge, one reference": lambda: http.handle(edge, PLAIN[0], lent),
        "the edge, ten agents": lambda: http.handle(edge, PLAIN[1], lent),
        "method, URL, and one header": lambda: (asked.method, asked.url, asked.headers.get("content-length")),
        "a request with a body, made": made,
        "the same, and its body read": lambda: entry._body(made(), {{}}),
        "a response": lambda: entry._response(ANSWERED),
        "a response, the SDK's": lambda: Response(ANSWER, headers=dict(HEADERS)),
        "a turn of the event loop": lambda: asyncio.sleep(0),
        "a promise awaited": lambda: js.Promise.resolve(1),
        "the platform: a request made Python's": lambda: python_from_rpc(asked),
        "the platform: the signature of `fetch` read": lambda: relaxed_call(Bound().fetch, asked),
        "RPC: an argument that is an object": lambda: python_from_rpc(call),
        "RPC: an argument that is a text": lambda: python_from_rpc(text),
        "RPC: an answer parsed": lambda: JSON.parse(ANSWER),
        "RPC: an answer handed over": lambda: python_to_rpc(answer),
        "RPC: the same as a text": lambda: python_to_rpc(ANSWER),
        "RPC: the same as a dict": lambda: python_to_rpc({json.loads(ANSWER)!r}),
    }}

LOOPS = {{
    **{{f"resolve: {{name}}": (subject, resolve.INPUTS) for name, subject in resolve.subjects(SEED).items()}},
    **{{f"expression: {{case.name}}": (expressions.ours(case), [None]) for case in expressions.CASES}},
}}

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        kind, name, times = request.url.split("/")[-3:]
        name, times = unquote(name), int(times)
        if kind == "names":
            return Response.from_json([*steps(self, request), *LOOPS])
        if name in LOOPS:
            subject, arguments = LOOPS[name]
            for number in range(times):
                subject(arguments[number % len(arguments)])
            return Response("done")
        step = steps(self, request)[name]
        for _ in range(times):
            found = step()
            if inspect.isawaitable(found):
                await found
        return Response("done")

__all__ = ["Default"]
"""
#: What a loop takes of each round, in microseconds. The request itself, some 1,000 of them, is taken off.
SLICE = 20_000


def measure(rounds: int = 8) -> dict[str, dict[str, Summary]]:
    """Microseconds of CPU: the steps by name, the subjects of resolve.py, and the expressions by case."""
    folder = with_ours("inside", MAIN, ["rounds", "resolve", "expressions"])
    with serving([ours(FRESH, folder)], snapshot=False) as process:
        names: list[str] = json.loads(once(process.urls["edge"], Ask("/names/-/0", None, "GET"))[1])
        assert f"expression: {CASES[0].name}" in names
        times = dict.fromkeys(names, 1)
        for name in names:
            # What is made once, and what is compiled when it turns out to be wanted often, is not in the times.
            _taken(process, name, 50)
            while (taken := _taken(process, name, times[name])) < SLICE:
                times[name] = int(times[name] * min(10, 1.2 * SLICE / taken)) + 1
        empty = [_taken(process, names[0], 0) for _ in range(40)]
        rounds_of: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                rounds_of[name].append((_taken(process, name, times[name]) - median(empty)) / times[name])
    found: dict[str, dict[str, Summary]] = {"steps": {}, "resolve": {}, "expression": {}}
    for name, each in rounds_of.items():
        kind, _, rest = name.partition(": ")
        part, shown = (kind, rest) if kind in ("resolve", "expression") else ("steps", name)
        found[part][shown] = summary(each)
    return found


def _taken(process: Workerd, name: str, times: int) -> float:
    """What workerd works for a request that runs a loop so many times, in microseconds."""
    before = worked(process)
    assert once(process.urls["edge"], Ask(f"/run/{quote(name, safe='')}/{times}", None, "GET"))[1] == b"done"
    # What a thread that has ended meanwhile had worked is no longer told.
    return max(worked(process) - before, 1.0)


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
