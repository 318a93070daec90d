"""Pinned versions: one that does not exist is not found, one that exists costs no read, and an outage fails none."""

from __future__ import annotations

from typing import Any

import pytest

from resolver.snapshot import Snapshot
from tests.worker.test_app import MAP, Host, resolve, value
from worker.bundle import compile_ensembles
from worker.lease import RETRY_FOR

LIST = [{"version": "v0.9.0"}, {"version": "v1.0.0"}, {"version": "v1.1.0"}]


@pytest.fixture
def host() -> Host:
    found = Host()
    found.store.put("index/my-prompt", LIST)
    return found


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("my-prompt@v9.9.9", "unknown version `v9.9.9` of `my-prompt`; it has v0.9.0, v1.0.0, v1.1.0"),
        ("my-prompt@v1.1.1", "Did you mean `v1.1.0`?"),
        ("rules@v1.0.0", "unknown version `v1.0.0` of `rules`; it has v2.0.0"),
        ("nope@v1.0.0", "unknown component `nope`"),
        ("my-promt@v1.0.0", "Did you mean `my-prompt`?"),
        ("prompts/my-prompt@9.9.9", "unknown version `v9.9.9`"),
    ],
)
def test_a_version_that_does_not_exist_is_not_found(host: Host, reference: str, says: str) -> None:
    for content in (False, True):
        problem = value(host.post("/resolve", {"references": ["rules", reference], "content": content}), 404)
        assert says in problem["detail"]
        assert problem["field"] == "references[1]"
    problem = value(host.get(f"/components/{reference}"), 404)
    assert says in problem["detail"]


def test_a_pointer_a_list_or_a_content_says_that_a_version_exists(host: Host) -> None:
    host.store.put("components/unlisted/v3.0.0", "text")
    host.store.put("prompts/older@v1.0.0", "of another writer")
    for reference in ("rules@v2.0.0", "my-prompt@v0.9.0", "unlisted@v3.0.0", "older@v1.0.0"):
        assert resolve(host, reference)["references"][0]["route"] == "pinned"


def test_what_is_known_is_read_once(host: Host) -> None:
    resolve(host, "my-prompt@v1.0.0", "rules@v2.0.0")
    assert len(host.store.reads) == 1, "the map says so"
    resolve(host, "my-prompt@v0.9.0")
    assert host.store.reads[1:] == [["index/my-prompt"]]
    for _ in range(3):
        host.time.time += 1
        resolve(host, "my-prompt@v0.9.0", "my-prompt@v1.0.0")
    # For ever: a version that was there once is there, whatever is read later.
    del host.store.entries["index/my-prompt"]
    host.time.time += 4
    resolve(host, "my-prompt@v0.9.0")
    host.behind.lose()
    assert [keys for keys in host.store.reads[2:] if "component-versions" not in keys] == []


def test_what_does_not_exist_is_asked_for_again_after_a_while(host: Host) -> None:
    for _ in range(5):
        resolve(host, "my-prompt@v2.0.0", status=404)
    assert sum("index/my-prompt" in keys for keys in host.store.reads) == 1
    host.store.put("index/my-prompt", [*LIST, {"version": "v2.0.0"}])
    host.time.time += host.settings.fresh_for
    assert resolve(host, "my-prompt@v2.0.0")["references"][0]["version"] == "v2.0.0"
    host.behind.lose()


def test_what_is_said_of_a_version_is_of_the_snapshot_that_is_asked(host: Host) -> None:
    before, after = "2020-01-01T00:00:00Z", None
    for at, says in (
        (before, "unknown component `rules`"),
        (after, "unknown version `v9.0.0` of `rules`; it has v2.0.0"),
    ):
        assert says in resolve(host, "rules@v9.0.0", at=at, status=404)["detail"]
    assert sum("index/rules" in keys for keys in host.store.reads) == 1


def test_guesses_cannot_fill_the_memory(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.pins.MOST_ABSENT", 3)
    monkeypatch.setattr("worker.pins.MOST_KNOWN", 2)
    for number in range(10):
        resolve(host, f"my-prompt@v7.0.{number}", status=404)
        resolve(host, "my-prompt@v0.9.0", "my-prompt@v1.0.0", "my-prompt@v1.1.0")
    assert len(host.edge.pins._absent) <= 3
    assert len(host.edge.pins._known) <= 3


@pytest.mark.parametrize("mode", ["fail", "stall", "lie", "nothing"])
def test_a_kv_that_cannot_be_asked_fails_no_pin(host: Host, mode: str) -> None:
    resolve(host, "rules")
    host.store.mode = mode
    (found,) = resolve(host, "my-prompt@v9.9.9")["references"]
    assert (found["version"], found["route"]) == ("v9.9.9", "pinned")
    assert found["note"] == "KV could not be asked whether this version exists"
    # Not asked again at once, so that an outage costs nothing,
    reads = len(host.store.reads)
    resolve(host, "my-prompt@v9.9.9", "my-prompt@v0.9.0")
    assert len(host.store.reads) == reads
    # and asked again when it may be back.
    host.store.mode = "ok"
    host.time.time += RETRY_FOR
    resolve(host, "my-prompt@v9.9.9", status=404)
    assert "note" not in resolve(host, "my-prompt@v0.9.0")["references"][0]


def test_what_the_bundled_snapshot_does_not_say_is_served_with_a_note() -> None:
    host = Host(bundled=Snapshot(MAP, generation=3, revision="built"))
    host.store.mode = "fail"
    known, unknown = resolve(host, "my-prompt@v1.0.0", "my-prompt@v0.9.0")["references"]
    assert "note" not in known
    assert "could not be asked" in unknown["note"]


def test_pins_in_an_ensemble() -> None:
    text = """
ensemble: pinned
agents:
  - {name: runs, component: my-prompt@v0.9.0}
  - {name: never, component: my-prompt@v9.9.9, when: false}
"""
    pinned = Host(ensembles=compile_ensembles({"p.yaml": text}))
    pinned.store.put("index/my-prompt", LIST)
    runs, never = value(pinned.post("/ensembles/pinned/resolve", {}))["agents"]
    assert runs["references"][0]["version"] == "v0.9.0"
    assert (never["references"][0]["version"], never["references"][0]["route"]) == (None, None)
    assert "unknown version `v9.9.9`" in never["references"][0]["error"]
    selected = Host(ensembles=compile_ensembles({"p.yaml": text.replace(", when: false", "")}))
    selected.store.put("index/my-prompt", LIST)
    problem: Any = value(selected.post("/ensembles/pinned/resolve", {}), 404)
    assert problem["field"] == "agents[1].component"
    assert "it has v0.9.0, v1.0.0, v1.1.0" in problem["detail"]
