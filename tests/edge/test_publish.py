"""What is published into Miniflare's KV is what the Worker answers: versions, a rollback, the past, a canary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from edgit.commands.shapes import of_report
from edgit.kv.publish import PublishReport, publish
from edgit.kv.rollout import set_percentage
from edgit.kv.snapshot import snapshot
from edgit.kv.status import status
from edgit.kv.store import KvFailed, KvValue, KvWrite
from resolver.rollout import parse_percentage
from tests.edge.hosts import Isolate, isolate, lever, refreshed, stored
from tests.edge.probe import probed, set_constants
from tests.edgit.memory import Ledger, MemoryKv, assert_right, everything, sample

#: One worker runs them all: an isolate of its own takes a second to start and some 200 MB.
pytestmark = pytest.mark.xdist_group("edge")

T1 = datetime(2025, 1, 1, tzinfo=UTC)
T2 = datetime(2025, 1, 2, tzinfo=UTC)


class MiniflareKv:
    """Miniflare's KV, beside the Worker that reads it. `left` as in `MemoryKv`: how many writes are let through."""

    name = "Miniflare's KV"
    record = "miniflare"

    def __init__(self, edge: Isolate) -> None:
        self._edge = edge
        self.left: int | None = None

    def get_many(self, keys: Sequence[str]) -> dict[str, KvValue | None]:
        return {key: found and KvValue(*found) for key, found in stored(self._edge, get=list(keys)).items()}

    def put_many(self, writes: Sequence[KvWrite]) -> None:
        through = writes if self.left is None else writes[: self.left]
        lever(self._edge, put={write.key: [write.value, write.metadata] for write in through})
        if self.left is not None:
            self.left -= len(through)
        if len(through) < len(writes):
            raise KvFailed("broken off")

    def list_keys(self, prefix: str) -> dict[str, object]:
        return stored(self._edge, list=prefix)

    def delete_many(self, keys: Sequence[str]) -> None:
        lever(self._edge, delete=list(keys))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolate]:
    """The Worker over an empty KV."""
    # Each test begins a KV anew, and so with a lower generation: that is distrusted once only.
    variables = {"FRESH_FOR": "0.1", "KV_TIMEOUT": "2"}
    with isolate(variables, bundle=probed(tmp_path_factory.mktemp("publish")), entries={}) as client:
        set_constants(client, RETRY_FOR=0.1, DISTRUST_FOR=0.001)
        yield client


@pytest.fixture
def kv(edge: Isolate) -> MiniflareKv:
    """That KV, emptied."""
    store = MiniflareKv(edge)
    store.delete_many(list(store.list_keys("")))
    return store


def published(ledger: Ledger, kv: MiniflareKv | MemoryKv, at: datetime = T1) -> PublishReport:
    return publish(ledger, kv, now=lambda: at, sleep=lambda _: None)


def looked_again(edge: Isolate) -> None:
    """The isolate has read KV since, twice: it refuses a lower generation the first time."""
    refreshed(edge, 0.15)
    refreshed(edge, 0.15)


def live(edge: Isolate, name: str = "my-prompt") -> dict[str, Any]:
    """The version in production and the snapshot that it was taken from, once the isolate has looked again."""
    looked_again(edge)
    answer = edge.post("/resolve", json={"references": [f"{name}@prod"], "key": "user-1"}).raise_for_status().json()
    found = answer["references"][0]
    return {
        "version": found["version"],
        "route": found["route"],
        "generation": answer["snapshot"]["generation"],
        "revision": answer["snapshot"]["revision"],
    }


def test_the_worker_answers_what_was_published_and_sees_the_rollback(edge: Isolate, kv: MiniflareKv) -> None:
    ledger = sample()
    bad = ledger.at(5)
    published(bad, kv, T1)
    assert live(edge) == {"version": "v1.1.0", "route": "pointer", "generation": 5, "revision": bad.revision}
    content = edge.get("/components/my-prompt@prod")
    assert (content.text, content.headers["x-component-version"]) == ("my-prompt v1.1.0\n", "v1.1.0")

    assert of_report(published(ledger, kv, T2))["changed"] == [
        {"component": "my-prompt", "environment": "prod", "from": "v1.1.0", "to": "v1.0.0"}
    ]
    assert live(edge) == {"version": "v1.0.0", "route": "pointer", "generation": 8, "revision": ledger.revision}
    assert edge.get("/components/my-prompt@prod").text == "my-prompt v1.0.0\n"
    ranged = edge.post("/resolve", json={"references": ["my-prompt@^1.0.0", "prompt://my-prompt@stable"]}).json()
    assert [reference["version"] for reference in ranged["references"]] == ["v1.1.0", "v1.1.0"]

    # The past is that of requests: what they saw between the two publishes is v1.1.0.
    between = edge.get("/history?at=2025-01-01T12:00:00Z").json()
    assert between["components"] == {"my-prompt": "v1.1.0"}
    assert edge.get("/history?at=2025-01-02T12:00:00Z").json()["components"] == {"my-prompt": "v1.0.0"}
    moves = edge.get("/history/my-prompt").json()["moves"]
    assert [(move["generation"], move["actor"], move["published_at"]) for move in moves[-2:]] == [
        (5, "ci", "2025-01-01T00:00:00Z"),
        (2, "ci", "2025-01-01T00:00:00Z"),
    ]
    assert edge.get("/health").json()["status"] == "ok"


def test_miniflare_holds_what_any_kv_holds(kv: MiniflareKv) -> None:
    ledger, reference = sample(), MemoryKv()
    for at, stop in ((T1, 5), (T2, 8)):
        published(ledger.at(stop), kv, at)
        published(ledger.at(stop), reference, at)
    assert everything(kv) == reference.data
    assert published(ledger, kv).nothing
    assert status(ledger, kv).kind == "current"
    assert json.loads(json.dumps(snapshot(kv)))["generation"] == 8


def test_broken_off_anywhere_the_worker_answers_rightly(edge: Isolate, kv: MiniflareKv) -> None:
    before = sample()
    published(before, kv)
    ledger = before.tag("my-prompt", "v1.2.0").move("my-prompt", "prod", "v1.2.0")
    # What was written is not written again: each run but the first goes on by one write, the last one up to the map.
    for survived in (0, 1, 1, 1, 0):
        kv.left = survived
        with pytest.raises(KvFailed):
            published(ledger, kv, T2)
        kv.left = None
        assert assert_right(kv) == 8
        assert live(edge)["version"] == "v1.0.0"
        assert edge.get("/components/my-prompt@prod").text == "my-prompt v1.0.0\n"
    published(ledger, kv, T2)
    assert live(edge)["version"] == "v1.2.0"
    assert edge.get("/components/my-prompt@prod").text == "my-prompt v1.2.0\n"


def test_a_canary_is_tuned_in_kv(edge: Isolate, kv: MiniflareKv) -> None:
    published(sample().move("my-prompt", "prod-canary", "v1.1.0"), kv)
    assert live(edge)["route"] == "pointer"
    for percentage, route in {"100": "canary", "0": "pointer"}.items():
        set_percentage(kv, "my-prompt", parse_percentage(percentage), "on-call", sleep=lambda _: None)
        assert live(edge)["route"] == route


def test_a_pointer_that_is_gone_is_gone(edge: Isolate, kv: MiniflareKv) -> None:
    ledger = Ledger().tag("a", "v1.0.0").move("a", "prod", "v1.0.0")
    published(ledger, kv)
    assert live(edge, "a")["version"] == "v1.0.0"
    published(ledger.move("a", "prod", None), kv)
    looked_again(edge)
    assert edge.post("/resolve", json={"references": ["a@prod"]}).status_code == 404
    assert edge.post("/resolve", json={"references": ["a@latest"]}).json()["references"][0]["version"] == "v1.0.0"
