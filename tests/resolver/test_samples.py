"""The sample ensembles, each resolved against a small world with exactly what it must run."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.documents import decode_rollout
from resolver.ensemble import load_ensemble
from resolver.expression import NoKey, Scope
from resolver.plan import AgentDecision, Plan, compile_plan, resolve
from resolver.snapshot import Request, Resolver, Snapshot

SAMPLES = sorted((Path(__file__).parents[2] / "ensembles").glob("*.yaml"))

INDEXES = {
    "my-prompt": ("v0.9.0", "v1.0.0", "v1.1.0", "v1.5.0", "v1.8.0"),
    "extraction-prompt": ("v1.0.4", "v1.0.5", "v1.0.6"),
    "analysis-prompt": ("v1.8.0", "v1.9.0", "v1.9.1", "v1.9.2", "v1.9.3"),
    "validation-config": ("v1.4.0", "v1.5.0"),
    "transform-script": ("v2.1.2", "v2.1.3"),
}
POINTERS = {
    "my-prompt": {
        "prod": "v1.0.0",
        "prod-canary": "v1.1.0",
        "staging": "v1.1.0",
        "prod-eu": "v1.1.0",
        "prod-us-west": "v1.0.0",
        "prod-asia": "v1.1.0",
        "latest": "v1.8.0",
        "stable": "v1.8.0",
    },
    "extraction-prompt": {"prod": "v1.0.5", "prod-canary": "v1.0.6", "latest": "v1.0.6", "stable": "v1.0.6"},
    "analysis-prompt": {"prod": "v1.9.2", "prod-canary": "v1.9.3", "latest": "v1.9.3", "stable": "v1.9.3"},
    "validation-config": {"prod": "v1.4.0", "latest": "v1.5.0", "stable": "v1.5.0"},
    "transform-script": {"prod": "v2.1.3", "latest": "v2.1.3", "stable": "v2.1.3"},
}


def sample(name: str) -> Plan:
    (path,) = (path for path in SAMPLES if path.stem == name)
    return compile_plan(load_ensemble(path.read_text(encoding="utf-8"), path.name))


def snapshot(percentage: int = 0) -> Snapshot:
    return Snapshot(POINTERS, decode_rollout(str(percentage)).value, INDEXES)


def decisions(
    plan: Plan,
    given: object,
    *,
    percentage: int = 0,
    region: str | None = None,
    outputs: dict[str, object] | None = None,
) -> tuple[AgentDecision, ...]:
    """What a request runs, its key drawn from its input as the edge does."""
    scope = Scope(given, {}, outputs or {})
    key = plan.key.evaluate(scope) if plan.key else "anybody"
    asked = Request(scope, region=region, key="anybody" if isinstance(key, NoKey) else key)
    return resolve(plan, Resolver(snapshot(percentage)), asked)


def versions(decision: AgentDecision) -> list[str]:
    """`component version route` of each reference."""
    return [f"{found.component} {found.version} {found.route}" for found in decision.references]


def running(found: tuple[AgentDecision, ...]) -> dict[str, list[str]]:
    return {decision.name: versions(decision) for decision in found if decision.selected}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_names_itself_and_what_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    plan = sample(path.stem)
    assert plan.name == path.stem
    certain = [site.found.reference for unit in plan.units for site in unit.sites if site.found.certain]
    assert certain
    assert {reference.name for reference in certain} <= set(POINTERS)
    for reference in certain:
        if reference.selector is not None and reference.selector.kind == "version":
            assert reference.selector.text in INDEXES[reference.name]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (4, {"variant-a": ["my-prompt v1.5.0 pinned"]}),
        (7, {"variant-b": ["my-prompt v1.8.0 pinned"]}),
        (0, {"variant-a": ["my-prompt v1.5.0 pinned"]}),
        ("4", {"variant-a": ["my-prompt v1.5.0 pinned"]}),
        ("7", {"variant-b": ["my-prompt v1.8.0 pinned"]}),
        ("user-4", {}),
        (-3, {}),
        (None, {"variant-a": ["my-prompt v1.5.0 pinned"]}),
    ],
)
def test_ab_test_historical(user: object, expected: dict[str, list[str]]) -> None:
    found = decisions(sample("ab-test-historical"), {"user_id": user}, percentage=100, region="eu")
    assert running(found) == expected
    assert [(decision.name, decision.operation, decision.selected) for decision in found] == [
        ("variant-a", "think", "variant-a" in expected),
        ("variant-b", "think", "variant-b" in expected),
    ]
    # Both carry their version, whoever runs.
    assert [versions(decision) for decision in found] == [["my-prompt v1.5.0 pinned"], ["my-prompt v1.8.0 pinned"]]


def test_each_whole_user_runs_one_variant() -> None:
    plan = sample("ab-test-historical")
    for user in range(200):
        assert list(running(decisions(plan, {"user_id": user}))) == ["variant-b" if user % 2 else "variant-a"]


def test_canary() -> None:
    plan = sample("canary")
    assert running(decisions(plan, {"user_id": 1})) == {"answer": ["my-prompt v1.0.0 pointer"]}
    assert running(decisions(plan, {"user_id": 1}, percentage=100)) == {"answer": ["my-prompt v1.1.0 canary"]}

    def canary(user: object, percentage: int) -> bool:
        return running(decisions(plan, {"user_id": user}, percentage=percentage))["answer"][0].endswith("canary")

    ten = {user for user in range(1_000) if canary(user, 10)}
    assert 60 < len(ten) < 140
    assert ten == {user for user in range(1_000) if canary(str(user), 10)}
    assert ten < {user for user in range(1_000) if canary(user, 25)}
    assert plan.key is not None
    assert plan.key.evaluate(Scope({})) == NoKey("`input.user_id` is missing")


@pytest.mark.parametrize(
    ("region", "answer"),
    [
        (None, "my-prompt v1.0.0 pointer"),
        ("eu", "my-prompt v1.1.0 region"),
        ("asia", "my-prompt v1.1.0 region"),
        ("us-west", "my-prompt v1.0.0 region"),
        ("mars", "my-prompt v1.0.0 pointer"),
    ],
)
def test_regions(region: str | None, answer: str) -> None:
    expected = {"answer": [answer], "extract": ["extraction-prompt v1.0.5 pointer"]}
    assert running(decisions(sample("regions"), {}, region=region)) == expected


def test_group() -> None:
    plan = sample("group")
    stable = {"extract": ["extraction-prompt v1.0.5 pointer"], "analyze": ["analysis-prompt v1.9.2 pointer"]}
    canary = {"extract": ["extraction-prompt v1.0.6 canary"], "analyze": ["analysis-prompt v1.9.3 canary"]}
    found = [running(decisions(plan, {"user_id": user}, percentage=50)) for user in range(1_000)]
    assert all(one in (stable, canary) for one in found)
    assert 400 < found.count(canary) < 600


def test_ranges() -> None:
    assert running(decisions(sample("ranges"), {}, percentage=100)) == {
        "caret": ["my-prompt v1.8.0 range"],
        "tilde": ["analysis-prompt v1.9.3 range"],
        "wildcard": ["validation-config v1.5.0 range"],
        "between": ["my-prompt v1.1.0 range"],
        "newest": ["extraction-prompt v1.0.6 pointer"],
        "newest-release": ["transform-script v2.1.3 pointer"],
    }


def test_uri_references() -> None:
    (found,) = decisions(sample("uri-references"), {})
    assert [(item.path, item.reference, item.version, item.route) for item in found.references] == [
        ("agents[0].prompt", "prompt://analysis-prompt@v1.9.2", "v1.9.2", "pinned"),
        ("agents[0].config.rules", "config://validation-config", "v1.4.0", "pointer"),
        ("agents[0].config.steps[0].run", "script://transform-script@stable", "v2.1.3", "pointer"),
    ]


def test_nested_flow_before_anything_ran() -> None:
    found = decisions(sample("nested-flow"), {})
    assert [(decision.name, decision.selected, decision.reason, versions(decision)) for decision in found] == [
        ("extract", True, "unconditional", ["extraction-prompt v1.0.5 pointer"]),
        ("analyze", False, "condition", ["analysis-prompt v1.9.2 pointer"]),
        ("summarize", None, "needs", ["my-prompt v1.0.0 pointer"]),
        ("apologize", None, "needs", []),
        ("check", True, "unconditional", ["validation-config v1.4.0 pointer"]),
        ("transform", True, "unconditional", ["transform-script v2.1.3 range"]),
        ("report", None, "during the run", ["my-prompt v1.0.0 pinned"]),
        ("log", True, "unconditional", []),
        ("translate", False, "condition", ["my-prompt v1.5.0 pinned"]),
        ("pass-through", True, "condition", []),
        ("retry", False, "condition", []),
        ("score", True, "unconditional", ["my-prompt v1.8.0 pinned"]),
        ("merge", True, "unconditional", []),
        ("spare", False, "not in the flow", ["my-prompt v0.9.0 pinned"]),
    ]
    assert [decision.needs for decision in found if decision.needs] == [("extract",), ("extract",)]


@pytest.mark.parametrize(("extracted", "branch"), [(True, "summarize"), (False, "apologize")])
def test_nested_flow_with_an_output(extracted: bool, branch: str) -> None:
    given = {"deep": True, "language": "de", "retry": True}
    outputs: dict[str, object] = {"extract": {"found": extracted}}
    found = decisions(sample("nested-flow"), given, outputs=outputs)
    assert [decision.name for decision in found if decision.selected] == [
        *("extract", "analyze", branch, "check", "transform", "log", "translate", "retry", "score", "merge"),
    ]


def test_ten_agents() -> None:
    plan = sample("ten-agents")
    assert len(plan.units) == 10
    even = {
        "user_id": 42,
        "deep": True,
        "items": [1, 2, 3, 4],
        "channel": "mail",
        "style": "formal",
        "long": True,
    }
    assert running(decisions(plan, even)) == {
        "classify": ["my-prompt v1.0.0 pointer"],
        "extract": ["extraction-prompt v1.0.5 pointer"],
        "analyze": ["analysis-prompt v1.9.2 pointer"],
        "analyze-deep": ["analysis-prompt v1.9.3 pinned"],
        "validate": ["validation-config v1.4.0 pointer"],
        "transform": ["transform-script v2.1.3 pointer"],
        "reply": ["my-prompt v1.0.0 pointer"],
        "reply-formally": ["my-prompt v1.1.0 pointer"],
        "archive": ["transform-script v2.1.2 pinned"],
    }
    assert running(decisions(plan, {"user_id": 7, "format": "xml"}, percentage=100)) == {
        "classify": ["my-prompt v1.1.0 canary"],
        "extract-strict": ["extraction-prompt v1.0.5 pinned"],
        "analyze": ["analysis-prompt v1.9.3 canary"],
        "validate": ["validation-config v1.4.0 pointer"],
    }
