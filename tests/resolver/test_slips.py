"""What loads and is probably meant otherwise is told at its place; what may be right is let be."""

from __future__ import annotations

from textwrap import dedent

import pytest

from resolver.ensemble import Slip, load_ensemble
from resolver.ensemble.slips import RUN_NAMES


def slips(text: str) -> tuple[Slip, ...]:
    return load_ensemble(dedent(text), "sample.yaml").slips


def told(text: str) -> list[tuple[str, int | None, int | None, bool, str]]:
    return [(slip.kind, slip.line, slip.column, slip.sure, slip.detail) for slip in slips(text)]


# Keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("conditon", "condition"),
        ("Condition", "condition"),
        ("conditions", "condition"),
        ("whenn", "when"),
        ("WHEN", "when"),
        ("if", "condition"),
        ("unless", "condition"),
        ("componet", "component"),
        ("components", "component"),
        ("opration", "operation"),
    ],
)
def test_keys_of_an_agent(key: str, meant: str) -> None:
    ((kind, line, column, sure, detail),) = told(f"ensemble: e\nagents:\n  - name: a\n    {key}: x@prod\n")
    assert (kind, line, column, sure) == ("key", 4, 5, True)
    assert detail == f"`{key}` is no field that is known here, and does nothing. Did you mean `{meant}`?"


@pytest.mark.parametrize(
    ("steps", "key", "meant", "place"),
    [
        ("- agent: a\n    wehn: x", "wehn", "when", (4, 5)),
        ("- agent: a\n    if: x", "if", "condition", (4, 5)),
        ("- parallel:\n      stps: []\n      steps: [{agent: a}]", "stps", "steps", (4, 7)),
        ("- type: branch\n    when: x\n    then: []\n    esle: []", "esle", "else", (6, 5)),
        ("- try: {steps: [{agent: a, whne: x}], ctach: []}", "whne", "when", (3, 30)),
        ("- switch: {value: input.x, cases: {a: []}, defalt: []}", "defalt", "default", (3, 46)),
        ("- foreach: {step: {agent: a, idd: x}}", "idd", "id", (3, 32)),
    ],
)
def test_keys_of_a_step_at_any_depth(steps: str, key: str, meant: str, place: tuple[int, int]) -> None:
    found = [slip for slip in slips(f"name: e\nflow:\n  {steps}\n") if slip.written == key]
    ((line, column, detail),) = ((slip.line, slip.column, slip.detail) for slip in found)
    assert (line, column) == place
    assert detail.startswith(f"`{key}` ")
    assert detail.endswith(f"Did you mean `{meant}`?")


def test_keys_of_the_whole_file() -> None:
    (slip,) = slips("name: e\nagents: [{name: a}]\nrolout: {key: '${input.id}'}\n")
    assert (slip.field, slip.line, slip.column) == ("rolout", 3, 1)
    assert "Did you mean `rollout`?" in slip.detail


def test_fields_of_conductor_are_no_slips() -> None:
    assert (
        slips(
            """
        name: e
        description: a test
        apiExecutable: true
        trigger: [{type: http}]
        notifications: []
        memory: {}
        agents:
          - {name: a, handler: x, schema: {input: {}}, config: {conditon: 1}, prompt: hello}
        flow:
          - {agent: a, input: {if: x, whenn: y}, retry: {attempts: 3}, cache: {}, timeout: 5, state: {use: []}}
          - type: foreach
            items: ${input.items}
            maxConcurrency: 2
            breakWhen: x
            step: {agent: a, depends_on: [], scoring: {}}
        output: {x: 1}
        """
        )
        == ()
    )


# Ids


def test_two_steps_with_one_id() -> None:
    beside = "  - parallel:\n      - {agent: b, id: one}\n      - {agent: c, name: one}\n"
    text = f"name: e\nflow:\n  - agent: a\n    id: one\n{beside}"
    assert told(text) == [
        ("id", 6, 24, True, "a second step `one`; the first is on line 4"),
        ("id", 7, 26, True, "a second step `one`; the first is on line 4"),
    ]


@pytest.mark.parametrize(
    "step",
    [
        "branch: {when: 'true', then: [{agent: a, id: x}], else: [{agent: b, id: x}]}",
        "type: branch\n    when: true\n    then: [{agent: a, id: x}]\n    else: [{agent: b, id: x}]",
        "switch: {value: input.x, cases: {one: [{agent: a, id: x}], two: [{agent: b, id: x}]}}",
        "switch: {value: input.x, cases: {one: [{agent: a, id: x}]}, default: [{agent: b, id: x}]}",
        "try: {steps: [{agent: a, id: x}], catch: [{agent: b, id: x}]}",
    ],
)
def test_steps_of_which_one_runs_may_share_their_id(step: str) -> None:
    assert slips(f"name: e\nflow:\n  - {step}\n") == ()


@pytest.mark.parametrize(
    "step",
    [
        "branch: {when: 'true', then: [{agent: a, id: x}, {agent: b, id: x}]}",
        "switch: {value: input.x, cases: {one: [{agent: a, id: x}, {agent: b, id: x}]}}",
        "try: {steps: [{agent: a, id: x}], finally: [{agent: b, id: x}]}",
        "map-reduce: {map: {agent: a, id: x}, reduce: {agent: b, id: x}}",
    ],
)
def test_steps_that_both_run_may_not(step: str) -> None:
    assert [slip.kind for slip in slips(f"name: e\nflow:\n  - {step}\n")] == ["id"]


def test_one_agent_may_run_twice() -> None:
    assert slips("name: e\nflow: [{agent: a}, {agent: a}]\n") == ()


# Agents


@pytest.mark.parametrize("written", ["analyze", "analyzerr", "analyer", "analyzr", "anaylzer", "Analyzer", "analyzen"])
def test_an_agent_that_is_one_letter_from_a_defined_one(written: str) -> None:
    ((kind, line, column, sure, detail),) = told(
        f"name: e\nagents:\n  - name: analyzer\nflow:\n  - agent: {written}\n  - agent: analyzer\n"
    )
    assert (kind, line, column, sure) == ("agent", 5, 12, True)
    assert detail == f"no agent `{written}` is defined here. Did you mean `analyzer`?"


@pytest.mark.parametrize("written", ["anal", "analysis", "analyzer@v1.0.0", "other", "zalyzera"])
def test_an_agent_that_is_not_is_conductors(written: str) -> None:
    assert slips(f"name: e\nagents:\n  - name: analyzer\nflow:\n  - agent: {written}\n  - agent: analyzer\n") == ()


@pytest.mark.parametrize(("defined", "written"), [("scraper", "scrape"), ("fetches", "fetch"), ("abc", "abd")])
def test_agents_that_conductor_has_and_short_ones_are_no_slips(defined: str, written: str) -> None:
    assert slips(f"name: e\nagents:\n  - name: {defined}\nflow: [{{agent: {defined}}}, {{agent: {written}}}]\n") == ()


# Names in expressions


def test_names_that_nothing_has() -> None:
    text = """
        name: e
        agents:
          - name: summarize
        rollout: {key: "${inptu.user}"}
        flow:
          - agent: summarize
            id: digest
          - agent: other
            when: ${sumarize.output.ok && digset.ok}
          - agent: third
            when: ${tenant.plan === 'pro' || agents.othr.ok}
          - switch: {value: "level-${inputs.level}", cases: {level-1: [{agent: a}]}}
        """
    assert [(slip.kind, slip.written, slip.line, slip.column, slip.sure) for slip in slips(text)] == [
        ("name", "inptu", 5, 19, True),
        ("name", "sumarize", 10, 13, True),
        ("name", "digset", 10, 35, True),
        ("name", "tenant", 12, 13, False),
        ("name", "othr", 12, 45, True),
        ("name", "inputs", 13, 30, True),
    ]


def test_names_that_something_has() -> None:
    text = """
        name: e
        agents:
          - name: first
            when: ${input.a && trigger.b && state.c && env.d && params.e}
        flow:
          - agent: first
          - agent: built-in@v1.0.0
            id: second
          - agent: third
            when: ${first.output && agents.first && built-in.output && second.ok && agents.second.ok}
        """
    assert slips(text) == ()


@pytest.mark.parametrize("name", RUN_NAMES)
def test_names_that_only_a_run_has(name: str) -> None:
    assert slips(f"name: e\nflow: [{{foreach: {{step: {{agent: a, when: '{name}.x'}}}}}}]\n") == ()


def test_slips_come_in_the_order_of_the_file() -> None:
    text = "name: e\nagents:\n  - name: a\n    whenn: x\n    condition: ${inptu.x}\n  - name: b\n    if: x\nflows: []\n"
    assert [slip.line for slip in slips(text)] == [4, 5, 7, 8]
