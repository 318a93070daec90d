"""What an isolate takes of memory in workerd: nothing is left behind by a refresh, and the largest map has room.

The WebAssembly memory never shrinks: its size is what was wanted at the peak.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from resolver.documents import LARGEST_MAP
from tests.edge.hosts import Isolate, eventually, isolate, lever
from tests.edge.probe import probe, probed, set_constants

pytestmark = pytest.mark.xdist_group("memory")

#: A cache of its own over the real KV binding, whose clock is set by hand, and how it is refreshed.
CACHE = """
import time
from worker.clock import Clock
from worker.snapshots import SnapshotCache

class Refreshing:
    def __init__(self, edge):
        self.now = 1000.0
        self.cache = SnapshotCache(edge.settings, Clock(lambda: self.now, time.time, edge.clock.pause))

    async def refreshed(self, lent, times):
        "Each time the snapshot is too old, and the read is work behind a response."
        work = []
        for _ in range(times):
            self.now += 10
            await self.cache.view(lent.store, work.append)
            while work:
                await work.pop()
            await self.idle()

    async def refreshed_behind(self, lent, times):
        "The same, handed to the platform as such work is."
        import asyncio
        for _ in range(times):
            self.now += 10
            ended = asyncio.Event()
            async def told(read):
                await read
                ended.set()
            known = self.cache._held is not None
            await self.cache.view(lent.store, lambda read: lent.behind(told(read)))
            if known:
                await ended.wait()
            await self.idle()

    async def idle(self):
        "KV is in this process and answers at once: no timer has its turn until there is nothing else to do."
        import asyncio
        if self.cache.refreshes % 100 == 0:
            await asyncio.sleep(0.005)

entry.refreshing = Refreshing(entry._isolate(entrypoint.env))
True
"""
#: In the end it waits until the timers of all reads are over. Those of a request that has ended never fire, and what
#: they hold then stays until JavaScript's collector comes.
REFRESHED = """
import asyncio
edge = entry._isolate(entrypoint.env)
lent = entry._platform(entrypoint, edge)
await entry.refreshing.refreshed(lent, {times})
await entry.refreshing.refreshed_behind(lent, {behind})
await asyncio.sleep(1.2 * edge.settings.kv_timeout)
[entry.refreshing.cache.refreshes, entry.refreshing.cache.failures]
"""
#: From here on nothing that is left behind is taken away.
NO_COLLECTOR = """
import gc
gc.collect()
gc.freeze()
gc.disable()
True
"""
OBJECTS = """
import gc
len(gc.get_objects())
"""
#: Megabytes of WebAssembly memory that leave half of a Worker's 128 free. JavaScript has 9 on its heap besides, without
#: garbage, and 10 to 13 in buffers: the standard library, what is compiled in packages.
HALF = 45.0


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolate]:
    """The Worker with a probe."""
    variables = {"FRESH_FOR": "0.2", "STALE_FOR": "600", "KV_TIMEOUT": "1"}
    with isolate(variables, bundle=probed(tmp_path_factory.mktemp("memory"))) as client:
        client.front.timeout = 120
        set_constants(client, LEASE_FOR=600)
        yield client


@pytest.fixture
def quick(edge: Isolate) -> Iterator[None]:
    """A KV that answers at once what it has answered before."""
    lever(edge, mode="again")
    yield
    lever(edge, mode="ok")


@pytest.mark.usefixtures("quick")
def test_ten_thousand_refreshes_leave_no_object_behind(edge: Isolate) -> None:
    assert probe(edge, CACHE)
    probe(edge, REFRESHED.format(times=200, behind=100))
    assert probe(edge, NO_COLLECTOR)
    before = probe(edge, OBJECTS)
    for _ in range(5):
        refreshes, failures = probe(edge, REFRESHED.format(times=1900, behind=100))
    assert (refreshes, failures) == (10_300, 0)
    # One object of each refresh would be ten thousand.
    assert probe(edge, OBJECTS) - before < 200
    probe(edge, "import gc\ngc.enable()")


WORDS = "billing catalog checkout fraud search support translate agent config examples header result retrieval prompt"


def large_map(size: int, seed: int) -> str:
    """A map of about so many bytes, as it is published: names of words, and versions that are mostly unlike each other.

    The names are the same for each seed, the versions are not.
    """
    words, names, versions = WORDS.split(), random.Random(1), random.Random(seed)
    pointers: dict[str, dict[str, str]] = {}
    left = size
    while left > 0:
        name = f"{names.choice(words)}/{names.choice(words)}-{names.choice(words)}-{len(pointers)}"
        environments = ["latest", "prod", "stable", *(["prod-canary"] if len(pointers) % 3 == 0 else [])]
        pointers[name] = {
            environment: f"v{versions.randrange(9)}.{versions.randrange(30)}.{versions.randrange(20)}"
            for environment in sorted(environments)
        }
        left -= len(json.dumps({name: pointers[name]}, separators=(",", ":"))) - 1
    return json.dumps(dict(sorted(pointers.items())), separators=(",", ":"))


def webassembly(edge: Isolate) -> float:
    """The size of the WebAssembly memory, in MiB."""
    size: float = probe(edge, "import pyodide_js\npyodide_js._module.HEAP8.length / 2**20")
    return size


def moved_to(edge: Isolate, text: str, generation: int) -> None:
    """Have the isolate take this map."""
    lever(edge, put={"component-versions": [text, {"generation": generation, "revision": f"r{generation}"}]})

    def answered() -> int:
        edge.post("/resolve", json={"references": ["my-prompt"]})
        found: int = edge.get("/health").json()["snapshot"]["generation"]
        return found

    eventually(answered, generation, seconds=60)


def test_the_largest_map_leaves_half_of_the_memory_free(edge: Isolate) -> None:
    texts = [large_map(LARGEST_MAP, seed) for seed in (1, 2)]
    assert {abs(len(text) - LARGEST_MAP) < LARGEST_MAP / 100 for text in texts} == {True}
    # Each time every component moves, and the map before is still there to answer from.
    for generation, text in enumerate([*texts, *texts], start=100):
        moved_to(edge, text, generation)
    assert webassembly(edge) < HALF


def test_the_largest_value_that_kv_takes_is_no_end_of_the_isolate(edge: Isolate) -> None:
    moved_to(edge, large_map(25_000_000, 3), 200)
    assert webassembly(edge) < 64
    moved_to(edge, large_map(1000, 4), 201)
    assert edge.get("/health").json()["status"] == "ok"
