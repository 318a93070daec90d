"""What is published into Miniflare's KV is what the Worker answers: versions, a rollback, the past, a canary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from edgit.kv import Entry, KvFailed, Write
from edgit.publish import Report, publish, snapshot, status
from edgit.rollout import set_percentage
from resolver.rollout import parse_percentage
from tests.edge.hosts import ROOT, isolate, refreshed
from tests.edgit.memory import Ledger, MemoryKv, assert_right, everything, sample

#: One worker runs them all: an isolate of its own takes a second to start and some 200 MB.
pytestmark = pytest.mark.xdist_group("edge")

T1 = datetime(2025, 1, 1, tzinfo=UTC)
T2 = datetime(2025, 1, 2, tzinfo=UTC)

#: Loaded into the host before it starts: a door to the very namespace that the Worker is bound to. The host's own lever
#: writes it and cannot read it.
DOOR = """
import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
import { Miniflare } from "file://%(miniflare)s";
const open = Miniflare.prototype.getKVNamespace;
Miniflare.prototype.getKVNamespace = async function (...given) {
  const store = await open.apply(this, given);
  const server = createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { get = [], put = [], remove = [], prefix } = JSON.parse(Buffer.concat(chunks).toString());
    const found = {};
    for (const key of get) {
      const { value, metadata } = await store.getWithMetadata(key);
      found[key] = value === null ? null : [value, metadata];
    }
    for (const [key, value, metadata] of put) await store.put(key, value, metadata === null ? {} : { metadata });
    for (const key of remove) await store.delete(key);
    let page = { list_complete: prefix === undefined };
    while (!page.list_complete) {
      page = await store.list({ prefix, cursor: page.cursor });
      for (const { name, metadata = null } of page.keys) found[name] = metadata;
    }
    outgoing.end(JSON.stringify(found));
  });
  server.listen(0, "127.0.0.1", () => writeFileSync("%(port)s", String(server.address().port)));
  server.unref();
  return store;
};
"""


class MiniflareKv:
    """Miniflare's KV, through the door. `left` as in `MemoryKv`: how many writes are let through."""

    name = "Miniflare's KV"

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.left: int | None = None

    def _ask(self, **what: object) -> dict[str, Any]:
        found: dict[str, Any] = self._client.post("/", json=what).raise_for_status().json()
        return found

    def get_many(self, keys: Sequence[str]) -> dict[str, Entry | None]:
        return {key: found and Entry(*found) for key, found in self._ask(get=list(keys)).items()}

    def put_many(self, writes: Sequence[Write]) -> None:
        through = writes if self.left is None else writes[: self.left]
        self._ask(put=[list(write) for write in through])
        if self.left is not None:
            self.left -= len(through)
        if len(through) < len(writes):
            raise KvFailed("broken off")

    def list_keys(self, prefix: str) -> dict[str, object]:
        return dict(self._ask(prefix=prefix))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._ask(remove=list(keys))


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, MiniflareKv]]:
    """The Worker over an empty KV, and that KV."""
    folder = tmp_path_factory.mktemp("publish")
    door, port = folder / "door.mjs", folder / "port"
    places = {"miniflare": ROOT / "tests/edge/node_modules/miniflare/dist/src/index.js", "port": port}
    door.write_text(DOOR % places, "utf-8")
    # Each test begins a KV anew, and so with a lower generation: that is distrusted once only.
    variables = {"FRESH_FOR": "0.1", "RETRY_FOR": "0.1", "KV_TIMEOUT": "2", "DISTRUST_FOR": "0.001"}
    with isolate(folder, variables, SEED="", NODE_OPTIONS=f"--import={door.as_uri()}") as edge:
        yield edge, MiniflareKv(int(port.read_text()))


@pytest.fixture
def edge(hosted: tuple[httpx.Client, MiniflareKv]) -> httpx.Client:
    return hosted[0]


@pytest.fixture
def kv(hosted: tuple[httpx.Client, MiniflareKv]) -> Iterator[MiniflareKv]:
    """An empty KV, and one that is empty afterwards."""
    _, store = hosted
    store.left = None
    store.delete_many(list(store.list_keys("")))
    yield store
    store.left = None


def published(ledger: Ledger, kv: MiniflareKv | MemoryKv, at: datetime = T1) -> Report:
    return publish(ledger, kv, now=lambda: at, sleep=lambda _: None)


def looked_again(edge: httpx.Client) -> None:
    """The isolate has read KV since, twice: it refuses a lower generation the first time."""
    refreshed(edge, 0.15)
    refreshed(edge, 0.15)


def live(edge: httpx.Client, name: str = "my-prompt") -> dict[str, Any]:
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


def test_the_worker_answers_what_was_published_and_sees_the_rollback(edge: httpx.Client, kv: MiniflareKv) -> None:
    ledger = sample()
    bad = ledger.at(5)
    published(bad, kv, T1)
    assert live(edge) == {"version": "v1.1.0", "route": "pointer", "generation": 5, "revision": bad.revision}
    content = edge.get("/components/my-prompt@prod")
    assert (content.text, content.headers["x-component-version"]) == ("my-prompt v1.1.0\n", "v1.1.0")

    assert published(ledger, kv, T2).as_json()["changed"] == [
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


def test_broken_off_anywhere_the_worker_answers_rightly(edge: httpx.Client, kv: MiniflareKv) -> None:
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


def test_a_canary_is_tuned_in_kv(edge: httpx.Client, kv: MiniflareKv) -> None:
    published(sample().move("my-prompt", "prod-canary", "v1.1.0"), kv)
    assert live(edge)["route"] == "pointer"
    for percentage, route in {"100": "canary", "0": "pointer"}.items():
        set_percentage(kv, "my-prompt", parse_percentage(percentage), "on-call", sleep=lambda _: None)
        assert live(edge)["route"] == route


def test_a_pointer_that_is_gone_is_gone(edge: httpx.Client, kv: MiniflareKv) -> None:
    ledger = Ledger().tag("a", "v1.0.0").move("a", "prod", "v1.0.0")
    published(ledger, kv)
    assert live(edge, "a")["version"] == "v1.0.0"
    published(ledger.move("a", "prod", None), kv)
    looked_again(edge)
    assert edge.post("/resolve", json={"references": ["a@prod"]}).status_code == 404
    assert edge.post("/resolve", json={"references": ["a@latest"]}).json()["references"][0]["version"] == "v1.0.0"
