"""One question per run: the ensemble as this run must run it, plain references, and the snapshot of the run."""

from __future__ import annotations

import itertools
import json
from textwrap import dedent
from typing import Any

import pytest

from tests.worker.test_app import Host, value

MAP = {
    "answer": {"$type": "prompt", "prod": "v1.0.0", "prod-canary": "v1.1.0"},
    "schemas/answer": {"$type": "schema", "prod": "v2.0.0"},
    "page": {"$type": "template", "prod": "v1.0.0"},
    "header": {"$type": "template", "prod": "v1.0.0", "staging": "v2.0.0"},
    "logo": {"$type": "template", "prod": "v1.0.0"},
    "loop": {"$type": "template", "prod": "v1.0.0"},
    "rows": {"$type": "query", "prod": "v1.0.0"},
    "limits": {"$type": "config", "prod": "v1.0.0"},
    "writer": {"$type": "agent", "prod": "v1.0.0"},
    "broken": {"$type": "agent", "prod": "v1.0.0"},
    "run": {"$type": "ensemble", "prod": "v1.0.0"},
}
CONTENTS = {
    "answer/v1.0.0": ("prompt", "You answer.\n"),
    "answer/v1.1.0": ("prompt", "You answer better.\n"),
    "schemas/answer/v2.0.0": ("schema", '{"type": "object"}'),
    "page/v1.0.0": ("template", '<body>{{> template://header@prod}}<p>{{> "local" }}</p></body>'),
    "header/v1.0.0": ("template", "<h1>{{> template://logo}}</h1>"),
    "header/v2.0.0": ("template", "<h2></h2>"),
    "logo/v1.0.0": ("template", "<img>"),
    "loop/v1.0.0": ("template", "{{> template://loop}}"),
    "rows/v1.0.0": ("query", "select 1"),
    "limits/v1.0.0": ("config", "temperature: 0.1\nmaxTokens: 5\n"),
    "writer/v1.0.0": ("agent", "name: writer\noperation: think\nconfig:\n  prompt: answer@prod\n  model: small\n"),
    "broken/v1.0.0": ("agent", "name: [\n"),
    "run/v1.0.0": ("ensemble", "name: run\nflow:\n  - {agent: echo, when: input.go}\n"),
}


@pytest.fixture
def host() -> Host:
    found = Host()
    found.store.publish(MAP, 7)
    for key, (type, text) in CONTENTS.items():
        found.store.put(f"components/{key}", text, {"type": type})
    return found


def ask(host: Host, definition: str | dict[str, Any], status: int = 200, **call: Any) -> Any:
    text = dedent(definition) if isinstance(definition, str) else definition
    body = {"definition": text, "key": "k", "expand": True, **call}
    return value(host.post("/ensembles/e/resolve", body), status)


def flow_of(host: Host, text: str, **call: Any) -> Any:
    return ask(host, "name: e\nflow:\n" + dedent(text), **call)["expanded"]["flow"]


# What runs


def test_what_is_not_selected_is_gone_and_what_is_decided_has_no_condition(host: Host) -> None:
    flow = """
    - {agent: a, when: input.n % 2 === 0, input: {x: "${input.n}"}}
    - {agent: b, when: input.n % 2 === 1}
    - {agent: c, condition: true, timeout: 5}
    """
    assert flow_of(host, flow, input={"n": 4}) == [
        {"agent": "a", "input": {"x": "${input.n}"}},
        {"agent": "c", "timeout": 5},
    ]
    assert [step["agent"] for step in flow_of(host, flow, input={"n": 3})] == ["b", "c"]


def test_an_open_agent_says_its_path_and_is_decided_by_the_outputs_that_follow(host: Host) -> None:
    flow = """
    - {agent: a}
    - {agent: b, when: a.output.ok}
    """
    assert flow_of(host, flow) == [{"agent": "a"}, {"agent": "b", "open": "flow[1]"}]
    assert flow_of(host, flow, context={"outputs": {"a": {"ok": True}}}) == [{"agent": "a"}, {"agent": "b"}]
    assert flow_of(host, flow, context={"outputs": {"a": {"ok": False}}}) == [{"agent": "a"}]


@pytest.mark.parametrize("short", [True, False])
def test_branches_and_switches_hold_what_runs_of_all_their_sides(host: Host, short: bool) -> None:
    if short:
        flow = """
        - branch: {condition: input.x, then: [{agent: a}], else: [{agent: b}]}
        - switch: {value: "${input.kind}", cases: {one: [{agent: c}], two: [{agent: d}]}, default: [{agent: f}]}
        """
    else:
        flow = """
        - {type: branch, condition: input.x, then: [{agent: a}], else: [{agent: b}]}
        - {type: switch, value: "${input.kind}", cases: {one: [{agent: c}], two: [{agent: d}]}, default: [{agent: f}]}
        """
    for given, agents in (({"x": 1, "kind": "two"}, ["a", "d"]), ({}, ["b", "f"])):
        assert flow_of(host, flow, input=given) == [
            {"type": "branch", "condition": True, "then": [{"agent": agent}]} for agent in agents
        ]


def test_an_open_branch_holds_both_sides_each_open(host: Host) -> None:
    flow = """
    - {agent: first}
    - {type: branch, condition: first.output.x, then: [{agent: a}], else: [{agent: b, when: input.never}, {agent: c}]}
    """
    assert flow_of(host, flow)[1] == {
        "type": "branch",
        "condition": True,
        "then": [{"agent": "a", "open": "flow[1].then[0]"}, {"agent": "c", "open": "flow[1].else[1]"}],
    }


def test_steps_that_nest_come_out_in_conductors_form(host: Host) -> None:
    flow = """
    - parallel: [{agent: a}, {agent: b, when: false}]
    - parallel: {steps: [{agent: b}], waitFor: any, when: input.off}
    - foreach: {items: "${input.items}", maxConcurrency: 2, step: {agent: c, when: item.ok}}
    - {type: foreach, items: [], step: {agent: d, when: false}}
    - try: {steps: [{agent: e}], catch: [{agent: f, when: "error.name === 'X'"}], finally: [{agent: g}]}
    - while: {condition: "${loop.output.more !== false}", maxIterations: 3, steps: [{agent: loop}]}
    - {type: map-reduce, items: [1], map: {agent: h}, reduce: {agent: i, when: false}}
    - {type: map-reduce, items: [1], map: {agent: h}, reduce: {agent: i}}
    """
    assert flow_of(host, flow, input={"off": 0}) == [
        {"type": "parallel", "steps": [{"agent": "a"}]},
        {
            "type": "foreach",
            "items": "${input.items}",
            "maxConcurrency": 2,
            "step": {"agent": "c", "when": "item.ok"},
        },
        {
            "type": "try",
            "steps": [{"agent": "e"}],
            "catch": [{"agent": "f", "when": "error.name === 'X'"}],
            "finally": [{"agent": "g"}],
        },
        {
            "type": "while",
            "maxIterations": 3,
            "steps": [{"agent": "loop"}],
            "condition": "${loop.output.more !== false}",
        },
        {"type": "foreach", "items": [1], "step": {"agent": "h"}},
        {"type": "map-reduce", "items": [1], "map": {"agent": "h"}, "reduce": {"agent": "i"}},
    ]


def test_agents_without_a_flow_become_one(host: Host) -> None:
    answer = ask(
        host,
        """
        ensemble: e
        trigger: [{type: http, public: true}]
        rollout: {key: "${input.user}"}
        agents:
          - {name: even, operation: think, component: answer@v1.0.0, condition: "${input.n % 2 === 0}"}
          - {name: odd, operation: think, component: answer@v1.1.0, condition: "${input.n % 2 === 1}"}
        """,
        input={"n": 3},
    )
    assert answer["expanded"] == {
        "name": "e",
        "trigger": [{"type": "http", "public": True}],
        "agents": [
            # What does not run keeps its reference; nobody reads it.
            {"name": "even", "operation": "think", "component": "answer@v1.0.0"},
            {"name": "odd", "operation": "think", "config": {"systemPrompt": "You answer better.\n"}},
        ],
        "flow": [{"agent": "odd"}],
    }
    assert answer["reads"] == ["n", "user"]
    assert answer["definition"] == {"version": None, "route": "sent"}


@pytest.mark.parametrize(("condition", "reads"), [("input.a && trigger.b.c", ["a", "b"]), ("input", None)])
def test_the_fields_of_the_input_that_are_read(host: Host, condition: str, reads: list[str] | None) -> None:
    answer = ask(host, f"name: e\nflow: [{{agent: a, when: {condition}}}]\n")
    assert answer.get("reads") == reads


# Contents


def test_contents_stand_in_their_places(host: Host) -> None:
    answer = ask(
        host,
        """
        name: e
        agents:
          - {name: a, operation: think, config: {prompt: answer@prod, schema: answer@prod, model: m}}
          - {name: b, operation: html, config: {template: page@prod}}
          - {name: c, operation: data, component: rows@prod}
          - {name: d, operation: think, prompt: answer@prod, config: limits@prod}
        flow:
          - {agent: a}
          - {agent: b, input: {text: "kv://templates/logo@prod"}}
          - {agent: c}
          - {agent: d}
        """,
    )
    assert answer["expanded"]["agents"] == [
        {
            "name": "a",
            "operation": "think",
            "config": {"schema": {"type": "object"}, "model": "m", "systemPrompt": "You answer.\n"},
        },
        {
            "name": "b",
            "operation": "html",
            "config": {"template": '<body><h1><img></h1><p>{{> "local" }}</p></body>'},
        },
        {"name": "c", "operation": "data", "config": {"query": "select 1"}},
        {
            "name": "d",
            "operation": "think",
            "config": {"temperature": 0.1, "maxTokens": 5, "systemPrompt": "You answer.\n"},
        },
    ]
    assert answer["expanded"]["flow"][1]["input"] == {"text": "<img>"}
    assert [(found["path"], found["component"], found["version"]) for found in answer["included"]] == [
        ("agents[1].config.template>template://header@prod", "header", "v1.0.0"),
        ("agents[1].config.template>template://header@prod>template://logo", "logo", "v1.0.0"),
    ]


def test_a_versioned_agent_is_a_definition_of_this_run_with_its_own_contents(host: Host) -> None:
    for written in ("writer@v1.0.0", "writer@prod", "writer", "agents/writer@prod"):
        answer = ask(host, f"name: e\nflow: [{{agent: {written}}}, {{agent: {written}, id: second}}]\n")
        assert answer["expanded"] == {
            "name": "e",
            "agents": [
                {
                    "name": "writer@v1.0.0",
                    "operation": "think",
                    "config": {"model": "small", "systemPrompt": "You answer.\n"},
                }
            ],
            "flow": [
                {"agent": "writer@v1.0.0", "id": "writer"},
                {"agent": "writer@v1.0.0", "id": "second"},
            ],
        }


def test_a_step_may_give_its_agent_a_component_of_its_own(host: Host) -> None:
    answer = ask(
        host,
        """
        name: e
        agents: [{name: a, operation: think, config: {model: m}}]
        flow: [{agent: a}, {agent: a, component: answer@v1.1.0}]
        """,
    )
    assert answer["expanded"]["agents"] == [
        {"name": "a", "operation": "think", "config": {"model": "m"}},
        {"name": "a#flow[1]", "operation": "think", "config": {"model": "m", "systemPrompt": "You answer better.\n"}},
    ]
    assert answer["expanded"]["flow"] == [{"agent": "a"}, {"agent": "a#flow[1]", "id": "a"}]


def test_what_a_content_includes_follows_the_environment_of_the_request(host: Host) -> None:
    host.store.put("components/page/v1.0.0", "{{> template://header}}", {"type": "template"})
    host.store.publish({**MAP, "page": {"prod": "v1.0.0", "staging": "v1.0.0"}}, 8)
    host.time.time += 100
    flow = "- {agent: a, template: page@v1.0.0}"
    assert flow_of(host, flow, environment="staging")[0]["template"] == "<h2></h2>"
    assert flow_of(host, flow)[0]["template"] == "<h1><img></h1>"


def test_contents_that_include_themselves_are_refused(host: Host) -> None:
    problem = ask(host, "name: e\nflow: [{agent: a, template: loop@prod}]\n", 422)
    assert problem["detail"] == "a content includes itself: loop@v1.0.0 → loop@v1.0.0"


def test_contents_go_no_deeper_than_a_bound(host: Host) -> None:
    deep = {f"t{number}": {"prod": "v1.0.0"} for number in range(12)}
    host.store.publish({**MAP, **deep}, 8)
    host.time.time += 100
    for number in range(12):
        host.store.put(f"components/t{number}/v1.0.0", f"{{{{> template://t{number + 1}}}}}")
    problem = ask(host, "name: e\nflow: [{agent: a, template: t0@prod}]\n", 422)
    assert "more than 8 levels deep" in problem["detail"]
    host.store.put("components/t7/v1.0.0", "the end")
    host.edge.contents.kept.__init__(1)  # type: ignore[misc]
    assert flow_of(host, "- {agent: a, template: t0@prod}")[0]["template"] == "the end"


def test_a_partial_that_stands_in_a_text_many_times_does_not_fill_the_memory(host: Host) -> None:
    names = [f"t{number}" for number in range(8)]
    host.store.publish({**MAP, **{name: {"prod": "v1.0.0"} for name in names}}, 8)
    host.time.time += 100
    for name, inner in itertools.pairwise(names):
        host.store.put(f"components/{name}/v1.0.0", f"{{{{> template://{inner}}}}}" * 100)
    host.store.put("components/t7/v1.0.0", "the end")
    problem = ask(host, "name: e\nflow: [{agent: a, template: t0@prod}]\n", 422)
    assert "a content is longer than 4,194,304 characters" in problem["detail"]
    assert flow_of(host, "- {agent: a, template: t6@prod}")[0]["template"] == "the end" * 100


def test_what_a_content_includes_must_exist(host: Host) -> None:
    host.store.put("components/logo/v1.0.0", "{{> template://nobody@prod}}", {"type": "template"})
    problem = ask(host, "name: e\nflow: [{agent: a, template: logo@prod}]\n", 404)
    assert "unknown component `nobody`" in problem["detail"]
    assert problem["field"] == "flow[0].template>template://nobody@prod"


def test_an_agent_that_is_no_yaml_is_told_with_its_place(host: Host) -> None:
    problem = ask(host, "name: e\nflow: [{agent: broken@prod}]\n", 422)
    assert (problem["file"], problem["line"]) == ("broken@v1.0.0", 2)


# The question


def test_the_map_goes_before_the_definition_that_is_sent(host: Host) -> None:
    sent = "name: run\nflow: [{agent: other}]\n"
    answer = value(host.post("/ensembles/run/resolve", {"definition": sent, "expand": True, "input": {"go": 1}}))
    assert answer["definition"] == {"version": "v1.0.0", "route": "pointer"}
    assert answer["expanded"] == {"name": "run", "flow": [{"agent": "echo"}]}


def test_a_definition_is_text_or_what_the_text_says(host: Host) -> None:
    parsed = {"name": "e", "flow": [{"agent": "a", "when": "input.x === '\u00fc\"\\n'"}, {"agent": "b"}]}
    for definition in (parsed, json.dumps(parsed)):
        assert ask(host, definition)["expanded"] == {"name": "e", "flow": [{"agent": "b"}]}


@pytest.mark.parametrize(
    ("definition", "status", "says"),
    [
        ("name: other\nflow: [{agent: a}]\n", 400, "`e` is asked for, and the definition is of `other`"),
        ("name: e\nflow: [{}]\n", 422, "a step names an `agent`"),
        ({"name": "e"}, 422, "an ensemble has `agents:` or `flow:`"),
        ([], 400, "`definition` must be"),
    ],
)
def test_a_definition_that_is_none(host: Host, definition: Any, status: int, says: str) -> None:
    assert says in ask(host, definition, status)["detail"]


def test_plain_references_ride_in_the_same_question(host: Host) -> None:
    host.store.put("rollout-percentage", "100")
    answer = ask(host, "name: e\nflow: [{agent: a}]\n", references=["answer", "schemas/answer@v2.0.0"])
    assert [(found["path"], found["version"], "content" in found) for found in answer["references"]] == [
        ("references[0]", "v1.1.0", False),
        ("references[1]", "v2.0.0", False),
    ]
    answer = ask(host, "name: e\nflow: [{agent: a}]\n", references=["answer"], content=True, expand=False)
    assert answer["references"][0]["content"] == "You answer better.\n"
    problem = ask(host, "name: e\nflow: [{agent: a}]\n", 404, references=["answer", "nobody"])
    assert problem["field"] == "references[1]"


def test_a_run_goes_on_with_the_snapshot_that_it_began_with(host: Host) -> None:
    run = "name: e\nflow: [{agent: a}]\n"
    assert ask(host, run)["snapshot"]["generation"] == 7
    host.store.publish({**MAP, "answer": {"prod": "v9.9.9"}}, 8)
    host.time.time += 100

    def versions(**call: Any) -> tuple[int, str]:
        answer = ask(host, run, references=["answer"], **call)
        return answer["snapshot"]["generation"], answer["references"][0]["version"]

    assert versions() == (8, "v9.9.9")
    assert versions(generation=7) == (7, "v1.0.0")
    assert versions(generation=8) == (8, "v9.9.9")
    # What is remembered no longer, or never was: the answer says which it is.
    assert versions(generation=6) == (8, "v9.9.9")
    host.time.time += 300
    assert versions(generation=7) == (8, "v9.9.9")


@pytest.mark.parametrize(("moved", "kept"), [(1, True), (2_000, False)])
def test_an_earlier_snapshot_is_remembered_as_far_as_it_takes_little_memory(
    host: Host, moved: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large map that moved whole several would fill the isolate; of what did not move there is one."""
    monkeypatch.setattr("worker.snapshots.BYTES_BEFORE", 3_000)
    run = "name: e\nflow: [{agent: a}]\n"
    names = [f"component-{number:05}" for number in range(2_000)]
    for generation, version in ((8, "v1.0.0"), (9, "v2.0.0")):
        pointers = {name: {"prod": version if at < moved else "v1.0.0"} for at, name in enumerate(names)}
        host.store.publish(pointers, generation)
        host.time.time += 100
        ask(host, run)
    answer = ask(host, run, references=[names[0]], generation=8)
    assert answer["snapshot"]["generation"] == (8 if kept else 9)
    assert answer["references"][0]["version"] == ("v1.0.0" if kept else "v2.0.0")
