"""Whose turn it is in workerd: work of one request lets others in, and what one request took serves all.

tests/worker/test_turns.py holds on CPython that nothing else waits, and how long.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edge.hosts import Isolate, eventually, isolate, lever
from tests.edge.probe import probe, probed, set_constants
from worker.clock import SHORTEST_WAIT
from worker.local.seed import seed

pytestmark = pytest.mark.xdist_group("turns")

#: Work in steps that goes on until another request has come, or for so many steps; how many, and whether one came.
UNTIL_SOMEBODY_COMES = """
import asyncio
entry.somebody = False
def steps():
    for step in range({most}):
        if entry.somebody:
            return [step, True]
        yield
    return [{most}, False]
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolate]:
    """The Worker with a probe; a refresh is due every few milliseconds."""
    variables = {"FRESH_FOR": "0.005", "KV_TIMEOUT": "0.5"}
    with isolate(variables, bundle=probed(tmp_path_factory.mktemp("turns"))) as client:
        set_constants(client, RETRY_FOR=0.2, LEASE_FOR=1)
        yield client


def somebody_came(edge: Isolate, work: str, most: int) -> bool:
    """Whether another request has its turn while one does this work, which knows `steps`."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(probe, edge, UNTIL_SOMEBODY_COMES.format(most=most) + work)
        while not working.done():
            probe(edge, "entry.somebody = True\nTrue")
        taken, came = working.result()
    assert came == (taken < most)
    return bool(came)


def test_work_in_steps_lets_other_requests_in(edge: Isolate) -> None:
    cache = "entry._isolate(entrypoint.env).snapshots"
    assert somebody_came(edge, f"await {cache}._reader._between_requests(steps())", 50_000)


#: Steps with a wait of asyncio's between them.
WITH_A_WAIT = """
work = steps()
found = None
while found is None:
    try:
        next(work)
    except StopIteration as end:
        found = end.value
    await asyncio.sleep({seconds})
found
"""


@pytest.mark.parametrize("seconds", [0, 0.001, 0.002])
def test_a_short_wait_lets_nobody_in(edge: Isolate, seconds: float) -> None:
    # Should this fail, the platform has changed, and `Clock.pause` can be asyncio's.
    assert not somebody_came(edge, WITH_A_WAIT.format(seconds=seconds), 3_000)


def test_the_shortest_wait_that_there_is_lets_others_in(edge: Isolate) -> None:
    assert somebody_came(edge, WITH_A_WAIT.format(seconds=SHORTEST_WAIT), 3_000)


def test_the_binding_that_one_request_took_serves_all_others(edge: Isolate) -> None:
    """Hundreds of requests that read contents, with refreshes behind them: `isolate` holds that nothing was said."""
    texts = {f"components/one/v1.0.{number}": [f"text {number}", {"type": "prompt"}] for number in range(120)}
    lever(edge, put=texts)

    def ask(number: int) -> bool:
        return edge.get(f"/components/one@v1.0.{number}").text == f"text {number}"

    before = lever(edge)
    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(120)))
    assert lever(edge) > before + 120, "each content, and refreshes besides"
    assert edge.get("/health").json()["status"] == "ok"
    lever(edge, delete=list(texts))


def test_a_map_that_stops_half_way_is_given_up_and_read_again(edge: Isolate) -> None:
    def generation() -> int:
        found: int = edge.post("/resolve", json={"references": ["my-prompt@prod"]}).json()["snapshot"]["generation"]
        return found

    pointers = json.loads(seed()["component-versions"][0]) | {f"z-{n}": {"prod": "v1.0.0"} for n in range(20_000)}
    metadata = {"generation": 40, "revision": "large"}
    before = generation()
    lever(edge, put={"component-versions": [json.dumps(dict(sorted(pointers.items()))), metadata]}, mode="half")
    eventually(lambda: "go on with `component-versions`" in str(edge.get("/health").json()["last_error"]))
    assert generation() == before
    lever(edge, mode="ok")
    time.sleep(0.2)
    eventually(generation, 40)
