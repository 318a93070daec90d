"""What Conductor's own files hold, and what its executor decides where it is right."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from resolver.ensemble import load_ensemble
from resolver.errors import InvalidEnsemble
from resolver.expression import UNDEFINED, Scope
from resolver.plan import AgentDecision, compile_plan, resolve, with_defaults
from resolver.snapshot import Request, Resolver, Snapshot

POINTERS = {"judge": {"prod": "v1.0.0"}, "settings": {"prod": "v1.0.0"}, "x": {"prod": "v1.0.0"}}


def decided(text: str, given: object = UNDEFINED, outputs: dict[str, object] | None = None, **variables: object) -> Any:
    """Agent → whether it runs, or what it waits for."""
    plan = compile_plan(load_ensemble(dedent(text), "sample.yaml"))
    scope = with_defaults(plan, Scope(given, variables, outputs or {}))
    found: dict[str, object] = {}
    for agent in resolve(plan, Resolver(Snapshot(POINTERS)), Request(scope)):
        found[agent.name] = _told(agent)
    return found


def _told(agent: AgentDecision) -> object:
    return agent.selected if agent.selected is not None else list(agent.needs) or agent.reason


# Fields that only steps which nest have


@pytest.mark.parametrize(
    "extra",
    ["step: 3", "default: {x: 1}", "value: [1]", "map: {a: b}", "type: think", "steps: 4", "cases: []", "then: yes"],
)
def test_a_step_that_runs_an_agent_may_have_any_field_of_one_that_nests(extra: str) -> None:
    """Conductor drops such keys; nine of its own test ensembles have one."""
    assert decided(f"name: x\nflow:\n  - agent: a\n    {extra}\n") == {"a": True}


@pytest.mark.parametrize("kind", ["type: parallel\n    steps: [{agent: b}]", "parallel: [{agent: b}]"])
def test_a_step_that_runs_an_agent_and_nests_would_lose_the_steps_within(kind: str) -> None:
    with pytest.raises(InvalidEnsemble, match="a step does one thing"):
        load_ensemble(f"name: x\nflow:\n  - agent: a\n    {kind}\n", "x.yaml")


# References


def test_references_that_were_missed() -> None:
    ensemble = load_ensemble(
        dedent(
            """
            name: x
            flow:
              - agent: a
                scoring: {evaluator: judge@prod}
                config: settings@v2.1.0
                input: {page: "kv://templates/x@v1.0.0"}
              - type: parallel
                schema: schemas/x@v1.0.0
                steps: [{agent: b, component: prompts/x.md@v1.0.0}]
            """
        ),
        "x.yaml",
    )
    first, second = ensemble.units
    assert {site.path: str(site.found.reference) for site in first.sites} == {
        "flow[0].agent": "a",
        "flow[0].scoring.evaluator": "judge@prod",
        "flow[0].config": "settings@v2.1.0",
        "flow[0].input.page": "kv://templates/x@v1.0.0",
    }
    assert {site.path: str(site.found.reference) for site in second.sites} == {
        "flow[1].schema": "schemas/x@v1.0.0",
        "flow[1].steps[0].agent": "b",
        "flow[1].steps[0].component": "prompts/x.md@v1.0.0",
    }


# The input's defaults, and the state


@pytest.mark.parametrize("declared", ["x: 9", "x: {default: 9}", "x: {type: number, default: 9, required: true}"])
def test_an_input_has_the_defaults_that_the_ensemble_gives_it(declared: str) -> None:
    text = f"name: e\ninput: {{{declared}}}\nflow: [{{agent: a, condition: input.x > 5}}]\n"
    assert decided(text) == decided(text, {}) == decided(text, {"x": 6}) == {"a": True}
    assert decided(text, {"x": 5}) == {"a": False}
    # What was sent as null was sent.
    assert decided(text, {"x": None}) == {"a": False}
    # A default is for a field of an object; another input stays what it is.
    assert decided(text, "text") == {"a": False}


@pytest.mark.parametrize("declared", ["x: null", "x: {type: number}", "x: {default: null}"])
def test_without_a_default_a_field_is_undefined(declared: str) -> None:
    text = f'name: e\ninput: {{{declared}}}\nflow: [{{agent: a, condition: "input.x === 1 || input.y"}}]\n'
    assert decided(text) == {"a": False}
    assert decided(text, {"y": 1}) == {"a": True}


STATE = """
name: e
state: {initial: {mode: fast}}
flow:
  - {agent: a, when: "state.mode === 'fast'"}
  - {agent: b, when: "state.mode === 'slow'", state: {set: [mode]}}
  - {agent: c, when: "state.mode === 'fast'"}
"""


def test_a_run_begins_with_the_initial_state_which_a_step_may_change() -> None:
    assert decided(STATE) == {"a": True, "b": False, "c": ["state"]}
    assert decided(STATE, state={"mode": "slow"}) == {"a": False, "b": True, "c": False}
    assert decided(STATE.replace("{initial: {mode: fast}}", "{}")) == {"a": False, "b": False, "c": ["state"]}


# What only the run knows


def test_the_items_of_a_loop_are_known_during_the_run() -> None:
    text = """
    name: e
    flow:
      - type: foreach
        items: ${input.items}
        step: {agent: each, when: "item.ok && index < input.most"}
      - type: map-reduce
        items: ${input.items}
        map: {agent: mapped, when: item.ok}
        reduce: {agent: reduced, when: results.length > 0}
      - type: try
        steps: [{agent: tried}]
        catch: [{agent: caught, when: "error.name === 'TypeError'"}]
    """
    run = "during the run"
    assert decided(text) == {"each": run, "mapped": run, "reduced": run, "tried": True, "caught": run}


def test_what_decides_without_the_item_decides() -> None:
    text = "name: e\nflow: [{type: foreach, items: [1], step: {agent: each, when: input.on && item.ok}}]\n"
    assert decided(text, {"on": False}) == {"each": False}
    assert decided(text, {"on": True}) == {"each": "during the run"}
    # Outside of the loop `item` is a name like any other.
    assert decided("name: e\nflow: [{agent: each, when: item.ok}]\n") == {"each": ["item"]}


WHILE = """
name: e
flow:
  - type: while
    condition: ${a.output.big !== true}
    steps:
      - {agent: first, when: iteration > 0}
      - {agent: a}
      - {agent: b, when: a.output.n > 1}
      - {agent: c, when: d.output}
      - {agent: d}
"""


def test_the_first_round_of_a_while_is_decided_with_what_is_undefined() -> None:
    found = decided(WHILE)
    assert found == {"first": "during the run", "a": True, "b": ["a"], "c": "during the run", "d": True}
    assert decided(WHILE, outputs={"a": {"big": True}})["a"] is False
    assert decided(WHILE, outputs={"a": {"n": 2}})["b"] is True
    assert decided(WHILE.replace("!== true", "=== true")) == dict.fromkeys(found, False)


# Outputs


@pytest.mark.parametrize(
    ("expression", "output", "holds"),
    [
        ("a.success", {"x": 1}, True),
        ("a.success", None, True),
        ("!a.failed", "text", True),
        ("a.failed", {}, False),
        ("agents.a.success", {}, True),
        # An output that says so itself is believed.
        ("a.success", {"success": False}, False),
        ("a.failed", {"failed": True}, True),
        ("a.output.success", {}, False),
    ],
)
def test_an_agent_that_gave_an_output_succeeded(expression: str, output: object, holds: bool) -> None:
    text = f'name: e\nflow: [{{agent: a}}, {{agent: b, when: "{expression}"}}]\n'
    assert decided(text)["b"] == ["a"]
    assert decided(text, outputs={"a": output})["b"] is holds


@pytest.mark.parametrize("expression", ["a.output.n > 1", "a.success", "a.output ?? false", "agents.a.output.n"])
def test_an_agent_that_does_not_run_has_no_output(expression: str) -> None:
    text = f"""
    name: e
    flow:
      - type: parallel
        steps: [{{agent: a, when: input.run}}]
      - type: branch
        condition: ${{{expression}}}
        then: [{{agent: b}}]
        else: [{{agent: c}}]
    """
    assert decided(text, {"run": False}) == {"a": False, "b": False, "c": True}
    assert decided(text, {"run": True}) == {"a": True, "b": ["a"], "c": ["a"]}
    assert decided(text, {"run": True}, {"a": {"n": 2}}) == {"a": True, "b": True, "c": False}


def test_of_two_steps_of_one_name_it_is_enough_that_one_runs() -> None:
    text = """
    name: e
    flow:
      - type: branch
        condition: input.x
        then: [{agent: fast, id: answer}]
        else: [{agent: slow, id: answer}]
      - {agent: last, when: answer.output.ok}
    """
    plan = compile_plan(load_ensemble(dedent(text), "sample.yaml"))
    for given in (True, False):
        last = resolve(plan, Resolver(Snapshot(POINTERS)), Request(Scope({"x": given})))[-1]
        assert (last.selected, last.needs) == (None, ("answer",))


# YAML that Conductor's guide teaches, and YAML cannot mean


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("input: {x: ${input.y}}", 'input: {x: "${input.y}"}'),
        ("input: { x: {{input.y}}, z: 1 }", 'input: { x: "{{input.y}}", z: 1 }'),
        ("when: {{input.y}}", 'when: "{{input.y}}"'),
        ('list: [${a}-${b}, "${c}", d]', 'list: ["${a}-${b}", "${c}", d]'),
        ("""input: {x: ${y == "z"}}""", """input: {x: '${y == "z"}'}"""),
    ],
)
def test_a_placeholder_in_braces_is_to_be_quoted(line: str, corrected: str) -> None:
    with pytest.raises(InvalidEnsemble) as caught:
        load_ensemble(f"name: e\nflow:\n  - agent: a\n    {line}\n", "e.yaml")
    assert caught.value.line == 4
    assert caught.value.detail.endswith(f"quote it: `{corrected}`")
    load_ensemble(f"name: e\nflow:\n  - agent: a\n    {corrected}\n", "e.yaml")


def test_of_a_longer_text_the_whole_is_to_be_quoted() -> None:
    with pytest.raises(InvalidEnsemble, match="put the whole text that it stands in between quotes"):
        load_ensemble("name: e\nflow:\n  - agent: a\n    input: {x: Hi ${name}!}\n", "e.yaml")


def test_another_fault_of_such_a_line_is_told_as_what_it_is() -> None:
    with pytest.raises(InvalidEnsemble, match="expected"):
        load_ensemble('name: e\nflow:\n  - agent: a\n    input: {x: "${name}" y}\n', "e.yaml")
