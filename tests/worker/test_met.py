"""What is bad in documents that only requests with `at`, histories and pins read: `/health` names it while it lasts."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from tests.worker.fakes import run
from tests.worker.test_app import HISTORY, Host, resolve, value
from worker.met import MOST_DOCUMENTS, MOST_OF_ONE

AT = "2024-11-12T14:47:00Z"


class Reading(NamedTuple):
    """A request that reads a document, and what good stands in that."""

    key: str
    good: list[Any]
    method: str
    target: str
    body: Any = None


RELEASES = [{"version": "v1.0.0"}]
READINGS = [
    Reading("history/my-prompt", HISTORY, "GET", f"/version?at={AT}&component=my-prompt"),
    Reading("history/my-prompt", HISTORY, "GET", "/history/my-prompt"),
    Reading("rollout-history", [], "POST", "/resolve", {"references": ["my-prompt"], "at": AT}),
    Reading("index/my-prompt", RELEASES, "POST", "/resolve", {"references": ["my-prompt@^1.0.0"], "at": AT}),
    Reading("index/my-prompt", RELEASES, "POST", "/resolve", {"references": ["my-prompt@v0.1.0"]}),
]


def read(host: Host, reading: Reading) -> None:
    """Make the request, later than a pin that is not there is remembered."""
    host.time.time += host.settings.fresh_for
    host.send(reading.method, reading.target, reading.body)


def problems(host: Host) -> list[str]:
    health = value(host.get("/health"))
    run(host.behind.run())
    found: list[str] = health["problems"]
    assert (health["dropped"], health["status"]) == (len(found), "degraded" if found else "ok")
    return found


@pytest.fixture
def host() -> Host:
    host = Host()
    host.store.put("history/my-prompt", HISTORY)
    return host


@pytest.mark.parametrize("reading", READINGS)
def test_a_bad_entry_is_named_until_the_document_is_read_without_fault(host: Host, reading: Reading) -> None:
    host.store.put(reading.key, [*reading.good, {"at": 7}])
    assert problems(host) == []
    for _ in range(2):
        read(host, reading)
        (problem,) = problems(host)
        assert problem.startswith(f"{reading.key}: [{len(reading.good)}]: ")
    host.store.put(reading.key, reading.good)
    assert problems(host) == [problem], "nobody has read it yet"
    read(host, reading)
    assert problems(host) == []


@pytest.mark.parametrize("reading", READINGS)
def test_a_document_that_cannot_be_read_is_named_until_it_is_gone(host: Host, reading: Reading) -> None:
    host.store.put(reading.key, "{")
    read(host, reading)
    (problem,) = problems(host)
    assert problem.startswith(f"{reading.key}: not a JSON list: ")
    del host.store.entries[reading.key]
    read(host, reading)
    assert problems(host) == []


def test_of_a_list_that_is_part_of_the_snapshot_the_snapshot_speaks(host: Host) -> None:
    pinned = READINGS[-1]
    host.store.put(pinned.key, [{"version": 7}, *RELEASES])
    read(host, pinned)
    before = problems(host)
    resolve(host, "my-prompt@^1.0.0")
    assert problems(host) == before != []
    host.store.put(pinned.key, RELEASES)
    host.time.time += host.settings.fresh_for
    assert problems(host) == before
    assert problems(host) == [], "it was read again behind that response"


def test_what_is_kept_of_problems_is_bounded(host: Host) -> None:
    host.store.put("history/my-prompt", [7] * (MOST_OF_ONE + 3))
    value(host.get("/history/my-prompt"))
    found = problems(host)
    assert len(found) == MOST_OF_ONE + 1
    assert found[-1] == "history/my-prompt: 3 more entries are as bad"
    for number in range(MOST_DOCUMENTS):
        host.store.put(f"history/other-{number}", [7])
        value(host.get(f"/history/other-{number}"))
    found = problems(host)
    assert len(found) == MOST_DOCUMENTS, "the one that was read longest ago is gone"
    assert found[0].startswith("history/other-0: ")


def test_problems_are_named_where_there_is_nothing_to_serve(host: Host) -> None:
    host.store.put("history/my-prompt", [7])
    value(host.get("/history/my-prompt"))
    host.store.put("component-versions", "{")
    health = json.loads(host.get("/health").body)
    assert (health["status"], health["dropped"]) == ("down", 1)


TWICE = {
    "history/my-prompt": '"at": "2024-11-01T00:00:00Z", "environment": "prod", "version": "v1.1.0"',
    "rollout-history": '"at": "2024-11-01T00:00:00Z", "value": 100',
    "index/my-prompt": '"version": "v1.1.0"',
}


@pytest.mark.parametrize("name", ["at", "environment", "version", "value", "more", "\\u0061t", "versio\\u006e"])
@pytest.mark.parametrize("reading", READINGS)
def test_an_entry_with_a_field_that_stands_twice_is_dropped_and_named(host: Host, reading: Reading, name: str) -> None:
    fields = TWICE[reading.key]
    plain = json.loads(f'"{name}"')
    value_of = json.dumps(json.loads(f"{{{fields}}}").get(plain, 1))
    entry = f'{{{fields}, "{name}": {value_of}}}'
    if f'"{plain}"' not in fields:
        entry = f'{{{fields}, "{name}": 1, "{plain}": [{{}}]}}'
    host.store.put(reading.key, f"[{entry}, {json.dumps(reading.good)[1:]}" if reading.good else f"[{entry}]")
    read(host, reading)
    assert problems(host) == [f"{reading.key}: [0]: `{plain}` stands more than once; keep one of them"]


def test_what_stands_twice_is_not_served(host: Host) -> None:
    doubled = '{"at": "2024-11-12T14:46:30Z", "environment": "prod", "version": "v1.1.0", "version": "v1.2.0"}'
    host.store.put("history/my-prompt", f"[{json.dumps(HISTORY)[1:-1]}, {doubled}]")
    host.store.put("index/my-prompt", '[{"version": "v1.0.0"}, {"version": "v1.1.0", "version": "v1.5.0"}]')
    assert value(host.get(f"/version?at={AT}"))["components"] == {"my-prompt": "v1.1.0"}
    assert resolve(host, "my-prompt@^1.0.0", at=AT)["references"][0]["version"] == "v1.0.0"
    assert "it has v1.0.0." in resolve(host, "my-prompt@v1.5.0", status=404)["detail"]


def test_fields_within_an_unknown_field_are_not_looked_at(host: Host) -> None:
    host.store.put("index/my-prompt", '[{"version": "v0.1.0", "more": {"a": 1, "a": 2}}]')
    assert resolve(host, "my-prompt@v0.1.0")["references"][0]["route"] == "pinned"
    assert problems(host) == []


def test_a_bad_percentage_of_the_past_is_nobody_and_named_by_its_instant(host: Host) -> None:
    text = '[{"at": "2024-11-12T14:46:00Z", "value": {"*": 100, "my-prompt": 100, "my-prompt": 100, "rules": "lots"}}]'
    host.store.put("rollout-history", text)
    found = resolve(host, "my-prompt@prod", at=AT)["references"][0]
    assert (found["version"], found["route"]) == ("v1.1.0", "pointer")
    doubled, unread = problems(host)
    assert doubled.startswith("rollout-history: 2024-11-12T14:46:00+00:00: my-prompt: it stands 2 times")
    assert unread.startswith("rollout-history: 2024-11-12T14:46:00+00:00: rules: ")
