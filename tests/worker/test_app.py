"""Every call of the HTTP interface, through `handle`, from plain values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.plan import Plan
from resolver.snapshot import Snapshot
from tests.worker.fakes import Behind, FakeClock, FakeStore, run
from worker.bundle import compile_ensembles
from worker.contents import ContentCache
from worker.edge import Edge, Platform
from worker.http import Request, Response, handle
from worker.kv import Entry
from worker.settings import Settings, read_settings

MAP = {
    "my-prompt": {
        "prod": "v1.0.0",
        "prod-canary": "v1.1.0",
        "staging": "v1.1.0",
        "prod-eu": "v1.2.0",
        "latest": "v1.2.0",
    },
    "rules": {"prod": "v2.0.0"},
    "flow": {"prod": "v1.0.0", "staging": "v2.0.0"},
}
FLOW = "ensemble: flow\nagents:\n  - name: only\n    component: my-prompt\n"
AB = """
ensemble: ab
agents:
  - name: even
    operation: think
    component: my-prompt@v1.0.0
    condition: ${input.user_id % 2 === 0}
  - name: odd
    component: my-prompt@v1.1.0
    condition: ${input.user_id % 2 === 1}
  - name: after
    component: rules
    condition: ${even.output.ok}
"""
HISTORY = [
    {"at": "2024-11-08T10:30:00Z", "environment": "prod", "version": "v1.0.0", "actor": "ada", "generation": 1},
    {"at": "2024-11-12T14:45:00Z", "environment": "prod", "version": "v1.1.0", "actor": "ada", "generation": 2},
    {"at": "2024-11-12T14:46:00Z", "environment": "prod-canary", "version": "v1.2.0", "generation": 3},
    {"at": "2024-11-12T14:49:00Z", "environment": "prod", "version": "v1.0.0", "actor": "bob", "generation": 4},
]


class Host:
    """An edge over a fake KV; each call is one request of the same isolate."""

    def __init__(self, bundled: Snapshot | None = None, ensembles: dict[str, Plan] | None = None, **variables: Any):
        self.store = FakeStore({"rollout-percentage": "10"})
        self.store.publish(MAP, 7)
        self.time = FakeClock()
        self.behind = Behind()
        self.settings: Settings = read_settings({"ALLOW_ANONYMOUS": "true", "KV_TIMEOUT": "0.05", **variables})
        plans = compile_ensembles({"ensembles/ab.yaml": AB}) if ensembles is None else ensembles
        self.edge = Edge(self.settings, self.time.clock(), lambda: "drawn", plans, bundled)

    def send(self, method: str, target: str, body: object = None, **more: Any) -> Response:
        path, _, query = target.partition("?")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, query, body=data, **more)
        return run(handle(self.edge, request, Platform(self.store, self.behind)))

    def get(self, target: str, **more: Any) -> Response:
        return self.send("GET", target, **more)

    def post(self, target: str, body: object = None, **more: Any) -> Response:
        return self.send("POST", target, body, **more)


@pytest.fixture
def host() -> Host:
    return Host()


def value(response: Response, status: int = 200) -> Any:
    assert response.status == status, response.body
    headers = dict(response.headers)
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        problem = json.loads(response.body)
        assert problem["status"] == status
        assert {"type", "title", "detail"} <= problem.keys()
        return problem
    return json.loads(response.body)


# What a body may hold

HALVES = """
ensemble: halves
agents:
  - {name: cut, component: my-prompt, condition: "${input.text === input.again}"}
  - {name: length, component: my-prompt, condition: "${input.text.length === 5}"}
  - {name: member, component: my-prompt, condition: "${state.x}"}
"""


@pytest.mark.parametrize("half", ["\\ud83d", "\\uDE00", "\\uDE00\\ud83d", "\\ud83d\\ud83d\\ude00"])
def test_a_text_that_was_cut_within_a_character_is_taken_as_it_is(half: str) -> None:
    """`JSON.stringify(s.slice(0, n))` writes half a surrogate pair as an escape."""
    host = Host(ensembles=compile_ensembles({"ensembles/halves.yaml": HALVES}))
    given = f'{{"text": "cut {half}", "again": "cut {half}"}}'
    body = f'{{"input": {given}, "context": {{"state": {{"x": "{half}"}}}}, "key": "{half}"}}'
    answer = value(host.post("/ensembles/halves/resolve", body.encode()))
    assert [agent["selected"] for agent in answer["agents"]] == [True, len(json.loads(f'"{half}"')) == 1, True]
    assert answer["key"] == json.loads(f'"{half}"')


# Resolving an ensemble


def test_a_bundled_ensemble_is_resolved_whole(host: Host) -> None:
    answer = value(host.post("/ensembles/ab/resolve", {"input": {"user_id": 4}, "key": "user-42"}))
    assert answer == {
        "ensemble": "ab",
        "definition": {"version": None, "route": "bundled"},
        "environment": "prod",
        "key": "user-42",
        "snapshot": {"revision": "r7", "generation": 7, "age_ms": 0, "source": "kv"},
        "agents": [
            {
                "name": "even",
                "operation": "think",
                "path": "agents[0]",
                "selected": True,
                "reason": "condition",
                "condition": "${input.user_id % 2 === 0}",
                "references": [
                    {
                        "path": "agents[0].component",
                        "reference": "my-prompt@v1.0.0",
                        "component": "my-prompt",
                        "version": "v1.0.0",
                        "route": "pinned",
                    }
                ],
            },
            {
                "name": "odd",
                "operation": None,
                "path": "agents[1]",
                "selected": False,
                "reason": "condition",
                "condition": "${input.user_id % 2 === 1}",
                "references": [
                    {
                        "path": "agents[1].component",
                        "reference": "my-prompt@v1.1.0",
                        "component": "my-prompt",
                        "version": "v1.1.0",
                        "route": "pinned",
                    }
                ],
            },
            {
                "name": "after",
                "operation": None,
                "path": "agents[2]",
                "selected": None,
                "reason": "needs",
                "condition": "${even.output.ok}",
                "needs": ["even"],
                "references": [
                    {
                        "path": "agents[2].component",
                        "reference": "rules",
                        "component": "rules",
                        "version": "v2.0.0",
                        "route": "pointer",
                    }
                ],
            },
        ],
    }


def test_an_output_that_is_sent_decides(host: Host) -> None:
    for ok in (True, False):
        body = {"input": {"user_id": 1}, "context": {"outputs": {"even": {"ok": ok}}}}
        after = value(host.post("/ensembles/ab/resolve", body))["agents"][2]
        assert after["selected"] is ok
        assert "needs" not in after


@pytest.mark.parametrize("sent", ["customer data from Tuesday", None, 7, [1], {"user_id": 10**400}, {"user_id": "4"}])
def test_input_is_any_json(host: Host, sent: object) -> None:
    value(host.post("/ensembles/ab/resolve", {"input": sent}))


def test_an_ensemble_in_kv_is_a_component_and_parsed_once(host: Host) -> None:
    host.store.put("components/flow/v1.0.0", FLOW)
    host.store.put("components/flow/v2.0.0", FLOW.replace("only", "newer"))
    for target, version, route, agent in [
        ("flow", "v1.0.0", "pointer", "only"),
        ("flow@v1.0.0", "v1.0.0", "pinned", "only"),
        ("flow@staging", "v2.0.0", "pointer", "newer"),
        ("ensembles/flow", "v1.0.0", "pointer", "only"),
    ]:
        answer = value(host.post(f"/ensembles/{target}/resolve", {}))
        assert answer["definition"] == {"version": version, "route": route}
        assert [a["name"] for a in answer["agents"]] == [agent]
    assert sum("components/flow/v1.0.0" in keys for keys in host.store.reads) == 1


def test_a_broken_ensemble_is_422_with_its_place(host: Host) -> None:
    host.store.put("components/flow/v1.0.0", FLOW + "    condition: ${input.a ===}\n")
    problem = value(host.post("/ensembles/flow/resolve", {}), 422)
    assert (problem["file"], problem["line"]) == ("components/flow/v1.0.0", 5)
    assert problem["caret"].splitlines()[1].strip() == "^"
    assert problem["field"] == "agents[0].condition"


def test_unknown_ensembles_say_what_there_is(host: Host) -> None:
    assert "bundled are ab" in value(host.post("/ensembles/nope/resolve", {}), 404)["detail"]
    assert "without the `@`" in value(host.post("/ensembles/ab@prod/resolve", {}), 404)["detail"]
    unknown = value(host.post("/ensembles/flow@v9.9.9/resolve", {}), 404)
    assert unknown["detail"].startswith("unknown version `v9.9.9` of `flow`; it has")
    assert value(host.post("/ensembles/flow/resolve", {}), 404)


def test_the_key_comes_from_the_body_else_the_ensemble_else_is_drawn() -> None:
    keyed = "ensemble: keyed\nrollout: {key: '${input.id}'}\nagents:\n  - name: a\n    component: my-prompt\n"
    host = Host(ensembles=compile_ensembles({"k.yaml": keyed}))
    for body, key in [
        ({"key": "k", "input": {"id": 1}}, "k"),
        ({"input": {"id": 101}}, "101"),
        ({"input": {"id": "101"}}, "101"),
        ({"input": {"id": 1.5}}, "1.5"),
        ({"input": {"id": ""}}, "drawn"),
        ({"input": {}}, "drawn"),
        ({"input": {"id": {"a": 1}}}, "drawn"),
        ({"key": 7}, "7"),
        ({"key": ""}, "drawn"),
    ]:
        assert value(host.post("/ensembles/keyed/resolve", body))["key"] == key, body


def test_the_key_of_an_ensemble_draws_its_own_canary_too() -> None:
    host = Host()
    keyed = FLOW + "rollout: {key: '${input.id}'}\n"
    host.store.publish({**MAP, "flow": {"prod": "v1.0.0", "prod-canary": "v2.0.0"}}, 7)
    host.store.put("rollout-percentage", "50")
    host.store.put("components/flow/v1.0.0", keyed)
    host.store.put("components/flow/v2.0.0", keyed.replace("only", "newer"))
    seen = set()
    for user in range(40):
        answer = value(host.post("/ensembles/flow/resolve", {"input": {"id": user}}))
        again = value(host.post("/ensembles/flow/resolve", {"input": {}, "key": answer["key"]}))
        assert answer["key"] == str(user)
        assert again["definition"] == answer["definition"]
        seen.add(answer["definition"]["version"])
    assert seen == {"v1.0.0", "v2.0.0"}


# References


def resolve(host: Host, *references: str, status: int = 200, **more: Any) -> Any:
    return value(host.post("/resolve", {"references": list(references), "key": "k", **more}), status)


def test_references_are_resolved_in_order(host: Host) -> None:
    host.store.put("index/my-prompt", [{"version": "v1.0.0"}, {"version": "v1.9.0"}, {"version": "v1.10.0"}])
    found = resolve(host, "my-prompt@v1.9.0", "my-prompt@^1.0.0", "my-prompt@stable", "rules", "my-prompt@latest")
    assert [(r["path"], r["version"], r["route"]) for r in found["references"]] == [
        ("references[0]", "v1.9.0", "pinned"),
        ("references[1]", "v1.10.0", "range"),
        ("references[2]", "v1.10.0", "range"),
        ("references[3]", "v2.0.0", "pointer"),
        ("references[4]", "v1.2.0", "pointer"),
    ]


def test_region_and_environment(host: Host) -> None:
    def route(**more: Any) -> tuple[str, str]:
        found = resolve(host, "my-prompt", **more)["references"][0]
        return found["version"], found["route"]

    assert route(region="eu") == ("v1.2.0", "region")
    assert route(region="asia")[0] in ("v1.0.0", "v1.1.0")
    assert route(environment="staging") == ("v1.1.0", "pointer")
    by_platform = value(host.post("/resolve", {"references": ["my-prompt"]}, region="eu"))
    assert by_platform["references"][0]["route"] == "region"
    by_query = value(host.post("/resolve?region=eu&key=k", {"references": ["my-prompt"]}))
    assert (by_query["references"][0]["route"], by_query["region"], by_query["key"]) == ("region", "eu", "k")


@pytest.mark.parametrize(
    ("body", "status", "field", "says"),
    [
        ({"references": []}, 400, "references", "1 to 100"),
        ({"references": ["a"] * 101}, 400, "references", "1 to 100"),
        ({"references": ["rules", "a b"]}, 400, "references[1]", "component name"),
        ({"references": [7]}, 400, "references[0]", "must be a text"),
        ({}, 400, "body", "references"),
        ({"references": ["rules"], "contnet": True}, 400, "body", "content"),
        ({"references": ["rules"], "key": True}, 400, "key", "text or a number"),
        ({"references": ["rules"], "key": [1]}, 400, "key", "text or a number"),
        ({"references": ["rules"], "at": "yesterday"}, 400, "at", "2024-11-12T14:47:00Z"),
        ({"references": ["rules"], "at": "2024-11-12T14:47:00"}, 400, "at", "no offset"),
        ({"references": ["rules"], "at": "2999-01-01T00:00:00Z"}, 400, "at", "future"),
        ({"references": ["rules"], "environment": "a/b"}, 400, "environment", "environment"),
        ({"references": ["rules"], "region": "é"}, 400, "region", "region"),
        ({"references": ["rulse"]}, 404, "references[0]", "Did you mean `rules`?"),
        ({"references": ["rules@prd"]}, 404, "references[0]", "unknown environment `prd` for `rules`; it has prod"),
        ({"references": ["rules@^9"]}, 404, "references[0]", "index/rules"),
        (b"{", 400, "body", "not JSON"),
        (b"\xff", 400, "body", "not JSON"),
        (b'{"references": ["a"], "key": ' + b"[" * 100_000, 400, "body", "nested too deeply"),
        (b" " * (1024 * 1024 + 1), 413, None, "1,048,576"),
    ],
)
def test_bad_bodies(host: Host, body: object, status: int, field: str | None, says: str) -> None:
    problem = value(host.post("/resolve", body), status)
    assert problem.get("field") == field
    assert says in problem["detail"]


# Contents


def test_a_pinned_component_is_cacheable_for_ever(host: Host) -> None:
    host.store.put("components/my-prompt/v1.0.0", "You are …", {"type": "prompt"})
    response = host.get("/components/prompts/my-prompt@v1.0.0")
    headers = dict(response.headers)
    assert response.body == "You are …".encode()
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    assert (headers["x-component-version"], headers["x-component-route"]) == ("v1.0.0", "pinned")
    again = host.get("/components/my-prompt@1.0.0", headers={"if-none-match": headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    head = host.send("HEAD", "/components/my-prompt@v1.0.0")
    assert (head.status, head.body) == (200, b"")
    assert sum("components/my-prompt/v1.0.0" in keys for keys in host.store.reads) == 1


def test_a_pointer_is_never_cached_beyond_the_snapshot(host: Host) -> None:
    host.store.put("components/rules/v2.0.0", "strict")
    assert dict(host.get("/components/rules").headers)["cache-control"] == "private, no-cache"


def test_a_stated_type_is_checked(host: Host) -> None:
    host.store.put("components/rules/v2.0.0", "strict", {"type": "config"})
    assert host.get("/components/config://rules").status == 200
    problem = value(host.get("/components/prompts/rules"), 404)
    assert "asks for a prompt, and `rules` is a config" in problem["detail"]


@pytest.mark.parametrize("text", ["", "null", "42", "ü\n"])
def test_any_text_is_content(host: Host, text: str) -> None:
    host.store.put("components/rules/v2.0.0", text)
    assert host.get("/components/rules").body == text.encode()


@pytest.mark.parametrize(
    "key", ["prompts/rules/v2.0.0", "configs/rules@v2.0.0", "components/queries/rules/v2.0.0", "scripts/rules/v2.0.0"]
)
def test_other_writers_layouts_are_found_on_a_miss(host: Host, key: str) -> None:
    host.store.put(key, "theirs")
    assert host.get("/components/rules").body == b"theirs"


def test_contents_of_an_ensemble_are_one_read_and_unselected_agents_get_none(host: Host) -> None:
    host.store.put("components/my-prompt/v1.0.0", "even")
    host.store.put("components/rules/v2.0.0", "rules")
    body = {"input": {"user_id": 4}, "content": True}
    agents = value(host.post("/ensembles/ab/resolve", body))["agents"]
    assert [a["references"][0].get("content") for a in agents] == ["even", None, "rules"]
    assert len(host.store.reads) == 2
    value(host.post("/ensembles/ab/resolve", body))
    assert len(host.store.reads) == 2


def test_of_a_group_no_canary_runs_where_the_content_of_one_is_missing() -> None:
    text = "ensemble: pair\nrollout: {group: g}\nagents: [{name: a, component: one}, {name: b, component: two}]"
    host = Host(ensembles=compile_ensembles({"ensembles/pair.yaml": text}))
    pointers = {"prod": "v1.0.0", "prod-canary": "v1.1.0"}
    host.store.publish({"one": pointers, "two": pointers}, 8)
    host.store.put("rollout-percentage", "100")
    for key in ("one/v1.0.0", "two/v1.0.0", "two/v1.1.0"):
        host.store.put(f"components/{key}", key)

    def found() -> list[dict[str, Any]]:
        answer = value(host.post("/ensembles/pair/resolve", {"key": "k", "content": True}))
        return [agent["references"][0] for agent in answer["agents"]]

    assert [(reference["content"], reference["route"]) for reference in found()] == [
        ("one/v1.0.0", "pointer"),
        ("two/v1.0.0", "pointer"),
    ]
    assert {reference["note"] for reference in found()} == {
        "the content of the canary `one` v1.1.0 is missing; the stable version is served"
    }
    host.store.put("components/one/v1.1.0", "one/v1.1.0")
    assert [reference["content"] for reference in found()] == ["one/v1.1.0", "two/v1.1.0"]


def test_a_canary_without_content_gives_way_and_says_so(host: Host) -> None:
    host.store.put("rollout-percentage", "100")
    host.store.put("components/my-prompt/v1.0.0", "stable")
    (found,) = resolve(host, "my-prompt", content=True)["references"]
    assert (found["version"], found["route"], found["content"]) == ("v1.0.0", "pointer", "stable")
    assert "v1.1.0 is missing" in found["note"]
    response = host.get("/components/my-prompt")
    assert "v1.1.0 is missing" in dict(response.headers)["x-resolver-note"]
    host.store.put("components/my-prompt/v1.1.0", "canary")
    (found,) = resolve(host, "my-prompt", content=True)["references"]
    assert (found["version"], found["route"], found["content"]) == ("v1.1.0", "canary", "canary")


def test_content_that_is_nowhere_is_not_found(host: Host) -> None:
    assert "no content of `rules` v2.0.0" in resolve(host, "rules", content=True, status=404)["detail"]


# What is live, and what was


def test_version(host: Host) -> None:
    assert value(host.get("/version")) == {
        "environment": "prod",
        "components": {"flow": "v1.0.0", "my-prompt": "v1.0.0", "rules": "v2.0.0"},
    }
    assert value(host.get("/version?component=rules"))["components"] == {"rules": "v2.0.0"}
    assert value(host.get("/version?environment=prod-eu"))["components"] == {"my-prompt": "v1.2.0"}
    assert "Did you mean `prod`?" in value(host.get("/version?environment=prd"), 404)["detail"]
    assert "Did you mean `rules`?" in value(host.get("/version?component=rulse"), 404)["detail"]
    assert "unknown query parameter" in value(host.get("/version?enviroment=prod"), 400)["detail"]
    assert "twice" in value(host.get("/version?component=a&component=b"), 400)["detail"]
    debug = Host(ENVIRONMENT="staging")
    assert value(debug.get("/version"))["environment"] == "staging"


def test_a_pointer_does_not_take_a_range_by_its_name(host: Host) -> None:
    host.store.publish({"my-prompt": {"prod": "v1.0.0", "range": "v9.0.0", "x": "v9.0.0"}}, 8)
    host.store.put("index/my-prompt", [{"version": "v1.0.0"}, {"version": "v1.4.0"}])
    for selector, version in (("x", "v1.4.0"), ("^1.0.0", "v1.4.0"), ("range", "v9.0.0")):
        assert resolve(host, f"my-prompt@{selector}")["references"][0]["version"] == version


def test_a_withdrawn_version_is_only_for_who_writes_it_out(host: Host) -> None:
    turns = ["2024-11-12T15:00:00Z"]
    versions = [{"version": "v1.0.0"}, {"version": "v1.4.0", "withdrawn": turns}]
    host.store.publish({"my-prompt": {"prod": "v1.4.0"}}, 8)
    host.store.put("index/my-prompt", versions)
    host.store.put("components/my-prompt/v1.4.0", "text")
    host.store.put("history/my-prompt", HISTORY)
    chosen = {"^1.0.0": "v1.0.0", "latest": "v1.0.0", "stable": "v1.0.0", "v1.4.0": "v1.4.0", "prod": "v1.4.0"}
    for selector, version in chosen.items():
        assert resolve(host, f"my-prompt@{selector}")["references"][0]["version"] == version
    for at, version in (("2024-11-12T14:59:59Z", "v1.4.0"), ("2024-11-12T15:00:00Z", "v1.0.0")):
        assert resolve(host, "my-prompt@^1.0.0", at=at)["references"][0]["version"] == version
    body = {"references": ["my-prompt@~1.4.0"], "key": "k"}
    assert "no version of `my-prompt` lies in `~1.4.0`" in value(host.post("/resolve", body), 404)["detail"]


@pytest.fixture
def past() -> Host:
    host = Host()
    host.store.put("history/my-prompt", HISTORY)
    host.store.put("index/my-prompt", [{"version": "v1.1.0", "at": "2024-11-12T14:00:00Z"}, {"version": "v1.0.0"}])
    host.store.put("rollout-history", [{"at": "2024-11-12T14:48:00Z", "value": 100}])
    return host


def test_history_of_a_component_is_newest_first(past: Host) -> None:
    answer = value(past.get("/history/my-prompt"))
    assert answer["component"] == "my-prompt"
    assert [move["generation"] for move in answer["moves"]] == [4, 3, 2, 1]
    assert answer["moves"][0] == {
        "at": "2024-11-12T14:49:00Z",
        "environment": "prod",
        "version": "v1.0.0",
        "actor": "bob",
        "generation": 4,
        "published_at": None,
    }
    assert "there is one of my-prompt" in value(past.get("/history/nope"), 404)["detail"]


@pytest.mark.parametrize(
    ("at", "live"),
    [
        ("2024-11-08T10:29:59Z", {}),
        ("2024-11-08T10:30:00Z", {"my-prompt": "v1.0.0"}),
        ("2024-11-12T14:47:00Z", {"my-prompt": "v1.1.0"}),
        ("2024-11-12T15:47:00%2B01:00", {"my-prompt": "v1.1.0"}),
        ("2024-11-12T15:47:00+01:00", {"my-prompt": "v1.1.0"}),
        ("2024-11-12T14:49:00Z", {"my-prompt": "v1.0.0"}),
    ],
)
def test_state_at_an_instant(past: Host, at: str, live: dict[str, str]) -> None:
    answer = value(past.get(f"/history?at={at}"))
    assert answer["components"] == live
    assert answer["at"].endswith("Z")
    assert value(past.get(f"/version?at={at}")) == answer


def test_an_instant_is_wanted_and_must_be_one(past: Host) -> None:
    assert "say which instant" in value(past.get("/history"), 400)["detail"]
    assert "no offset" in value(past.get("/history?at=2024-11-12T14:47:00"), 400)["detail"]


def test_the_past_is_resolved_as_it_was(past: Host) -> None:
    tuesday = resolve(past, "my-prompt@prod", "my-prompt@^1.0.0", at="2024-11-12T14:47:00Z")
    assert tuesday["snapshot"]["source"] == "history"
    assert [r["version"] for r in tuesday["references"]] == ["v1.1.0", "v1.1.0"]
    # A canary existed and its percentage is not recorded: stable, and said.
    assert "not known" in tuesday["references"][0]["note"]
    later = resolve(past, "my-prompt@prod", at="2024-11-12T14:48:30Z")["references"][0]
    assert (later["version"], later["route"]) == ("v1.2.0", "canary")
    # A percentage that is for another canary version was nobody's then, as it is today.
    for version, route in (("v1.1.0", "pointer"), ("v1.2.0", "canary")):
        value_then = {"my-prompt": {"percent": 100, "version": version}}
        past.store.put("rollout-history", [{"at": "2024-11-12T14:48:00Z", "value": value_then}])
        assert resolve(past, "my-prompt@prod", at="2024-11-12T14:48:30Z")["references"][0]["route"] == route
    before = resolve(past, "my-prompt@^1.0.0", at="2024-11-12T13:00:00Z")["references"][0]
    assert before["version"] == "v1.0.0"
    assert resolve(past, "rules", at="2024-11-12T14:47:00Z", status=404)
    assert past.store.reads[-1] == ["rollout-history", "history/rules"]


def test_an_ensemble_is_resolved_as_it_was(past: Host) -> None:
    past.store.put("components/flow/v1.0.0", FLOW)
    past.store.put(
        "history/flow", [{"at": "2024-11-01T00:00:00Z", "environment": "prod", "version": "v1.0.0", "generation": 1}]
    )
    answer = value(past.post("/ensembles/flow/resolve", {"at": "2024-11-12T14:47:00Z"}))
    assert (answer["at"], answer["definition"]["version"]) == ("2024-11-12T14:47:00Z", "v1.0.0")
    assert answer["agents"][0]["references"][0]["version"] == "v1.1.0"


# Failure


def test_kv_down_is_503_and_never_not_found() -> None:
    host = Host()
    host.store.mode = "fail"
    for response in (
        host.post("/resolve", {"references": ["nope"]}),
        host.get("/components/nope@v1.0.0"),
        host.get("/history/nope"),
        host.get("/history?at=2024-11-12T14:47:00Z"),
        host.post("/ensembles/nope/resolve"),
        host.get("/version"),
    ):
        value(response, 503)
        assert dict(response.headers)["retry-after"] == "1"
    health = host.get("/health")
    assert (health.status, json.loads(health.body)["status"]) == (503, "down")


def test_a_store_that_never_answers_is_bounded(host: Host) -> None:
    host.store.mode = "stall"
    assert "within 50 ms" in value(host.get("/version"), 503)["detail"]


def test_the_last_good_snapshot_is_served_and_said(host: Host) -> None:
    resolve(host, "rules")
    host.store.mode = "fail"
    host.time.time += 3600
    response = host.post("/resolve", {"references": ["rules"]})
    answer = value(response)
    assert answer["snapshot"]["age_ms"] == 3_600_000
    assert "KV is on fire" in dict(response.headers)["x-resolver-stale"]
    health = value(host.get("/health"))
    assert health["status"] == "degraded"
    assert "KV is on fire" in health["last_error"]
    # But a content that was never read is not "not found".
    value(host.get("/components/rules@v7.0.0"), 503)


def test_a_snapshot_that_is_only_due_for_a_refresh_is_not_called_stale(host: Host) -> None:
    for later in (0, 6, 20):
        host.time.time += later
        for response in (host.post("/resolve", {"references": ["rules"]}), host.post("/ensembles/ab/resolve", {})):
            assert "x-resolver-stale" not in dict(response.headers)
    host.behind.lose()


def test_a_bundled_snapshot_says_that_it_is_one() -> None:
    host = Host(bundled=Snapshot(MAP, generation=3, revision="built"))
    host.store.mode = "fail"
    answer = resolve(host, "rules")
    assert answer["snapshot"] == {"revision": "built", "generation": 3, "age_ms": 0, "source": "bundled"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/resolve", {"references": ["new-prompt"]}),
        ("/resolve", {"references": ["my-prompt@new-environment"]}),
        ("/ensembles/new-flow/resolve", {}),
        ("/components/new-prompt@prod", None),
        ("/version?component=new-prompt", None),
        ("/version?environment=new-environment", None),
    ],
)
def test_what_a_bundled_snapshot_does_not_know_may_be_there_all_the_same(path: str, body: object) -> None:
    host = Host(bundled=Snapshot(MAP, generation=3, revision="built"))
    host.store.mode = "fail"
    answer = host.get(path) if body is None else host.post(path, body)
    found = value(answer, 503)
    assert "the snapshot that this deployment carries does not have it" in found["detail"]
    assert dict(answer.headers)["retry-after"] == "1"
    # Once KV answers it is known that it is not there.
    host.store.mode = "ok"
    host.store.publish(MAP, generation=4)
    host.time.time += 60
    value(host.get(path) if body is None else host.post(path, body), 404)


def test_an_answer_is_of_one_snapshot_though_another_one_is_read_meanwhile() -> None:
    host = Host(bundled=Snapshot(MAP, generation=3, revision="built"))
    host.store.publish({**MAP, "new-prompt": {"prod": "v3.0.0"}}, 8)
    host.store.put("index/my-prompt", [{"version": "v1.0.0"}])

    async def scenario() -> tuple[Response, Response]:
        def post(*references: str) -> Coroutine[Any, Any, Response]:
            body = json.dumps({"references": references}).encode()
            return handle(host.edge, Request("POST", "/resolve", body=body), Platform(host.store, host.behind))

        host.store.mode = "fail"
        value(await post("my-prompt"))
        # These two have the bundled snapshot, and wait for a list of versions;
        host.store.mode, host.store.gate = "ok", asyncio.Event()
        known = asyncio.ensure_future(post("my-prompt@^1.0.0"))
        unknown = asyncio.ensure_future(post("my-prompt@^1.0.0", "new-prompt"))
        await asyncio.sleep(0.001)
        assert host.store.reads[-1] == ["index/my-prompt"]
        # meanwhile another one reads the map.
        gate, host.store.gate = host.store.gate, None
        host.time.time += 2
        assert value(await post("my-prompt"))["snapshot"]["generation"] == 8
        gate.set()
        return await known, await unknown

    known, unknown = run(scenario())
    assert value(known)["snapshot"]["source"] == "bundled"
    assert "KV is on fire" in dict(known.headers)["x-resolver-stale"]
    # What the bundled one does not know is not known; whoever asks again has the other one.
    assert "new-prompt" in value(unknown, 503)["detail"]
    assert resolve(host, "new-prompt")["references"][0]["version"] == "v3.0.0"


def test_a_stale_answer_says_so_though_a_fresh_snapshot_comes_while_it_is_made() -> None:
    host = Host(READ_BUDGET="0.01")
    value(host.post("/resolve", {"references": ["rules"]}))
    host.store.put("index/my-prompt", [{"version": "v1.0.0"}])

    async def scenario() -> tuple[Response, Response]:
        def post(reference: str) -> Coroutine[Any, Any, Response]:
            body = json.dumps({"references": [reference]}).encode()
            return handle(host.edge, Request("POST", "/resolve", body=body), Platform(host.store, host.behind))

        host.time.time += 60
        host.store.mode = "fail"
        value(await post("rules"))
        host.store.mode, host.store.gate = "ok", asyncio.Event()
        waiting = asyncio.ensure_future(post("my-prompt@^1.0.0"))
        await asyncio.sleep(0.001)
        assert host.store.reads[-1] == ["index/my-prompt"]
        gate, host.store.gate = host.store.gate, None
        host.time.time += 2
        fresh = await post("rules")
        gate.set()
        return await waiting, fresh

    waiting, fresh = run(scenario())
    assert value(waiting)["snapshot"]["age_ms"] == 60_000
    assert "KV is on fire" in dict(waiting.headers)["x-resolver-stale"]
    assert value(fresh)["snapshot"]["age_ms"] == 0
    assert "x-resolver-stale" not in dict(fresh.headers)


def test_health_names_dropped_entries_to_authorised_callers_only() -> None:
    host = Host(ALLOW_ANONYMOUS="false", RESOLVER_TOKEN="secret")
    host.store.publish({**MAP, "broken": None}, 7)
    anyone = value(host.get("/health"))
    assert (anyone["status"], anyone["dropped"], anyone["problems"]) == ("degraded", 1, None)
    operator = value(host.get("/health", headers={"authorization": "Bearer secret"}))
    assert operator["problems"] == ["component-versions: broken: `null` is not an object environment → version"]


@pytest.mark.parametrize(
    ("variables", "shown", "status"),
    [
        ({"RESOLVER_TOKEN": "s"}, None, 401),
        ({"RESOLVER_TOKEN": "s"}, "Bearer t", 401),
        ({"RESOLVER_TOKEN": "s"}, "Basic s", 401),
        ({"RESOLVER_TOKEN": "s"}, "Bearer é", 401),
        ({"RESOLVER_TOKEN": "s"}, "Bearer s", 200),
        ({"RESOLVER_TOKEN": "s"}, "bearer  s", 200),
        ({}, None, 401),
        ({}, "Bearer ", 401),
    ],
)
def test_authorisation(variables: dict[str, Any], shown: str | None, status: int) -> None:
    host = Host(ALLOW_ANONYMOUS="false", **variables)
    headers = {} if shown is None else {"authorization": shown}
    response = host.get("/version", headers=headers)
    value(response, status)
    assert ("www-authenticate" in dict(response.headers)) == (status == 401)
    assert host.get("/health", headers=headers).status == 200


def test_methods_and_paths(host: Host) -> None:
    for method, target, allowed in [
        ("POST", "/version", "GET, HEAD"),
        ("GET", "/resolve", "POST"),
        ("DELETE", "/components/a@v1.0.0", "GET, HEAD"),
        ("PUT", "/ensembles/ab/resolve", "POST"),
    ]:
        response = host.send(method, target)
        value(response, 405)
        assert dict(response.headers)["allow"] == allowed
    for target in ("/", "/nope", "/ensembles/ab", "/resolve/x", "/components", "/version/x", "//"):
        assert "POST /resolve" in value(host.get(target), 404)["detail"]


def test_an_unexpected_fault_is_still_an_answer(host: Host) -> None:
    broken: Any = None
    response = run(handle(host.edge, Request("GET", "/version"), broken))
    assert "AttributeError inside the resolver" in value(response, 500)["detail"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "HEAD", "X"]),
    st.one_of(st.text(), st.from_regex(r"/(components|ensembles|history|version|resolve)/?.{0,20}(/resolve)?")),
    st.text(max_size=30),
    st.binary(max_size=60),
)
def test_anything_at_all_is_answered(method: str, path: str, query: str, body: bytes) -> None:
    response = Host().send(method, f"{path.replace('?', '')}?{query}", body)
    assert response.status < 500


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_any_input_is_answered(sent: object) -> None:
    host = Host()
    assert host.post("/ensembles/ab/resolve", {"input": {"user_id": sent}}).status == 200
    assert host.post("/ensembles/ab/resolve", {"input": sent, "key": sent}).status in (200, 400)


# The ensemble itself


def test_an_ensemble_has_a_canary_like_any_component(host: Host) -> None:
    host.store.publish({**MAP, "flow": {"prod": "v1.0.0", "prod-canary": "v2.0.0"}}, 7)
    host.store.put("rollout-percentage", {"flow": 100})
    host.store.put("components/flow/v1.0.0", FLOW)
    # Its content is missing: the stable one is resolved, and the answer names that.
    answer = value(host.post("/ensembles/flow/resolve", {"key": "k"}))
    assert answer["definition"] == {"version": "v1.0.0", "route": "pointer"}
    host.store.put("components/flow/v2.0.0", FLOW.replace("only", "newer"))
    answer = value(host.post("/ensembles/flow/resolve", {"key": "k"}))
    assert answer["definition"] == {"version": "v2.0.0", "route": "canary"}
    assert answer["agents"][0]["name"] == "newer"


def test_an_ensemble_is_drawn_by_the_key_that_the_answer_returns(host: Host) -> None:
    host.store.publish({**MAP, "flow": {"prod": "v1.0.0", "prod-canary": "v2.0.0"}}, 7)
    host.store.put("rollout-percentage", {"flow": 50})
    for version in ("v1.0.0", "v2.0.0"):
        host.store.put(f"components/flow/{version}", FLOW)
    routes = set()
    for number in range(40):
        first = value(host.post("/ensembles/flow/resolve", {"key": f"user-{number}"}))
        assert value(host.post("/ensembles/flow/resolve", {"key": first["key"]})) == first
        routes.add(first["definition"]["route"])
    assert routes == {"pointer", "canary"}


def test_an_ensemble_is_parsed_once_even_where_its_text_is_not_kept(host: Host) -> None:
    host.edge.contents.kept = ContentCache(0)
    host.store.put("components/flow/v1.0.0", FLOW)
    first = value(host.post("/ensembles/flow/resolve", {"key": "k"}))
    assert value(host.post("/ensembles/flow/resolve", {"key": "k"})) == first
    assert [keys for keys in host.store.reads if "components/flow/v1.0.0" in keys] == [["components/flow/v1.0.0"]]


def test_a_drawn_key_repeats_the_request(host: Host) -> None:
    first = value(host.post("/ensembles/ab/resolve", {"input": {"user_id": 4}}))
    assert first["key"] == "drawn"
    assert value(host.post("/ensembles/ab/resolve?key=drawn", {"input": {"user_id": 4}})) == first


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "a: [", "a: " + "[" * 20_000, "\t", "ensemble: x\nagents: 7\n", "\x00"]
)
def test_what_is_no_ensemble_is_422_and_not_the_callers_fault(host: Host, text: str) -> None:
    host.store.put("components/flow/v1.0.0", text)
    assert value(host.post("/ensembles/flow/resolve", {}), 422)["file"] == "components/flow/v1.0.0"
    # It spoils itself alone.
    value(host.post("/ensembles/ab/resolve", {"input": {"user_id": 1}}))


def test_empty_contents_are_contents_in_an_ensemble_too(host: Host) -> None:
    host.store.put("components/my-prompt/v1.0.0", "")
    host.store.put("components/rules/v2.0.0", "null")
    body = {"input": {"user_id": 4}, "content": True}
    for _ in range(2):
        agents = value(host.post("/ensembles/ab/resolve", body))["agents"]
        assert [agent["references"][0].get("content") for agent in agents] == ["", None, "null"]
    assert len(host.store.reads) == 2


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"inputs": {}}, "body", "input"),
        ({"context": []}, "context", "object"),
        ({"context": {"outputs": [1]}}, "context.outputs", "agent → output"),
        ({"content": "true"}, "content", "true or false"),
        ({"environment": 7}, "environment", "must be a text, and it is a number"),
        ({"key": 1.5, "at": 7}, "at", "must be a text"),
        ({"key": False}, "key", "text or a number"),
        ({"key": {}}, "key", "text or a number"),
        ([], "body", "object"),
        ("text", "body", "object"),
        (b"nul", "body", "not JSON"),
        (b'{"key": "\\ud800"', "body", "not JSON"),
        (b'{"key": "\\ud800", "input": NaN}', "body", "not JSON"),
        (b'{"key": "\\ud800", "input": Infinity}', "body", "not JSON"),
        (b'{"kye": "\\ud800"}', "body", "unknown field `kye`"),
        (b"\xef\xbb\xbf{}", "body", "byte order mark"),
        ("{}".encode("utf-16"), "body", "UTF-16"),
        ("{}".encode("utf-16-be"), "body", "UTF-16"),
        (b"{} {}", "body", "not JSON"),
        (b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body", "nested too deeply"),
        (b'{"context": ' + b'{"a":' * 100_000, "body", "nested too deeply"),
    ],
)
def test_bad_bodies_of_an_ensemble(host: Host, body: object, field: str | None, says: str) -> None:
    problem = value(host.post("/ensembles/ab/resolve", body), 400)
    assert problem.get("field") == field
    assert says in problem["detail"]


@pytest.mark.parametrize(
    ("key", "text"), [(1.5, "1.5"), (-0.0, "0"), (1e21, "1e+21"), (2**53, "9007199254740992"), ("ü 😀", "ü 😀")]
)
def test_a_key_is_written_as_javascript_writes_it(host: Host, key: object, text: str) -> None:
    assert value(host.post("/ensembles/ab/resolve", {"key": key}))["key"] == text


# Up to the limits


def test_a_hundred_references_are_one_read_of_the_contents(host: Host) -> None:
    names = [f"c{number}" for number in range(100)]
    host.store.publish({name: {"prod": "v1.0.0"} for name in names}, 7)
    for name in names:
        host.store.put(f"components/{name}/v1.0.0", name)
    found = resolve(host, *names, content=True)["references"]
    assert [reference["content"] for reference in found] == names
    assert [len(keys) for keys in host.store.reads] == [2, 100]


def test_a_body_of_exactly_the_limit_is_read(host: Host) -> None:
    body = b'{"references": ["rules"]}'
    value(host.post("/resolve", body + b" " * (1024 * 1024 - len(body))))


def test_a_large_body_is_no_way_to_tell_whether_a_token_is_right() -> None:
    host = Host(ALLOW_ANONYMOUS="false", RESOLVER_TOKEN="s")
    value(host.post("/resolve", b" " * (1024 * 1024 + 1)), 401)


def test_names_and_versions_too_long_for_a_key_of_kv_are_not_found(host: Host) -> None:
    reference = "x" * 256 + "@v1.0.0-" + "a" * 240
    assert "unknown component" in resolve(host, reference, content=True, status=404)["detail"]
    value(host.get(f"/version?at=2024-11-12T14:47:00Z&component={'x' * 600}"), 400)
    assert max(len(key.encode()) for keys in host.store.reads for key in keys) <= 512


def test_unknown_names_in_ranges_do_not_burden_later_refreshes(host: Host) -> None:
    for number in range(30):
        resolve(host, f"slip-{number}@^1.0.0", status=404)
    host.time.time += 31
    resolve(host, "rules")
    assert host.store.reads[-1] == ["component-versions", "rollout-percentage"]


# Components


def test_headers_are_ascii_on_one_line_whatever_the_key(host: Host) -> None:
    host.store.put("components/rules/v2.0.0", "strict")
    response = host.get("/components/rules?key=%0D%0ASet-Cookie:%20x%F0%9F%98%80")
    for name, text in response.headers:
        assert (name + text).isascii(), name
        assert (name + text).isprintable(), name
    assert dict(response.headers)["x-resolver-key"] == "%0D%0ASet-Cookie:%20x%F0%9F%98%80"


def test_what_kv_complains_of_is_a_header_of_printable_characters(host: Host) -> None:
    class Odd(FakeStore):
        async def get_many(self, keys: Sequence[str]) -> Mapping[str, Entry | None]:
            raise OSError(f"\x00\x7f\r\né {len(keys)}")

    value(host.get("/version"))
    host.store = Odd()
    host.time.time += 3600
    stale = dict(host.get("/version").headers)["x-resolver-stale"]
    assert stale == "KV failed: OSError: ? 2"


@pytest.mark.parametrize("shown", ["{}", "W/{}", '"other", {}', "*", '"a",W/{}'])
def test_an_etag_is_found_again_however_it_is_sent(host: Host, shown: str) -> None:
    host.store.put("components/rules/v2.0.0", "strict")
    etag = dict(host.get("/components/rules").headers)["etag"]
    response = host.get("/components/rules", headers={"if-none-match": shown.format(etag)})
    assert (response.status, response.body) == (304, b"")
    assert {"etag", "cache-control", "x-component-version"} <= dict(response.headers).keys()
    assert host.get("/components/rules", headers={"if-none-match": '"other"'}).status == 200


def test_an_etag_changes_with_the_content_alone(host: Host) -> None:
    host.store.put("components/rules/v2.0.0", "strict")
    host.store.put("components/my-prompt/v1.0.0", "strict")
    host.store.put("components/my-prompt/v1.2.0", "loose")
    tags = [
        dict(host.get(f"/components/{name}").headers)["etag"]
        for name in ("rules", "my-prompt@v1.0.0", "my-prompt@v1.2.0")
    ]
    assert tags[0] == tags[1] != tags[2]


def test_a_region_of_the_platform_gives_way_to_one_that_is_asked_for(host: Host) -> None:
    host.store.put("components/my-prompt/v1.2.0", "eu")
    host.store.put("components/my-prompt/v1.0.0", "elsewhere")
    host.store.put("rollout-percentage", "0")
    assert host.get("/components/my-prompt", region="eu").body == b"eu"
    assert host.get("/components/my-prompt?region=us", region="eu").body == b"elsewhere"
    assert host.get("/components/my-prompt?region=eu", region="us").body == b"eu"


@pytest.mark.parametrize("name", ["", "@v1.0.0", "a@", "a@@b", "a b", "../secret", "a@v1", "nope://a", "%00", "%ff%fe"])
def test_what_is_no_reference_is_400_or_404_and_asks_kv_for_no_content(host: Host, name: str) -> None:
    response = host.get(f"/components/{name}")
    assert response.status in (400, 404)
    assert all(
        key in ("component-versions", "rollout-percentage") or "index/" in key for k in host.store.reads for key in k
    )


# Instants


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("at=", "not an instant"),
        ("at=2024-11-12 14:47", "`2024-11-12 14:47` has no offset"),
        ("at=2024-11-12+14:47", "`2024-11-12 14:47` has no offset"),
        ("at=2024-11-12T14:47:00", "no offset"),
        ("at=2024-11-12", "no offset"),
        ("at=2024-13-12T14:47:00Z", "not an instant"),
        ("at=0001-01-01T00:00:00%2B01:00", "not an instant"),
        ("at=2999-01-01T00:00:00Z", "future"),
        ("at=" + "%3A" * 20_000 + "%20", "not an instant"),
        ("at=2024-11-12T14:47:00Z&at=2024-11-12T14:47:00Z", "twice"),
        ("when=now", "unknown query parameter"),
    ],
)
@pytest.mark.parametrize("path", ["/history", "/version"])
def test_bad_instants(past: Host, path: str, query: str, says: str) -> None:
    assert says in value(past.get(f"{path}?{query}"), 400)["detail"]


@pytest.mark.parametrize("offset", ["+01:00", "%2B01:00", "+0100", "%2B0100", "%20+01:00"[3:]])
def test_an_offset_may_stand_unescaped_after_a_time_of_any_form(past: Host, offset: str) -> None:
    for time in ("2024-11-12T15:47", "2024-11-12T15:47:00", "2024-11-12T15:47:00.000", "2024-11-12%2015:47:00"):
        assert value(past.get(f"/version?at={time}{offset}"))["at"] == "2024-11-12T14:47:00Z"


def test_the_percentage_of_an_instant_and_not_of_now(past: Host) -> None:
    past.store.put("rollout-percentage", "0")
    then = resolve(past, "my-prompt@prod", at="2024-11-12T14:48:00Z")["references"][0]
    assert (then["version"], then["route"]) == ("v1.2.0", "canary")
    past.store.put("rollout-percentage", "100")
    before = resolve(past, "my-prompt@prod", at="2024-11-12T14:47:59Z")["references"][0]
    assert (before["version"], before["route"]) == ("v1.1.0", "pointer")


def test_contents_of_an_instant(past: Host) -> None:
    past.store.put("components/my-prompt/v1.1.0", "then")
    response = past.get("/components/my-prompt?at=2024-11-12T14:47:00Z")
    headers = dict(response.headers)
    assert (response.body, headers["x-component-version"]) == (b"then", "v1.1.0")
    assert headers["cache-control"] == "private, no-cache"


def test_the_past_needs_no_snapshot_of_now(past: Host) -> None:
    del past.store.entries["component-versions"]
    assert value(past.get("/version?at=2024-11-12T14:47:00Z"))["components"] == {"my-prompt": "v1.1.0"}
    assert all("component-versions" not in keys for keys in past.store.reads)


# Failure, once more


def test_every_answer_from_an_old_snapshot_says_so_and_the_past_and_pins_do_not(past: Host) -> None:
    past.store.put("components/rules/v2.0.0", "strict")
    past.store.put("components/my-prompt/v1.1.0", "then")
    for warm in ("/components/rules", "/components/my-prompt@v1.1.0"):
        assert past.get(warm).status == 200
    past.store.mode = "fail"
    past.time.time += 3600

    def stale(response: Response) -> bool:
        assert response.status == 200, response.body
        return "x-resolver-stale" in dict(response.headers)

    assert stale(past.get("/version"))
    assert stale(past.get("/version?component=rules"))
    assert stale(past.get("/components/rules"))
    assert not stale(past.get("/components/my-prompt@v1.1.0"))
    assert stale(past.post("/resolve", {"references": ["rules"]}))
    assert stale(past.post("/ensembles/ab/resolve", {"input": {"user_id": 4}}))
    past.store.mode = "ok"
    past.store.publish(MAP, 6)
    past.time.time += 2
    assert "generation 6" in dict(past.get("/version").headers)["x-resolver-stale"]
    assert not stale(past.get("/version?at=2024-11-12T14:47:00Z"))
    past.store.publish(MAP, 8)
    past.time.time += 2
    assert not stale(past.get("/version"))


@pytest.mark.parametrize("mode", ["fail", "stall", "lie", "nothing"])
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/resolve", {"references": ["nope"]}),
        ("POST", "/ensembles/nope/resolve", {}),
        ("GET", "/components/nope", None),
        ("GET", "/components/nope@v1.0.0", None),
        ("HEAD", "/components/nope@v1.0.0", None),
        ("GET", "/version?component=nope", None),
        ("GET", "/history/nope", None),
        ("GET", "/version?at=2024-11-12T14:47:00Z&component=nope", None),
    ],
)
def test_no_kind_of_failure_is_answered_as_not_found(mode: str, method: str, target: str, body: object) -> None:
    host = Host()
    host.store.mode = mode
    response = host.send(method, target, body)
    assert response.status == 503
    assert dict(response.headers)["retry-after"] == "1"
    assert (response.body == b"") == (method == "HEAD")


def test_a_canary_whose_content_cannot_be_read_does_not_give_way_unsaid(host: Host) -> None:
    host.store.put("rollout-percentage", "100")
    host.store.put("components/my-prompt/v1.0.0", "stable")
    resolve(host, "my-prompt")
    host.store.mode = "fail"
    resolve(host, "my-prompt", content=True, status=503)


@pytest.mark.parametrize("text", ["{", "[{]", "null", "7", ""])
def test_an_unreadable_history_is_not_an_empty_one(past: Host, text: str) -> None:
    past.store.put("history/my-prompt", text)
    for target in ("/history/my-prompt", "/version?at=2024-11-12T14:47:00Z"):
        assert value(past.get(target), 503)["field"] == "history/my-prompt"


def test_text_that_has_no_utf8_is_answered_all_the_same(host: Host) -> None:
    value(host.get("/\ud800"), 404)
    host.store.put("component-versions", MAP, {"generation": 7, "revision": "\ud800"})
    host.store.put("rollout-percentage", "\ud800")
    host.store.put("components/rules/v2.0.0", "a\ud800")
    answer = resolve(host, "rules", content=True)
    assert (answer["snapshot"]["revision"], answer["references"][0]["content"]) == ("\ud800", "a\ud800")
    assert host.get("/components/rules").body == b"a?"
    assert value(host.get("/health"))["dropped"] == 1


def test_health_counts(host: Host) -> None:
    host.store.put("components/rules/v2.0.0", "ü")
    for target in ("/components/rules", "/components/rules", "/nope"):
        host.get(target)
    assert value(host.get("/health")) == {
        "status": "ok",
        "snapshot": {"revision": "r7", "generation": 7, "age_ms": 0, "source": "kv"},
        "stale": None,
        "last_error": None,
        "dropped": 0,
        "problems": [],
        "counters": {
            "requests": 4,
            "errors": 1,
            "refreshes": 1,
            "refresh_failures": 0,
            "content_hits": 1,
            "content_misses": 1,
            "content_bytes": 2,
        },
    }


def test_health_is_answered_to_get_and_head_alone(host: Host) -> None:
    value(host.post("/health"), 405)
    response = host.send("HEAD", "/health")
    assert (response.status, response.body) == (200, b"")


def test_a_problem_names_its_kind(host: Host) -> None:
    assert value(host.get("/version?component=nope"), 404) == {
        "type": "urn:edge-resolver:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "unknown component `nope`; there are flow, my-prompt, rules",
        "field": "component",
    }
    problem = value(host.post("/resolve", {"references": ["my prompt"]}), 400)
    assert (problem["type"], problem["field"]) == ("urn:edge-resolver:malformed-reference", "references[0]")
    assert problem["caret"] == "my prompt\n  ^"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["/resolve", "/ensembles/ab/resolve", "/ensembles/flow/resolve"]),
    st.dictionaries(
        st.sampled_from(["references", "key", "at", "environment", "region", "content", "input", "context", "x"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=20)
        | st.lists(st.text(max_size=20), max_size=3)
        | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
        | st.sampled_from(["rules@^1.0.0", "2024-11-12T14:47:00Z", "prod", "eu"]),
    ),
)
def test_bodies_that_are_nearly_right_are_answered(path: str, body: dict[str, object]) -> None:
    response = Host().post(path, body)
    assert response.status < 500, response.body
    json.loads(response.body)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["component-versions", "rollout-percentage"]), st.text(max_size=40)), st.text())
def test_whatever_stands_in_kv_is_answered(documents: dict[str, str], content: str) -> None:
    host = Host()
    for key, text in documents.items():
        host.store.put(key, text)
    for name in (
        "history/rules",
        "index/rules",
        "rollout-history",
        "components/rules/v2.0.0",
        "components/flow/v1.0.0",
    ):
        host.store.put(name, content)
    for response in (
        resolved(host, "rules", "rules@v2.0.0"),
        resolved(host, "rules@^1.0.0"),
        host.post("/ensembles/flow@v1.0.0/resolve", {}),
        host.get("/history/rules"),
        host.get("/version?at=2024-11-12T14:47:00Z"),
        host.get("/health"),
    ):
        assert response.status != 500, response.body
    assert host.get("/components/rules@v2.0.0").body == content.encode() or "component-versions" in documents


def resolved(host: Host, *references: str) -> Response:
    return host.post("/resolve", {"references": list(references), "key": "k"})
