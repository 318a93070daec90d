"""RPC in the real runtime: a JavaScript Worker calls the methods over a service binding, as Conductor does.

The platform makes Python's values of the arguments before a method is called. So most of this is written in JavaScript:
what it has and JSON has not is where the two differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tests.edge.cases import CASES, Case
from tests.edge.hosts import Isolate, isolate, rpc, run
from worker.local.seed import seed

#: One worker runs them all: they share a host.
pytestmark = pytest.mark.xdist_group("rpc")


#: An ensemble whose agents say what the input was.
ECHO = """
ensemble: echo
agents:
  - {name: null-is-null, component: my-prompt, condition: "${input.nothing === null}"}
  - {name: nested, component: my-prompt, condition: "${input.a.b[1].c === 'deep'}"}
  - {name: date, component: my-prompt, condition: "${input.when === '2024-11-12T14:47:00.120Z'}"}
  - {name: number, component: my-prompt, condition: "${input.n === 1.5}"}
  - {name: whole, component: my-prompt, condition: "${input.whole % 2 === 0}"}
  - {name: text, component: my-prompt, condition: "${input.text === 'ü😀'}"}
  - {name: constructor, component: my-prompt, condition: "${input.constructor === 1}"}
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Isolate]:
    """The Worker in workerd, seeded, whose snapshot stays fresh."""
    entries = {**seed(), "components/echo/v1.0.0": (ECHO, {"type": "ensemble"})}
    with isolate({"FRESH_FOR": "600", "STALE_FOR": "600"}, entries=entries) as client:
        yield client


def as_rpc(case: Case) -> tuple[str, list[object]] | None:
    """The same call over a service binding; None where only HTTP can say it."""
    url = urlsplit(case.target)
    head, _, rest = url.path[1:].partition("/")
    query: dict[str, object] = dict(parse_qsl(url.query))
    if case.method == "POST" and case.body:
        try:
            body = json.loads(case.body.decode())
        except (ValueError, RecursionError):
            return None
        return ("resolve", [body]) if head == "resolve" else ("resolveEnsemble", [rest.removesuffix("/resolve"), body])
    if case.method != "GET" or case.headers or "%ff" in case.target:
        return None
    if head == "components":
        return "component", [unquote(rest), query]
    if head == "history" and rest and not query:
        return "history", [rest]
    if head == "version" or query:
        return "version", [query, query.pop("component", None)]
    return None


@pytest.mark.parametrize("as_text", [False, True], ids=["as objects", "as JSON text"])
def test_rpc_answers_what_http_does(edge: Isolate, as_text: bool) -> None:
    methods = set()
    for case in CASES:
        asked = as_rpc(case)
        if asked is None:
            continue
        method, given = asked
        if as_text:
            given = [json.dumps(value) if isinstance(value, dict) else value for value in given]
        response = edge.request(case.method, case.target, content=case.body)
        if "query parameter" in response.text:
            continue
        found = rpc(edge, method, *given)
        if response.status_code >= 400:
            assert found["problem"] == response.json(), case
        elif method == "component":
            assert found["content"] == response.text
            assert found["version"] == response.headers["x-component-version"]
        else:
            expected = response.json()
            for answer in (found, expected):
                answer.get("snapshot", {}).pop("age_ms", None)
            assert found == expected, case
        methods.add((method, response.is_success))
    assert {name for name, ok in methods if ok} == {"resolve", "resolveEnsemble", "component", "version", "history"}
    assert {name for name, ok in methods if not ok} == {"resolve", "resolveEnsemble", "component", "version", "history"}


def test_what_was_asked_arrives(edge: Isolate) -> None:
    body = {"references": ["my-prompt@prod", "my-prompt@v1.5.0"], "key": "user-42", "at": None, "content": True}
    found = rpc(edge, "resolve", body)
    over_http = edge.post("/resolve", json=body).json()
    assert (found["key"], found["references"]) == ("user-42", over_http["references"])
    sent = {"input": {"user_id": 4, "nested": [None, {"deep": None}]}, "context": {"outputs": {"a": None}}}
    agents = rpc(edge, "resolveEnsemble", "ab-test-historical", sent)["agents"]
    assert [agent["selected"] for agent in agents] == [True, False]
    sent = {"environment": "staging", "key": 7, "at": "2024-11-20T00:00:00Z"}
    for asked in (sent, json.dumps(sent)):
        answer = rpc(edge, "resolveEnsemble", "canary", asked)
        assert (answer["environment"], answer["key"], answer["at"]) == ("staging", "7", "2024-11-20T00:00:00Z")
    assert rpc(edge, "component", "my-prompt@v1.5.0")["version"] == "v1.5.0"
    assert rpc(edge, "version")["components"]["my-prompt"] == "v1.0.0"
    assert rpc(edge, "version", {"at": "2024-11-12T14:47:00Z"}, "my-prompt")["components"] == {"my-prompt": "v1.1.0"}
    assert rpc(edge, "history", "my-prompt")["moves"][0]["published_at"] is None
    assert rpc(edge, "health")["problems"] == []


INPUT = """
    nothing: null, a: {b: [null, {c: "deep"}]}, when: new Date(Date.UTC(2024, 10, 12, 14, 47, 0, 120)),
    n: 1.5, whole: 4, text: "ü😀", list: [], empty: {}, absent: undefined, flag: true
"""


def selected(edge: Isolate, script: str) -> list[str]:
    answer = run(edge, script)
    assert "agents" in answer, answer
    return [agent["name"] for agent in answer["agents"] if agent["selected"]]


def test_nulls_nested_values_and_dates_arrive_as_they_do_over_http(edge: Isolate) -> None:
    call = f'{{input: {{{INPUT}}}, key: "k"}}'
    expected = ["null-is-null", "nested", "date", "number", "whole", "text"]
    url = "http://edge/ensembles/echo@v1.0.0/resolve"
    posted = f'return (await edge.fetch("{url}", {{method: "POST", body: JSON.stringify({call})}})).json()'
    assert selected(edge, posted) == expected
    assert selected(edge, f'return edge.resolveEnsemble("echo@v1.0.0", {call})') == expected
    assert selected(edge, f'return edge.resolveEnsemble("echo@v1.0.0", JSON.stringify({call}))') == expected


#: Calls that fail inside the platform as objects, before any method is called.
FATAL = {
    "a key named constructor": "{input: {constructor: 1}}",
    "a cycle": "(() => { const a = {}; a.a = a; return {input: a}; })()",
    "3,000 levels": "(() => { let a = 1; for (let i = 0; i < 3000; i++) a = [a]; return {input: a}; })()",
    "no prototype": "(() => { const call = Object.create(null); call.input = 1; return call; })()",
}


@pytest.mark.parametrize("call", FATAL.values(), ids=FATAL)
def test_what_fails_inside_the_platform_is_fine_as_text(edge: Isolate, call: str) -> None:
    asked = f"""
        const caught = (ask) => ask().catch((error) => ({{thrown: error.message}}));
        const call = {call};
        return [
          await caught(async () => edge.resolveEnsemble("canary", call)),
          await caught(async () => edge.resolveEnsemble("canary", JSON.stringify(call))),
        ];
    """
    as_object, as_text = run(edge, asked)
    # Of the platform, and so no answer of ours: docs/http.md says to send text.
    assert "thrown" in as_object
    if "circular" in as_text.get("thrown", ""):
        return
    # A cycle has no JSON, as the caller's own JSON.stringify says; what is too deep is a problem like any other.
    assert as_text.get("ensemble") == "canary" or as_text["problem"]["status"] == 400, as_text
    assert edge.get("/version").status_code == 200, "the isolate lives"


def test_a_key_named_constructor_is_read_in_text(edge: Isolate) -> None:
    script = 'return edge.resolveEnsemble("echo@v1.0.0", JSON.stringify({input: {constructor: 1}, key: "k"}))'
    assert selected(edge, script) == ["constructor"]


#: A call that is no call, and what is said of it: status, field, and a part of the detail.
REFUSED: list[tuple[str, int, str | None, str]] = [
    ('edge.resolve({references: ["nope"]})', 404, "references[0]", "unknown component `nope`"),
    ("edge.resolve({refs: []})", 400, "body", "unknown field `refs`"),
    ("edge.resolve()", 400, "body", "missing required field `references`"),
    ("edge.resolve(null)", 400, "body", "missing required field `references`"),
    ("edge.resolve(undefined)", 400, "body", "missing required field `references`"),
    ('edge.resolve("")', 400, "body", "missing required field `references`"),
    ('edge.resolve("my-prompt")', 400, "body", "is not JSON"),
    ('edge.resolve("null")', 400, "body", "`body` must be an object, and it is null"),
    ("edge.resolve(7)", 400, "body", "`body` must be an object, and it is a number"),
    ("edge.resolve([])", 400, "body", "`body` must be an object, and it is a list"),
    ("edge.resolve({references: [7]})", 400, "references[0]", "`references[0]` must be a text, and it is a number"),
    ('edge.resolve({references: ["a"], key: NaN})', 400, "body", "Send it as JSON text"),
    ('edge.resolve({references: ["a"], key: () => 1})', 400, "body", "Send it as JSON text"),
    ('edge.resolve({references: ["a"], key: new Uint8Array(3)})', 400, "body", "Send it as JSON text"),
    ('edge.resolve(new Response("x"))', 400, "body", "Send it as JSON text"),
    ('edge.resolve({references: ["my-prompt"]}, 2, 3)', 400, None, "2 arguments too many"),
    ("edge.health({}, 1)", 400, None, "2 arguments too many"),
    ("edge.resolveEnsemble()", 400, "name", "must be a text"),
    ('edge.resolveEnsemble({name: "canary"})', 400, "name", "must be a text"),
    ("edge.component()", 400, "reference", "must be a text"),
    ("edge.component(7)", 400, "reference", "must be a text"),
    ("edge.history(null)", 400, "name", "must be a text"),
    ("edge.version([])", 400, "body", "`body` must be an object, and it is a list"),
    ("edge.version({}, 7)", 400, "component", "must be a text"),
]


@pytest.mark.parametrize(("call", "status", "field", "says"), REFUSED, ids=[call for call, *_ in REFUSED])
def test_a_call_without_sense_is_a_problem_and_no_stack_trace(
    edge: Isolate, call: str, status: int, field: str | None, says: str
) -> None:
    problem = run(edge, f"return {call}")["problem"]
    assert (problem["status"], problem.get("field")) == (status, field)
    assert says in problem["detail"]


def test_undefined_in_a_call_says_nothing(edge: Isolate) -> None:
    call = '{references: ["my-prompt@staging"], key: "k", at: undefined, environment: undefined, region: null}'
    found: dict[str, Any] = run(edge, f"return edge.resolve({call})")
    assert found["references"][0]["version"] == "v1.1.0"


#: Names that Python itself gives every object, those of this project's that begin so, and what is no method.
HIDDEN = [
    "__class__",
    "__init__",
    "__getattribute__",
    "__dir__",
    "__reduce_ex__",
    "__str__",
    "_rpc",
    "_platform",
    "nope",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_only_the_calls_can_be_called(edge: Isolate, name: str) -> None:
    script = f'try {{ return {{answer: await edge["{name}"]("env")}}; }} catch (error) {{ return error.message; }}'
    assert run(edge, script) == f"Method {name} does not exist"


@pytest.mark.parametrize("name", ["env", "ctx"])
def test_what_the_worker_is_bound_to_is_not_given_away(edge: Isolate, name: str) -> None:
    script = f"try {{ return {{answer: await edge.{name}}}; }} catch (error) {{ return error.message; }}"
    assert run(edge, script) == f'The RPC receiver does not implement the method "{name}".'


def test_an_answer_is_plain_objects_and_arrays(edge: Isolate) -> None:
    script = """
        const answer = await edge.resolveEnsemble("canary", {key: "k"});
        const plain = (value) => [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value));
        return [answer, answer.snapshot, answer.agents, answer.agents[0], answer.agents[0].references].map(plain);
    """
    assert run(edge, script) == [True] * 5
