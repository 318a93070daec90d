"""Isolates that start badly: while KV is down, without a binding, with a wrong setting; and many requests at once.

Each test has an isolate of its own, whose Worker is staged for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.edge.hosts import Isolate, eventually, isolate, lever, rpc
from tests.edge.probe import probed, set_constants
from tests.edge.workerd.config import ROOT
from worker.lease import RETRY_FOR
from worker.local.seed import seed

QUICK = {"FRESH_FOR": "0.2", "KV_TIMEOUT": "0.3"}
KNOWN = {"references": ["my-prompt@prod"], "key": "user-42"}
ASKED = {"references": ["my-prompt@prod", "rules@staging"], "key": "user-42"}
POINTERS = {"my-prompt": {"prod": "v0.9.0", "prod-canary": "v0.9.1"}, "rules": {"staging": "v2.0.0"}}
BUILT = {"component-versions": POINTERS, "rollout-percentage": 0, "generation": 3, "revision": "built"}


def staged(folder: Path, snapshot: object = None) -> Path:
    """The folder of a Worker that is staged with a snapshot, or without one."""
    given = ["--no-snapshot"]
    if snapshot is not None:
        (folder / "given.json").write_text(json.dumps(snapshot), "utf-8")
        given = ["--snapshot", str(folder / "given.json")]
    command = [sys.executable, "deploy/stage.py", *given, "--into", str(folder / "staged")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "staged"


def versions(answer: dict[str, Any]) -> list[str]:
    return [reference["version"] for reference in answer["references"]]


def from_kv(edge: Isolate) -> httpx.Response:
    """An answer once KV has been read; a refresh may have to wait for its turn first."""
    for _ in range(100):
        response = edge.post("/resolve", json=KNOWN)
        if response.is_success and response.json()["snapshot"]["source"] == "kv":
            return response
        time.sleep(0.1)
    raise AssertionError(response.text)


def test_an_isolate_that_starts_while_kv_is_down_answers_from_its_build(tmp_path: Path) -> None:
    with isolate(QUICK, bundle=staged(tmp_path, BUILT)) as edge:
        lever(edge, mode="fail")
        response = edge.post("/resolve", json=ASKED)
        answer = response.json()
        assert answer["snapshot"] == {"revision": "built", "generation": 3, "age_ms": 0, "source": "bundled"}
        assert versions(answer) == ["v0.9.0", "v2.0.0"]
        assert "KV" in response.headers["x-resolver-stale"]
        over_rpc = rpc(edge, "resolve", ASKED)
        assert (over_rpc["snapshot"], over_rpc["references"]) == (answer["snapshot"], answer["references"])
        sent = {"input": {"user_id": 4}, "key": "user-42"}
        assert rpc(edge, "resolveEnsemble", "canary", sent)["snapshot"]["source"] == "bundled"
        assert edge.get("/version").json()["components"] == {"my-prompt": "v0.9.0"}
        health = edge.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["snapshot"]["source"] == "bundled"
        # A content was not bundled: that is KV's failure, not a missing one.
        assert edge.get("/components/rules@v2.0.0").status_code == 503
        # A KV that never answers is no better.
        lever(edge, mode="stall")
        time.sleep(RETRY_FOR + 0.05)
        assert edge.post("/resolve", json=ASKED).json()["snapshot"] == answer["snapshot"]
        lever(edge, mode="ok")
        later = from_kv(edge).json()
        assert (later["snapshot"]["generation"], versions(later)) == (20, ["v1.0.0"])
        # From now on what KV said last is better than the build.
        lever(edge, mode="fail")
        time.sleep(0.25)
        for _ in range(3):
            assert edge.post("/resolve", json=KNOWN).json()["snapshot"]["source"] == "kv"


def test_a_bad_entry_spoils_itself_alone_and_a_build_needs_no_revision(tmp_path: Path) -> None:
    odd = {
        "component-versions": {"my-prompt": {"prod": "v0.9.0", "staging": 7, "prod-canary": "1.0.0"}, "rules": None},
        "rollout-percentage": {"my-prompt": 100, "*": "most"},
        "generation": "three",
        "note": "a newer edgit may say more",
    }
    with isolate(QUICK, bundle=staged(tmp_path, odd)) as edge:
        lever(edge, mode="fail")
        answer = edge.post("/resolve", json={"references": ["my-prompt@prod"], "key": "k"}).json()
        assert (versions(answer), answer["references"][0]["route"]) == (["v1.0.0"], "canary")
        assert (answer["snapshot"]["source"], answer["snapshot"]["generation"]) == ("bundled", None)
        assert answer["snapshot"]["revision"].startswith("sha256:")
        for dropped in ("my-prompt@staging", "rules@staging"):
            # While KV is down, what was dropped may be there all the same.
            assert edge.post("/resolve", json={"references": [dropped]}).status_code == 503


def test_without_a_snapshot_there_is_nothing_to_answer_until_kv_does(tmp_path: Path) -> None:
    with isolate(QUICK, bundle=staged(tmp_path, {"component-versions": {}})) as edge:
        for mode in ("fail", "stall"):
            lever(edge, mode=mode)
            for response in (edge.post("/resolve", json=ASKED), edge.get("/version"), edge.get("/components/rules")):
                assert (response.status_code, response.headers["retry-after"]) == (503, "1")
                assert response.headers["content-type"] == "application/problem+json"
                assert "no snapshot was bundled" in response.json()["detail"]
        problem = rpc(edge, "resolve", ASKED)["problem"]
        assert (problem["status"], problem["title"]) == (503, "Nothing to serve")
        health = edge.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        # Slow is not down: the first read waits for it.
        lever(edge, mode="slow", delay_ms=20)
        assert from_kv(edge).json()["snapshot"]["generation"] == 20


def test_a_binding_that_is_not_there_is_named(tmp_path: Path) -> None:
    with isolate(bundle=staged(tmp_path), bound=False) as edge:
        asked = [
            edge.post("/resolve", json=ASKED),
            edge.post("/ensembles/canary/resolve", json={}),
            edge.get("/components/my-prompt@v1.0.0"),
            edge.get("/version"),
            edge.get("/history/my-prompt"),
            edge.get("/history?at=2024-11-12T14:47:00Z"),
        ]
        for response in asked:
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert "no KV namespace bound as `KV`" in response.json()["detail"]
        calls = {"resolve": ASKED, "resolveEnsemble": "canary", "component": "my-prompt", "history": "my-prompt"}
        for method, given in calls.items():
            problem = rpc(edge, method, given)["problem"]
            assert problem["status"] == 503
            assert "no KV namespace bound as `KV`" in problem["detail"]
        health = edge.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert "no KV namespace bound as `KV`" in health.json()["last_error"]
        assert rpc(edge, "health")["status"] == "down"


def test_a_build_with_a_snapshot_answers_without_the_binding(tmp_path: Path) -> None:
    with isolate(bundle=staged(tmp_path, BUILT), bound=False) as edge:
        response = edge.post("/resolve", json=ASKED)
        assert response.json()["snapshot"]["source"] == "bundled"
        assert "no KV namespace bound" in response.headers["x-resolver-stale"]


def test_callers_over_http_show_the_secret(tmp_path: Path) -> None:
    variables = {"ALLOW_ANONYMOUS": "false", "RESOLVER_TOKEN": "s3cret"}
    with isolate(variables, bundle=staged(tmp_path)) as edge:
        assert edge.get("/version").status_code == 401
        assert edge.get("/version", headers={"authorization": "Bearer wrong"}).status_code == 401
        response = edge.post("/resolve", json=KNOWN)
        assert response.headers["www-authenticate"].startswith("Bearer")
        right = {"authorization": "Bearer s3cret"}
        assert edge.post("/resolve", json=KNOWN, headers=right).is_success
        assert edge.get("/health").raise_for_status().json()["problems"] is None
        assert edge.get("/health", headers=right).json()["problems"] == []
        # A service binding is the permission.
        assert rpc(edge, "version")["components"]["my-prompt"] == "v1.0.0"


def test_a_wrong_setting_is_named_by_every_call(tmp_path: Path) -> None:
    with isolate({"FRESH_FOR": "soon"}, bundle=staged(tmp_path)) as edge:
        for response in (edge.get("/health"), edge.post("/resolve", json=ASKED)):
            assert response.status_code == 500
            assert "FRESH_FOR" in response.json()["detail"]
        problem = rpc(edge, "resolve", ASKED)["problem"]
        assert (problem["status"], "FRESH_FOR" in problem["detail"]) == (500, True)


def published(generation: int) -> dict[str, object]:
    text, _ = seed()["component-versions"]
    return {"component-versions": [text, {"generation": generation, "revision": f"r{generation}"}]}


def asked_at_once(edge: Isolate, count: int) -> list[dict[str, Any]]:
    """The answers to so many requests at the same time, over HTTP and over RPC in turn."""

    def ask(number: int) -> dict[str, Any]:
        body = {"references": ["my-prompt@prod"], "key": f"user-{number}"}
        answer: dict[str, Any] = rpc(edge, "resolve", body) if number % 2 else edge.post("/resolve", json=body).json()
        return answer

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_requests_in_flight_share_one_refresh_and_wait_for_none(tmp_path: Path) -> None:
    variables = {"FRESH_FOR": "0.2", "STALE_FOR": "600", "KV_TIMEOUT": "600"}
    with isolate(variables, bundle=probed(tmp_path)) as edge:
        set_constants(edge, LEASE_FOR=600)
        # Nothing is known yet, and the read of the first request never ends: each of the others reads for itself.
        pool = ThreadPoolExecutor(1)
        before = lever(edge, mode="stall")
        first = pool.submit(edge.get, "/version", timeout=600)
        for _ in range(200):
            if lever(edge) > before:
                break
            time.sleep(0.05)
        lever(edge, mode="ok")
        assert {answer["snapshot"]["source"] for answer in asked_at_once(edge, 10)} == {"kv"}
        assert not first.done()
        pool.shutdown(wait=False)

        for count, generation in ((2, 21), (10, 22)):
            time.sleep(0.25)
            before = lever(edge, put=published(generation), mode="hold")
            # The refresh cannot end before all have their answers: none of them waits for it.
            answers = asked_at_once(edge, count)
            assert [answer["snapshot"]["generation"] for answer in answers] == [generation - 1] * count
            assert [answer["references"][0]["component"] for answer in answers] == ["my-prompt"] * count
            assert lever(edge, mode="ok") == before + 2, "one refresh: the map, and all the rest together"
            eventually(lambda: edge.post("/resolve", json=KNOWN).json()["snapshot"]["generation"], generation)


def test_a_snapshot_too_old_is_used_once_its_read_has_had_its_time(tmp_path: Path) -> None:
    variables = {"FRESH_FOR": "0.2", "STALE_FOR": "0.2", "READ_BUDGET": "0.02", "KV_TIMEOUT": "600"}
    with isolate(variables, bundle=staged(tmp_path)) as edge:
        assert edge.get("/version").is_success
        time.sleep(0.25)
        lever(edge, put=published(21), mode="hold")
        answers = asked_at_once(edge, 10)
        assert {answer["snapshot"]["generation"] for answer in answers} == {20}
        response = edge.get("/version")
        assert "longer than its budget" in response.headers["x-resolver-stale"]
        lever(edge, mode="ok")
        eventually(lambda: from_kv(edge).json()["snapshot"]["generation"], 21)
