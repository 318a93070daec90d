"""The announced generation in the real host: what is asked and how, what an answer is from, and what a failure changes.

Each isolate's snapshot stays fresh for a minute, so that what changes before that was announced. The host has no cache
of any kind: how fast a purge and KV are is not to be seen here.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.edge.hosts import Isolate, isolate, lever, rpc, settled
from tests.edge.probe import probed, set_constants
from worker.local.seed import seed

URL = "https://edge.example.com/generation"
VARIABLES = {
    "GENERATION_URL": URL,
    "FRESH_FOR": "60",
    "STALE_FOR": "60",
    "KV_TIMEOUT": "0.4",
}
QUICK = {"HEARD_FRESH_FOR": 0.1, "HEARD_STALE_FOR": 0.3, "RETRY_FOR": 0.2}
ASKED = {"references": ["my-prompt@prod"], "key": "user-42"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return probed(tmp_path_factory.mktemp("generation"))


def announced(edge: Isolate, **given: Any) -> list[Any]:
    """Set what the URL answers; what it was asked since this was called last."""
    asked: list[Any] = edge.ask("/generation", given)["asked"]
    return asked


def published(generation: int, version: str) -> dict[str, object]:
    """The map of a generation, under its own key alone: KV's caches still have the one before."""
    pointers = json.loads(seed()["component-versions"][0])
    pointers["my-prompt"]["prod"] = version
    metadata = {"generation": generation, "revision": f"r{generation}"}
    return {f"component-versions/{generation}": [json.dumps(pointers), metadata]}


def live(edge: Isolate, after: float = 0) -> tuple[int, str]:
    """The generation and the version that a request is answered with."""
    time.sleep(after)
    response = edge.post("/resolve", json=ASKED).raise_for_status()
    assert "x-resolver-stale" not in response.headers
    answer = response.json()
    return answer["snapshot"]["generation"], answer["references"][0]["version"]


def heard(edge: Isolate) -> Any:
    return edge.get("/health").json()["generation_url"]


def test_a_move_is_seen_by_its_number_while_kv_still_gives_the_map_before(bundle: Path) -> None:
    with isolate(VARIABLES, bundle=bundle) as edge:
        set_constants(edge, HEARD_FRESH_FOR=3, HEARD_STALE_FOR=600, RETRY_FOR=0.2)
        announced(edge, number=20)
        assert live(edge) == (20, "v1.0.0")
        # `cacheControl` is what the platform makes of it.
        asked = {"cacheEverything": True, "cacheTtl": 30, "cacheControl": "max-age=30"}
        assert announced(edge) == [[URL, asked]]
        # While it is fresh it is not asked again, and KV not at all.
        before = lever(edge, put=published(21, "v1.1.0"))
        assert (live(edge), live(edge), announced(edge, number=21)) == ((20, "v1.0.0"), (20, "v1.0.0"), [])
        # Heard behind the response, so the next but one request sees it.
        assert live(edge, 3.1) == (20, "v1.0.0")
        settled(edge)
        assert live(edge) == (21, "v1.1.0")
        assert lever(edge) == before + 2, "one read: the map, and all the rest together"
        assert len(announced(edge)) == 1
        assert rpc(edge, "resolve", ASKED)["snapshot"]["generation"] == 21
        assert edge.get("/health").json()["status"] == "ok"
        found = heard(edge)
        assert (found["announced"], found["error"]) == (21, None)
        assert 0 <= found["heard_age_ms"] < 10_000


def test_after_a_pause_the_number_is_heard_before_the_answer(bundle: Path) -> None:
    with isolate({**VARIABLES, "READ_BUDGET": "0.3"}, bundle=bundle) as edge:
        set_constants(edge, **QUICK)
        announced(edge, number=20)
        assert live(edge) == (20, "v1.0.0")
        lever(edge, put=published(21, "v1.1.0"))
        announced(edge, number=21)
        assert live(edge, 0.4) == (21, "v1.1.0")


@pytest.mark.parametrize("mode", ["fail", "refuse", "stall", "nonsense", "large"])
def test_a_url_that_does_not_answer_changes_no_answer(bundle: Path, mode: str) -> None:
    with isolate(VARIABLES, bundle=bundle) as edge:
        set_constants(edge, **QUICK)
        announced(edge, number=20)
        assert live(edge) == (20, "v1.0.0")
        lever(edge, put=published(999, "v9.9.9"))
        announced(edge, mode=mode)
        assert {live(edge, 0.11) for _ in range(10)} == {(20, "v1.0.0")}
        settled(edge)
        # Once, and then again after RETRY_FOR each time: not at each request.
        asked = len(announced(edge))
        assert 1 <= asked <= 6
        health = edge.get("/health").json()
        assert (health["status"], health["stale"], health["last_error"]) == ("degraded", None, None)
        assert health["generation_url"]["error"]
        # It comes back, and is heard.
        lever(edge, put=published(21, "v1.1.0"))
        announced(edge, mode="ok", number=21)
        for _ in range(50):
            if live(edge, 0.1) == (21, "v1.1.0"):
                break
        assert (live(edge)[0], heard(edge)["error"]) == (21, None)


def test_a_slow_url_holds_a_request_for_its_budget_and_is_heard_behind_it(bundle: Path) -> None:
    with isolate(VARIABLES, bundle=bundle) as edge:
        set_constants(edge, **QUICK)
        announced(edge, number=20)
        assert live(edge) == (20, "v1.0.0")
        lever(edge, put=published(21, "v1.1.0"))
        announced(edge, number=21, mode="slow", delay_ms=200)
        assert live(edge, 0.35) == (20, "v1.0.0")
        settled(edge)
        assert live(edge) == (21, "v1.1.0")


def test_a_number_without_its_map_changes_nothing_and_is_told(bundle: Path) -> None:
    with isolate(VARIABLES, bundle=bundle) as edge:
        set_constants(edge, **QUICK)
        announced(edge, number=22)
        assert {live(edge, 0.1) for _ in range(5)} == {(20, "v1.0.0")}
        assert "component-versions/22: it is announced, and the key is not in KV" in heard(edge)["error"]
        # Written late, it is taken late.
        lever(edge, put=published(22, "v1.1.0"))
        for _ in range(50):
            if live(edge, 0.1) == (22, "v1.1.0"):
                break
        assert live(edge) == (22, "v1.1.0")


def test_a_large_map_under_its_own_key(bundle: Path) -> None:
    with isolate({**VARIABLES, "READ_BUDGET": "3", "KV_TIMEOUT": "3"}, bundle=bundle) as edge:
        set_constants(edge, **QUICK)
        announced(edge, number=20)
        assert live(edge)[0] == 20
        many = {f"component-{number:05}": {"prod": "v1.0.0"} for number in range(10_000)}
        for generation in (21, 22):
            pointers = many | {"my-prompt": {"prod": f"v{generation}.0.0"}}
            lever(edge, put={f"component-versions/{generation}": [json.dumps(pointers), {"generation": generation}]})
            announced(edge, number=generation)
            assert live(edge, 0.4) == (generation, f"v{generation}.0.0")


def test_without_the_setting_nothing_is_asked() -> None:
    with isolate({"FRESH_FOR": "0.1"}) as edge:
        announced(edge, number=21)
        lever(edge, put=published(21, "v1.1.0"))
        assert {live(edge, 0.11) for _ in range(3)} == {(20, "v1.0.0")}
        assert announced(edge) == []
        assert "generation_url" not in edge.get("/health").json()
