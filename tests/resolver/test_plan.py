"""Plans: the whole table of selectors, who is selected and why, keys, groups, and that a plan is a pure function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.documents import decode_rollout
from resolver.ensemble import load_ensemble
from resolver.errors import InvalidRequest, NotFound
from resolver.expression import UNDEFINED, NoKey, Scope
from resolver.plan import AgentDecision, Plan, compile_plan, key_text, resolve, resolve_references
from resolver.reference import parse_reference
from resolver.rollout import RolloutTable, parse_percentage
from resolver.snapshot import Choice, Request, Resolver, Snapshot

POINTERS = {
    "my-prompt": {
        "prod": "v1.0.0",
        "prod-canary": "v1.1.0",
        "staging": "v1.1.0",
        "latest": "v1.8.0",
        "stable": "v1.5.0",
    },
    "regional": {"prod": "v1.0.0", "prod-canary": "v1.1.0", "prod-eu": "v2.0.0", "prod-eu-canary": "v2.1.0"},
    "other": {"prod": "v3.0.0", "prod-canary": "v3.1.0"},
    "bare": {"prod": "v0.1.0"},
    "empty": {},
}
VERSIONS = ("v0.9.0", "v1.0.0", "v1.5.0", "v1.8.0", "v2.0.0-rc.1")


def snapshot(percentage: str | None = "0", **indexes: tuple[str, ...] | None) -> Snapshot:
    """The pointers above; `percentage` is the rollout document, None where it is not known."""
    return Snapshot(POINTERS, None if percentage is None else decode_rollout(percentage).value, indexes)


def plan(text: str) -> Plan:
    return compile_plan(load_ensemble(dedent(text), "sample.yaml"))


def request(given: object = UNDEFINED, key: str | None = "user-1", **fields: Any) -> Request:
    return Request(Scope(given), key=key, **fields)


def chosen(reference: str, found: Snapshot, asked: Request) -> Choice:
    return Resolver(found).choose(parse_reference(reference), asked)


def not_found(reference: str, found: Snapshot, **fields: str) -> str:
    with pytest.raises(NotFound) as caught:
        chosen(reference, found, request(**fields))
    return caught.value.detail


def only(text: str, scope: Scope, found: Snapshot | None = None) -> AgentDecision:
    (decision,) = resolve(plan(text), Resolver(found or snapshot()), Request(scope))
    return decision


# The table of selectors


@pytest.mark.parametrize(
    ("reference", "fields", "percentage", "expected"),
    [
        ("my-prompt@v1.5.0", {}, "0", ("v1.5.0", "pinned")),
        ("my-prompt@1.5.0", {"environment": "nowhere"}, "100", ("v1.5.0", "pinned")),
        ("unheard-of@v1.5.0", {}, "0", ("v1.5.0", "pinned")),
        ("my-prompt", {}, "0", ("v1.0.0", "pointer")),
        ("my-prompt", {"environment": "staging"}, "100", ("v1.1.0", "pointer")),
        ("my-prompt", {}, "100", ("v1.1.0", "canary")),
        ("prompts/my-prompt", {}, "100", ("v1.1.0", "canary")),
        ("prompt://my-prompt@prod", {"environment": "staging"}, "0", ("v1.0.0", "pointer")),
        ("my-prompt@staging", {}, "100", ("v1.1.0", "pointer")),
        ("my-prompt@prod-canary", {}, "0", ("v1.1.0", "pointer")),
        ("regional", {"region": "eu"}, "0", ("v2.0.0", "region")),
        ("regional@prod", {"region": "eu", "environment": "staging"}, "0", ("v2.0.0", "region")),
        ("regional", {"region": "eu"}, "100", ("v2.1.0", "canary")),
        ("regional", {"region": "eu"}, '{"*": 100, "regional@prod-eu": 0}', ("v2.0.0", "region")),
        ("regional", {"region": "eu"}, '{"*": 0, "regional@prod-eu": 100}', ("v2.1.0", "canary")),
        ("regional", {"region": "asia"}, "0", ("v1.0.0", "pointer")),
        ("regional", {"region": "asia"}, "100", ("v1.1.0", "canary")),
        ("regional@prod-eu", {"region": "eu"}, "0", ("v2.0.0", "pointer")),
        ("bare", {}, "100", ("v0.1.0", "pointer")),
        ("my-prompt@latest", {"region": "eu"}, "100", ("v1.8.0", "pointer")),
        ("my-prompt@stable", {}, "100", ("v1.5.0", "pointer")),
        ("bare@latest", {}, "100", ("v2.0.0-rc.1", "range")),
        ("bare@stable", {}, "100", ("v1.8.0", "range")),
        ("bare@^1.0.0", {}, "100", ("v1.8.0", "range")),
        ("bare@~1.5", {}, "100", ("v1.5.0", "range")),
        ("bare@1.x", {"environment": "nowhere"}, "100", ("v1.8.0", "range")),
        ("bare@>=1 <1.8", {}, "100", ("v1.5.0", "range")),
        ("bare@v1", {}, "100", ("v1.8.0", "range")),
        ("bare@>=2.0.0-rc.0", {}, "100", ("v2.0.0-rc.1", "range")),
    ],
)
def test_selectors(reference: str, fields: dict[str, str], percentage: str, expected: tuple[str, str]) -> None:
    found = chosen(reference, snapshot(percentage, bare=VERSIONS), request(**fields))
    assert (found.version, found.route, found.note) == (*expected, None)


@pytest.mark.parametrize(
    ("reference", "fields", "detail"),
    [
        ("my-promt", {}, "unknown component `my-promt`. Did you mean `my-prompt`?"),
        ("zebra", {}, "unknown component `zebra`; there are bare, empty, my-prompt, other, regional"),
        ("zebra@^1", {}, "unknown component `zebra`; there are bare, empty, my-prompt, other, regional"),
        (
            "my-prompt@prd",
            {},
            "unknown environment `prd` for `my-prompt`; it has prod, prod-canary, staging",
        ),
        (
            "my-prompt",
            {"environment": "debug", "region": "eu"},
            "unknown environment `debug` for `my-prompt`; it has prod, prod-canary, staging",
        ),
        ("empty", {}, "unknown environment `prod` for `empty`; it has none"),
        (
            "bare@^3",
            {},
            "no version of `bare` lies in `^3`; it has v0.9.0, v1.0.0, v1.5.0, v1.8.0, v2.0.0-rc.1",
        ),
        ("other@^1", {}, "`other` has no list of its versions (index/other in KV), which `^1` needs"),
        ("regional@latest", {}, "`regional` has no list of its versions (index/regional in KV), which `latest` needs"),
        ("empty@latest", {}, "no version of `empty` exists; it has none"),
    ],
)
def test_what_is_not_there_says_what_is(reference: str, fields: dict[str, str], detail: str) -> None:
    assert not_found(reference, snapshot(bare=VERSIONS, regional=None, empty=()), **fields) == detail


def test_only_pre_releases_leave_nothing_stable() -> None:
    found = snapshot(bare=("v2.0.0-rc.1",))
    assert not_found("bare@stable", found) == "no version of `bare` is without pre-release; it has v2.0.0-rc.1"


def test_an_empty_map_says_so() -> None:
    assert not_found("my-prompt", Snapshot({})) == "unknown component `my-prompt`; the version map is empty"


def test_the_indexes_that_are_needed() -> None:
    texts = ["my-prompt@^1", "my-prompt@latest", "bare@stable", "other@v1.0.0", "other@prod", "regional", "empty@1.x"]
    asked = [parse_reference(text) for text in texts]
    assert Resolver(snapshot()).indexes_needed(asked) == {"my-prompt", "bare", "empty"}
    assert Resolver(snapshot(bare=VERSIONS, empty=None)).indexes_needed(asked) == {"my-prompt"}


# Canaries


def test_without_a_key_no_canary_takes_a_request() -> None:
    assert chosen("my-prompt", snapshot("100"), request(key=None)) == Choice("my-prompt", "v1.0.0", "pointer")


def test_a_canary_can_be_left_out() -> None:
    reference = parse_reference("my-prompt")
    assert Resolver(snapshot("100")).choose(reference, request(), canary=False) == Choice(
        "my-prompt", "v1.0.0", "pointer"
    )


def test_a_percentage_that_is_not_known_keeps_everybody_on_the_stable_version() -> None:
    found = chosen("my-prompt", snapshot(None), request())
    assert (found.version, found.route) == ("v1.0.0", "pointer")
    assert found.note == "the percentage of the canary v1.1.0 at that instant is not known"
    assert chosen("bare", snapshot(None), request()).note is None
    assert chosen("my-prompt@v1.0.0", snapshot(None), request()).note is None


@given(st.text(min_size=1), st.integers(0, 100), st.integers(0, 100))
def test_raising_the_percentage_only_adds_users(key: str, one: int, two: int) -> None:
    low, high = sorted((one, two))
    routes = [chosen("my-prompt", snapshot(str(percentage)), request(key=key)).route for percentage in (low, high)]
    assert routes in (["pointer", "pointer"], ["pointer", "canary"], ["canary", "canary"])


TWO = "ensemble: two\nagents: [{name: a, component: my-prompt}, {name: b, component: other}]\n"


def test_a_group_moves_together_and_others_do_not() -> None:
    together, apart = plan(TWO + "rollout: {group: both}"), plan(TWO)
    half = snapshot("50")

    def routes(of: Plan, key: str) -> tuple[object, ...]:
        return tuple(decision.references[0].route for decision in resolve(of, Resolver(half), request(key=key)))

    keys = [f"user-{number}" for number in range(1_000)]
    grouped = [routes(together, key) for key in keys]
    assert set(grouped) == {("pointer", "pointer"), ("canary", "canary")}
    assert 400 < grouped.count(("canary", "canary")) < 600
    assert len({routes(apart, key) for key in keys}) == 4


def route(of: Plan, found: Snapshot, key: str, **fields: Any) -> tuple[object, ...]:
    return tuple(decision.references[0].route for decision in resolve(of, Resolver(found), request(key=key, **fields)))


def canaries(*environments: str) -> dict[str, str]:
    return {name: f"v{number}.0.0" for number, name in enumerate(environments)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pointers", "percentages", "share"),
    [
        # The group's percentage is the smallest of its canaries'.
        ({"my-prompt": canaries("prod", "prod-canary"), "other": canaries("prod", "prod-canary")}, (60, 20), 20),
        ({"my-prompt": canaries("prod", "prod-canary"), "other": canaries("prod", "prod-canary")}, (60, 0), 0),
        ({"my-prompt": canaries("prod", "prod-canary"), "other": canaries("prod", "prod-canary")}, (100, 100), 100),
        # Only one of them has pointers of the region.
        (
            {
                "my-prompt": canaries("prod", "prod-canary", "prod-eu", "prod-eu-canary"),
                "other": canaries("prod", "prod-canary"),
            },
            (50, 50),
            50,
        ),
    ],
)
def test_a_group_draws_once(pointers: dict[str, dict[str, str]], percentages: tuple[int, int], share: int) -> None:
    one, other = (parse_percentage(str(percentage)) for percentage in percentages)
    found = Snapshot(pointers, RolloutTable({"my-prompt": one, "other": other}))
    grouped = plan(TWO + "rollout: {group: both}")
    drawn = [route(grouped, found, f"user-{n}", region="eu") for n in range(2_000)]
    assert all((one == "canary") is (other == "canary") for one, other in drawn)
    assert abs(sum(one == "canary" for one, _ in drawn) - 20 * share) <= (0 if share in (0, 100) else 100)


def test_a_member_may_name_its_environment() -> None:
    text = """
    ensemble: named
    rollout: {group: both}
    agents:
      - {name: a, component: my-prompt@prod}
      - {name: b, component: other@prod}
    """
    pointers = {"my-prompt": canaries("prod", "prod-canary"), "other": canaries("prod", "prod-canary")}
    shares = {"my-prompt": parse_percentage("100"), "other": parse_percentage("0")}
    found = Snapshot(pointers, RolloutTable(shares))
    # Its percentage counts for the group: the smallest is nobody's.
    assert {route(plan(text), found, f"user-{n}") for n in range(20)} == {("pointer", "pointer")}


def test_a_member_without_a_canary_is_told() -> None:
    found = Snapshot(
        {"my-prompt": canaries("prod", "prod-canary"), "other": canaries("prod")},
        RolloutTable({"*": parse_percentage("100")}),
    )
    one, other = resolve(plan(TWO + "rollout: {group: both}"), Resolver(found), request(key="k"))
    assert (one.references[0].route, one.references[0].note) == ("canary", None)
    assert other.references[0].route == "pointer"
    assert other.references[0].note == "`other` has no canary, and `my-prompt` of its group `both` has one"


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.text(min_size=1))
def test_raising_a_percentage_of_a_group_only_adds_users(one: int, low: int, high: int, key: str) -> None:
    grouped = plan(TWO + "rollout: {group: both}")
    pointers = {"my-prompt": canaries("prod", "prod-canary"), "other": canaries("prod", "prod-canary")}

    def drawn(other: int) -> bool:
        shares = {"my-prompt": parse_percentage(str(one)), "other": parse_percentage(str(other))}
        return route(grouped, Snapshot(pointers, RolloutTable(shares)), key)[0] == "canary"

    low, high = sorted((low, high))
    assert drawn(high) or not drawn(low)


# Who is selected, and why

FLOW = "name: sample\nflow:\n"


@pytest.mark.parametrize(
    ("steps", "scope", "expected"),
    [
        ("- agent: a", Scope(), (True, "unconditional", None, ())),
        ("- {agent: a, when: '${input.x}'}", Scope({"x": 1}), (True, "condition", "${input.x}", ())),
        ("- {agent: a, when: '${input.x}'}", Scope({"x": 0}), (False, "condition", "${input.x}", ())),
        ("- {agent: a, when: '${input.x % 2 === 0}'}", Scope(), (False, "condition", "${input.x % 2 === 0}", ())),
        ("- {agent: a, when: true}", Scope(), (True, "condition", "true", ())),
        ("- {agent: a, when: false}", Scope(), (False, "condition", "false", ())),
        (
            "- {agent: a, when: '${b.output.ok && agents.c.output}'}",
            Scope({}),
            (None, "needs", "${b.output.ok && agents.c.output}", ("b", "c")),
        ),
        (
            "- {agent: a, when: '${b.output.ok && agents.c.output}'}",
            Scope({}, {}, {"b": {"ok": False}}),
            (False, "condition", "${b.output.ok && agents.c.output}", ()),
        ),
        (
            "- {agent: a, when: '${b.output.ok && agents.c.output}'}",
            Scope({}, {}, {"b": {"ok": True}}),
            (None, "needs", "${b.output.ok && agents.c.output}", ("c",)),
        ),
        (
            "- {agent: a, when: '${b.output.ok && agents.c.output}'}",
            Scope({}, {}, {"b": {"ok": True}, "c": "x"}),
            (True, "condition", "${b.output.ok && agents.c.output}", ()),
        ),
        (
            "- branch: {condition: b.ok, then: [{agent: a, when: 'input.x'}]}",
            Scope({}),
            (False, "condition", "input.x", ()),
        ),
        (
            "- branch: {condition: b.ok, then: [{agent: a, when: 'input.x && c.ok'}]}",
            Scope({"x": 1}),
            (None, "needs", "b.ok", ("b", "c")),
        ),
        ("- branch: {condition: input.x, then: [], else: [{agent: a}]}", Scope({}), (True, "condition", "input.x", ())),
        ("- branch: {condition: false, then: [], else: [{agent: a}]}", Scope({}), (True, "condition", "false", ())),
        ("- branch: {condition: b.ok, then: [], else: [{agent: a}]}", Scope({}), (None, "needs", "b.ok", ("b",))),
        (
            "- try: {steps: [], catch: [{agent: a}]}",
            Scope({}),
            (None, "during the run", "a step of the `try` fails", ()),
        ),
        (
            "- try: {steps: [], catch: [{agent: a, when: input.x}]}",
            Scope({"x": True}),
            (None, "during the run", "a step of the `try` fails", ()),
        ),
        ("- try: {steps: [], catch: [{agent: a, when: input.x}]}", Scope({}), (False, "condition", "input.x", ())),
        ("- try: {steps: [], catch: [{agent: a, when: b.ok}]}", Scope({}), (None, "needs", "b.ok", ("b",))),
        ("- try: {steps: [], finally: [{agent: a}]}", Scope({}), (True, "unconditional", None, ())),
        ("- foreach: {items: '${input.items}', step: {agent: a}}", Scope({}), (True, "unconditional", None, ())),
        ("- switch: {value: input.x, cases: {1: [{agent: a}]}}", Scope({"x": 1}), (True, "condition", "input.x", ())),
        ("- switch: {value: input.x, cases: {1: [{agent: a}]}}", Scope({"x": "1"}), (True, "condition", "input.x", ())),
        (
            "- switch: {value: input.x, cases: {true: [{agent: a}]}}",
            Scope({"x": True}),
            (True, "condition", "input.x", ()),
        ),
        ("- switch: {value: input.x, cases: {1: [{agent: a}]}}", Scope({"x": 2}), (False, "condition", "input.x", ())),
        (
            "- switch: {value: input.x, cases: {1: []}, default: [{agent: a}]}",
            Scope({}),
            (True, "condition", "input.x", ()),
        ),
        (
            "- switch: {value: input.x, cases: {1: []}, default: [{agent: a}]}",
            Scope({"x": 1}),
            (False, "condition", "input.x", ()),
        ),
        ("- switch: {value: b.kind, cases: {1: [{agent: a}]}}", Scope({}), (None, "needs", "b.kind", ("b",))),
    ],
)
def test_selection(steps: str, scope: Scope, expected: tuple[object, ...]) -> None:
    found = only(FLOW + f"  {steps}\n", scope)
    assert (found.selected, found.reason, found.condition, found.needs) == expected


def test_a_definition_that_no_step_runs() -> None:
    decisions = resolve(
        plan(FLOW + "  - agent: a\nagents: [{name: a}, {name: b, component: bare, when: true}]"),
        Resolver(snapshot()),
        request(),
    )
    assert [(found.name, found.selected, found.reason) for found in decisions] == [
        ("a", True, "unconditional"),
        ("b", False, "not in the flow"),
    ]
    assert decisions[1].references[0].version == "v0.1.0"


# References of agents


def test_a_reference_that_cannot_be_resolved() -> None:
    text = "ensemble: e\nagents: [{name: a, component: my-prompt@prd, when: input.x}]\n"
    detail = "unknown environment `prd` for `my-prompt`; it has prod, prod-canary, staging"
    skipped = only(text, Scope({}))
    assert skipped.selected is False
    assert [(found.version, found.route, found.error) for found in skipped.references] == [(None, None, detail)]
    for scope in (Scope({"x": 1}), Scope({"x": 1}, {"input": 0})):
        with pytest.raises(NotFound) as caught:
            only(text, scope)
        assert (caught.value.detail, caught.value.field) == (detail, "agents[0].component")


def test_an_agent_that_may_run_must_resolve_too() -> None:
    with pytest.raises(NotFound) as caught:
        only(FLOW + "  - {agent: a, when: b.ok, config: {prompt: zebra@prod}}", Scope({}))
    assert caught.value.field == "flow[0].config.prompt"


def test_bare_words_are_text_unless_the_map_knows_them() -> None:
    found = only(FLOW + "  - {agent: think, config: {prompt: greeting, template: bare, schema: my-prompt}}", Scope({}))
    assert [(item.path, item.reference, item.version) for item in found.references] == [
        ("flow[0].config.template", "bare", "v0.1.0"),
        ("flow[0].config.schema", "my-prompt", "v1.0.0"),
    ]
    # What stands under `component:` is always a reference.
    with pytest.raises(NotFound):
        only("ensemble: e\nagents: [{name: a, component: greeting}]", Scope({}))


def test_an_answer_is_written_as_json() -> None:
    found = only("ensemble: e\nagents: [{name: a, operation: think, component: 'prompts/bare@0.1.0'}]", Scope({}))
    assert msgspec.to_builtins(found) == {
        "name": "a",
        "operation": "think",
        "path": "agents[0]",
        "selected": True,
        "reason": "unconditional",
        "references": (
            {
                "path": "agents[0].component",
                "reference": "prompts/bare@v0.1.0",
                "component": "bare",
                "version": "v0.1.0",
                "route": "pinned",
            },
        ),
    }


def test_plain_references() -> None:
    asked = [("references[0]", parse_reference("bare")), ("references[1]", parse_reference("my-prompt@staging"))]
    found = resolve_references(asked, Resolver(snapshot()), request())
    assert [(item.path, item.version, item.route) for item in found] == [
        ("references[0]", "v0.1.0", "pointer"),
        ("references[1]", "v1.1.0", "pointer"),
    ]
    with pytest.raises(NotFound) as caught:
        resolve_references([*asked, ("references[2]", parse_reference("zebra"))], Resolver(snapshot()), request())
    assert caught.value.field == "references[2]"


def test_the_references_of_a_plan() -> None:
    compiled = plan(TWO + "flow: [{agent: a}, {agent: a, config: {prompt: my-prompt@^1}}]")
    assert [str(reference) for reference in compiled.references] == ["my-prompt", "my-prompt@^1", "other"]


# Keys


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("101", "101"),
        (101, "101"),
        (101.0, "101"),
        (1e21, "1e+21"),
        (0, "0"),
        (" ", " "),
        ("é😀", "é😀"),
        ("", None),
        (None, None),
        (UNDEFINED, None),
        (float("nan"), None),
    ],
)
def test_key_text(value: object, expected: str | None) -> None:
    assert key_text(value) == expected


@pytest.mark.parametrize("value", [True, [], ["a"], {}, {"id": 1}])
def test_what_is_no_key(value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        key_text(value)
    assert caught.value.field == "key"


@pytest.mark.parametrize(
    ("key", "scope", "expected"),
    [
        ("${input.id}", Scope({"id": 101}), "101"),
        ("${input.id}", Scope({"id": "101"}), "101"),
        ("${input.id}", Scope({"id": ""}), None),
        ("${input.id}", Scope({"id": None}), None),
        ("${input.id}", Scope({"id": {"a": 1}}), None),
        ("${input.id}", Scope({"id": True}), None),
        ("${input.id}", Scope({}), None),
        ("${input.id}", Scope("text"), None),
        ("${input.id}", Scope(), None),
        ("${input.id % 100}", Scope({}), None),
        ("${session.id}", Scope({}), None),
        ("${session.id}", Scope({}, {"session": {"id": "s"}}), "s"),
        ("user-${input.id}", Scope({"id": 7}), "user-7"),
        ("user-${input.id}", Scope({}), None),
        ("user-${input.id}", Scope({"id": None}), None),
        ("user-${input.id}", Scope({"id": ""}), None),
        ("${input.a}/${input.b}", Scope({"a": 1, "b": 2}), "1/2"),
        ("${input.a}/${input.b}", Scope({"a": 0}), None),
    ],
)
def test_the_key_of_a_plan(key: str, scope: Scope, expected: str | None) -> None:
    found = plan(f"{TWO}rollout: {{key: '{key}'}}").key
    assert found is not None
    drawn = found.evaluate(scope)
    assert (None if isinstance(drawn, NoKey) else drawn) == expected


def test_a_plan_without_a_key() -> None:
    assert plan(TWO).key is None


# Purity

MIXED = """
ensemble: mixed
rollout: {key: "${input.id}"}
agents:
  - {name: a, component: my-prompt, when: "${input.id % 2 === 0}"}
  - {name: b, component: regional@prod, config: {prompt: other, schema: bare@^1}}
  - {name: c, component: my-prompt@latest, when: "${z.ok && y.ok && x.ok}"}
  - {name: d, component: other@nowhere, when: false}
"""


def answer(user: int) -> str:
    compiled = plan(MIXED)
    scope = Scope({"id": user})
    assert compiled.key is not None
    found = snapshot("50", bare=VERSIONS)
    return msgspec.json.encode(
        resolve(compiled, Resolver(found), Request(scope, region="eu", key=str(compiled.key.evaluate(scope))))
    ).decode()


@settings(deadline=None)
@given(st.integers(0, 1_000))
def test_the_same_again(user: int) -> None:
    assert answer(user) == answer(user)


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_the_same_in_another_process(seed: str) -> None:
    code = (
        "import sys; from tests.resolver.test_plan import answer; sys.stdout.write('\\n'.join(map(answer, range(20))))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert ran.stdout.split("\n") == [answer(user) for user in range(20)]
