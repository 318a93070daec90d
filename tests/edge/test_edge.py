"""The Worker as it is deployed, in workerd over Miniflare's KV, held against the local edge on CPython."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.edge.cases import CASES
from tests.edge.hosts import Isolate, eventually, isolate, lever, refreshed, rpc, settled, started, stopped
from tests.edge.workerd.config import ROOT
from worker.local.seed import seed

#: One worker runs them all: they share a host, and a KV that they break and mend.
pytestmark = pytest.mark.xdist_group("edge")

REGIONS = "EU=eu, AS=asia, US=us-west, LHR=asia"


@pytest.fixture(scope="module")
def edge() -> Iterator[Isolate]:
    """The Worker in workerd, seeded, with short times so that refreshes are seen."""
    local = {"local.py", "seed.py", "sqlite.py"}
    worker = [source for source in ROOT.glob("worker/*.py") if source.name not in local]
    for source in [*ROOT.glob("resolver/**/*.py"), *ROOT.glob("ensembles/*"), *worker]:
        copy = ROOT / "build/worker_src" / source.relative_to(ROOT)
        assert copy.is_file(), "the Worker is not staged: make staged"
        assert copy.read_bytes() == source.read_bytes(), f"the staged {copy.name} is out of date: make staged"
    variables = {"FRESH_FOR": "0.2", "KV_TIMEOUT": "0.3", "READ_BUDGET": "0.04", "REGIONS": REGIONS}
    with isolate(variables) as client:
        yield client


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The local edge over the same seed."""
    kv = str(tmp_path_factory.mktemp("local") / "kv.sqlite3")
    process, client = started([sys.executable, "-m", "worker.local", "serve"], {"PORT": "0", "KV": kv})
    yield client
    stopped(process, client)


@pytest.fixture(autouse=True)
def mended(edge: Isolate) -> Iterator[None]:
    """Each test leaves a KV that works."""
    yield
    lever(edge, mode="ok")


#: Headers that a host sets by itself, or that say how long something took.
VARYING = {"date", "server", "server-timing", "content-length", "connection", "keep-alive", "transfer-encoding"}


def seen(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in response.headers.items() if name not in VARYING}
    return response.status_code, headers, re.sub(rb'"age_ms":\d+', b'"age_ms":0', response.content)


def test_both_hosts_answer_alike_to_the_byte(edge: Isolate, local: httpx.Client) -> None:
    statuses = set()
    for case in CASES:
        ours = seen(edge.request(case.method, case.target, content=case.body, headers=case.headers))
        theirs = seen(local.request(case.method, case.target, content=case.body, headers=case.headers))
        assert ours == theirs, case
        statuses.add(ours[0])
    assert statuses == {200, 304, 400, 404, 405, 413}
    # Of the host whose clock moves alone.
    assert "server-timing" in local.get("/version").headers
    assert "server-timing" not in edge.get("/version").headers


def test_head_says_the_length_of_get(edge: Isolate) -> None:
    for target in ("/components/my-prompt@v1.5.0?key=k", "/version", "/nope"):
        head, got = edge.request("HEAD", target), edge.get(target)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-length"] == str(len(got.content))


def test_a_byte_order_mark_is_no_part_of_a_content(edge: Isolate) -> None:
    lever(edge, put={"components/marked/v1.0.0": ["\ufeffhello", {"type": "prompt"}]})
    lever(edge, put={"components/plain/v1.0.0": ["hello", {"type": "prompt"}]})
    marked, plain = (edge.get(f"/components/{name}@v1.0.0") for name in ("marked", "plain"))
    assert (marked.content, marked.headers["etag"]) == (b"hello", plain.headers["etag"])


def test_health_names_what_is_bad_in_a_history_until_it_is_mended(edge: Isolate) -> None:
    move = '"at": "2024-11-01T00:00:00Z", "environment": "prod", "version": "v1.0.0"'
    for entry, moves, problems in (
        (
            f'{{{move}, "version": "v2.0.0"}}',
            0,
            ["history/doubled: [0]: `version` stands more than once; keep one of them"],
        ),
        (f"{{{move}}}", 1, []),
    ):
        lever(edge, put={"history/doubled": [f"[{entry}]", None]})
        assert len(edge.get("/history/doubled").raise_for_status().json()["moves"]) == moves
        assert [problem for problem in rpc(edge, "health")["problems"] if "history/" in problem] == problems


def test_a_refresh_runs_behind_the_response(edge: Isolate) -> None:
    text, metadata = seed()["component-versions"]
    pointers = json.loads(text)
    pointers["my-prompt"]["prod"] = "v0.9.0"
    refreshed(edge)
    lever(edge, put={"component-versions": [json.dumps(pointers), {"generation": 21, "revision": "next"}]})
    time.sleep(0.25)
    first = edge.post("/resolve", json={"references": ["my-prompt@v1.0.0", "my-prompt@staging"]}).json()
    assert first["snapshot"]["generation"] == 20
    settled(edge)
    assert edge.get("/version?component=my-prompt").json()["components"] == {"my-prompt": "v0.9.0"}
    answer = edge.post("/resolve", json={"references": ["my-prompt@v1.0.0"]}).json()
    assert (answer["snapshot"]["generation"], answer["snapshot"]["revision"]) == (21, "next")
    lever(edge, put={"component-versions": [text, {**dict(metadata), "generation": 22}]})  # type: ignore[call-overload]
    refreshed(edge)


@pytest.mark.parametrize("mode", ["fail", "stall"])
def test_a_kv_that_is_down_is_answered_by_what_is_known(edge: Isolate, mode: str) -> None:
    refreshed(edge)
    lever(edge, mode=mode)
    asked = {"references": ["my-prompt@prod-us-west"]}
    eventually(lambda: "KV" in edge.post("/resolve", json=asked).headers.get("x-resolver-stale", ""))
    assert edge.post("/resolve", json=asked).json()["references"][0]["version"] == "v1.0.0"
    # What was never read is "KV failed", not "not found", and comes within the timeout.
    missing = edge.get("/components/my-prompt@v7.7.7")
    assert (missing.status_code, missing.headers["retry-after"]) == (503, "1")
    assert edge.get("/health").json()["status"] == "degraded"


@pytest.mark.parametrize(
    ("cf", "version", "route"),
    [
        ({"colo": "FRA", "country": "DE", "continent": "EU"}, "v1.1.0", "region"),
        ({"colo": "NRT", "country": "JP", "continent": "AS"}, "v1.1.0", "region"),
        ({"colo": "SJC", "country": "US", "continent": "NA"}, "v1.0.0", "region"),
        ({"colo": "GRU", "country": "BR", "continent": "SA"}, "v1.0.0", "pointer"),
        ({"country": None, "continent": 7}, "v1.0.0", "pointer"),
        ({}, "v1.0.0", "pointer"),
    ],
)
def test_the_region_comes_from_where_the_request_does(
    edge: Isolate, cf: dict[str, object], version: str, route: str
) -> None:
    lever(edge, put={"rollout-percentage": ["0", None]})
    refreshed(edge)
    response = edge.post("/resolve", json={"references": ["my-prompt@prod"]}, headers={"x-host-cf": json.dumps(cf)})
    found = response.json()["references"][0]
    assert (found["version"], found["route"]) == (version, route)
    lever(edge, put={"rollout-percentage": ["10", None]})
    refreshed(edge)


@pytest.mark.parametrize(
    ("length", "sent"),
    [("content-length: 60", b'{"references": ["my-prompt"]'), ("transfer-encoding: chunked", b'5\r\n{"ref\r\n')],
)
def test_a_body_that_breaks_off_is_a_problem_and_no_exception(edge: Isolate, length: str, sent: bytes) -> None:
    with socket.create_connection((edge.base_url.host, edge.base_url.port or 80), timeout=10) as sender:
        sender.sendall(f"POST /resolve HTTP/1.1\r\nhost: edge\r\n{length}\r\n\r\n".encode() + sent)
        sender.shutdown(socket.SHUT_WR)
        head, _, body = b"".join(iter(lambda: sender.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["detail"].startswith("the body cannot be read: ")
    assert edge.post("/resolve", json={"references": ["my-prompt"]}).status_code == 200


def test_contents_that_look_like_nothing_are_contents(edge: Isolate) -> None:
    texts = {"v3.0.0": "", "v3.0.1": "null", "v3.0.2": "42", "v3.0.3": "ü😀\n"}
    lever(edge, put={f"components/odd/{version}": [text, {"type": "prompt"}] for version, text in texts.items()})
    for version, text in texts.items():
        assert edge.get(f"/components/prompts/odd@{version}").content == text.encode()
    lever(edge, delete=[f"components/odd/{version}" for version in texts])


def test_an_ensemble_that_cannot_be_loaded_says_where(edge: Isolate) -> None:
    content = "ensemble: broken\nagents:\n  - name: a\n    operation: [think\n"
    lever(edge, put={"components/broken/v1.0.0": [content, {"type": "ensemble"}]})
    response = edge.post("/ensembles/broken@v1.0.0/resolve", json={})
    assert (response.status_code, response.json()["file"]) == (422, "components/broken/v1.0.0")
    assert response.json()["line"] >= 4
    assert rpc(edge, "resolveEnsemble", "broken@v1.0.0")["problem"] == response.json()
    lever(edge, delete=["components/broken/v1.0.0"])


def test_more_than_one_bulk_get_of_keys(edge: Isolate) -> None:
    move = json.dumps([{"at": "2024-01-01T00:00:00Z", "environment": "many", "version": "v1.0.0", "generation": 1}])
    lever(edge, put={f"history/many-{number}": [move, None] for number in range(230)})
    state = edge.get("/history?at=2024-06-01T00:00:00Z&environment=many").json()
    assert len(state["components"]) == 230
    lever(edge, delete=[f"history/many-{number}" for number in range(230)])


def test_a_map_of_ten_thousand_components(edge: Isolate) -> None:
    text, metadata = seed()["component-versions"]
    large = json.loads(text) | {f"c-{n}": {"prod": f"v1.{n % 50}.0", "latest": "v9.0.0"} for n in range(10_000)}
    lever(edge, put={"component-versions": [json.dumps(large), {"generation": 30, "revision": "large"}]})
    refreshed(edge)
    found = edge.post("/resolve", json={"references": ["c-9999", "my-prompt@staging"]}).json()
    assert [r["version"] for r in found["references"]] == ["v1.49.0", "v1.1.0"]
    # Once a map is known to be large it is read as bytes; what it says is the same, and so are its metadata.
    large |= {"c-9999": {"prod": "v2.0.0"}, "größe": {"prod": "v3.0.0"}}
    map_ = json.dumps(large, ensure_ascii=False)
    lever(edge, put={"component-versions": [map_, {"generation": 31, "revision": "moved"}]})
    refreshed(edge)
    found = edge.post("/resolve", json={"references": ["c-9999", "c-9998", "größe"]}).json()
    assert [r["version"] for r in found["references"]] == ["v2.0.0", "v1.48.0", "v3.0.0"]
    assert (found["snapshot"]["generation"], found["snapshot"]["revision"]) == (31, "moved")
    lever(edge, put={"component-versions": [text, {**dict(metadata), "generation": 32}]})  # type: ignore[call-overload]
    refreshed(edge)
