"""Two components of one name: each is found by its type, wherever a reference or a name may say one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.test_app import Host, resolve, value
from worker.bundle import compile_ensembles

MAP = {
    "answer": {"$type": "prompt", "prod": "v1.0.0", "prod-canary": "v1.1.0"},
    "schemas/answer": {"$type": "schema", "prod": "v2.0.0", "prod-canary": "v2.1.0"},
    "classify": {"$type": "prompt", "prod": "v3.0.0"},
    "older": {"prod": "v0.1.0"},
}
FIELDS = """
ensemble: fields
agents:
  - name: all
    component: answer
    prompt: answer
    schema: answer
    agent: classify
    template: classify
"""


@pytest.fixture
def host() -> Host:
    found = Host(ensembles=compile_ensembles({"ensembles/fields.yaml": FIELDS}))
    found.store.publish(MAP, 7)
    for key, kind in (("answer/v1.0.0", "prompt"), ("schemas/answer/v2.0.0", "schema"), ("older/v0.1.0", "config")):
        found.store.put(f"components/{key}", f"the {kind}", {"type": kind})
    found.store.put("index/schemas/answer", [{"version": "v2.0.0"}, {"version": "v2.1.0"}, {"version": "v1.9.0"}])
    return found


@pytest.mark.parametrize(
    ("reference", "component", "version", "type"),
    [
        ("answer", "answer", "v1.0.0", "prompt"),
        ("prompts/answer", "answer", "v1.0.0", "prompt"),
        ("prompt://answer@prod", "answer", "v1.0.0", "prompt"),
        ("schemas/answer", "schemas/answer", "v2.0.0", "schema"),
        ("schema://answer", "schemas/answer", "v2.0.0", "schema"),
        ("schemas/answer@v2.0.0", "schemas/answer", "v2.0.0", "schema"),
        ("schemas/answer@^1", "schemas/answer", "v1.9.0", "schema"),
        ("schemas/answer@latest", "schemas/answer", "v2.1.0", "schema"),
        # The ending belongs to the file.
        ("prompts/answer.md@v1.0.0", "answer", "v1.0.0", "prompt"),
        ("schemas/answer.json", "schemas/answer", "v2.0.0", "schema"),
        ("kv://schemas/answer@prod", "schemas/answer", "v2.0.0", "schema"),
        ("kv://answer", "answer", "v1.0.0", "prompt"),
        # Of what an older publisher wrote no type is known.
        ("older", "older", "v0.1.0", None),
        ("configs/older", "older", "v0.1.0", None),
    ],
)
def test_a_reference_takes_the_component_of_its_type(
    host: Host, reference: str, component: str, version: str, type: str | None
) -> None:
    (found,) = resolve(host, reference)["references"]
    assert (found["component"], found["version"], found.get("type")) == (component, version, type)
    assert found["reference"] == reference


def test_one_of_another_type_is_not_found_and_the_answer_says_which_there_is(host: Host) -> None:
    problem = resolve(host, "answer", "template://answer@prod", status=404)
    assert problem["detail"] == "`answer` is of the type prompt, and there is no template of that name"
    assert problem["field"] == "references[1]"
    for target in ("/components/templates/answer", "/version?component=templates/answer", "/history/templates/answer"):
        assert "there is no template" in value(host.get(target), 404)["detail"]


def test_a_field_asks_for_its_own_type_and_a_bare_word_of_another_is_text(host: Host) -> None:
    (agent,) = value(host.post("/ensembles/fields/resolve", {"key": "k"}))["agents"]
    found = {reference["path"]: (reference["component"], reference["type"]) for reference in agent["references"]}
    assert found == {
        "agents[0].component": ("answer", "prompt"),
        "agents[0].prompt": ("answer", "prompt"),
        "agents[0].schema": ("schemas/answer", "schema"),
    }


def test_contents_say_their_type(host: Host) -> None:
    for name, text, type, media_type in (
        ("schemas/answer", "the schema", "schema", "application/schema+json"),
        ("prompts/answer", "the prompt", "prompt", "text/markdown"),
        ("configs/older", "the config", "config", "application/yaml"),
    ):
        (found,) = resolve(host, f"{name}@prod", content=True)["references"]
        assert (found["content"], found["type"], found["media_type"]) == (text, type, media_type)
        response = host.get(f"/components/{name}")
        headers = dict(response.headers)
        assert (response.body.decode(), headers["x-component-type"]) == (text, type)
        assert headers["x-component-media-type"] == media_type
        # A browser is to show it, and not to run it.
        assert headers["content-type"] == "text/plain; charset=utf-8"


def test_percentages_and_pins_are_of_the_component_of_the_type(host: Host) -> None:
    host.store.put("rollout-percentage", '{"answer": 0, "schemas/answer": 100}')
    versions = [found["version"] for found in resolve(host, "answer", "schemas/answer")["references"]]
    assert versions == ["v1.0.0", "v2.1.0"]
    problem = resolve(host, "schemas/answer@v1.0.0", status=404)
    assert "unknown version `v1.0.0` of `schemas/answer`; it has v1.9.0, v2.0.0, v2.1.0" in problem["detail"]


def test_the_map_and_the_past_know_each_by_its_key(host: Host) -> None:
    moves: dict[str, Any] = {"at": "2024-11-01T00:00:00Z", "environment": "prod", "actor": None}
    host.store.put("history/answer", [{**moves, "version": "v0.1.0"}])
    host.store.put("history/schemas/answer", [{**moves, "version": "v0.2.0"}])
    everything = value(host.get("/version"))["components"]
    assert everything == {"answer": "v1.0.0", "classify": "v3.0.0", "older": "v0.1.0", "schemas/answer": "v2.0.0"}
    for name, key, now, then in (
        ("answer", "answer", "v1.0.0", "v0.1.0"),
        ("prompts/answer", "answer", "v1.0.0", "v0.1.0"),
        ("schemas/answer", "schemas/answer", "v2.0.0", "v0.2.0"),
    ):
        assert value(host.get(f"/version?component={name}"))["components"] == {key: now}
        at = "2024-11-02T00:00:00Z"
        assert value(host.get(f"/version?component={name}&at={at}"))["components"] == {key: then}
        assert [found["version"] for found in resolve(host, name, at=at)["references"]] == [then]
        answer = value(host.get(f"/history/{name}"))
        assert (answer["component"], answer["moves"][0]["version"]) == (key, then)


@pytest.mark.parametrize("type", ['"thing"', "null", "7", '"prompts"', '["prompt"]'])
def test_a_type_that_is_none_spoils_only_itself(host: Host, type: str) -> None:
    host.store.put("component-versions", f'{{"answer": {{"$type": {type}, "prod": "v1.0.0"}}}}')
    (found,) = resolve(host, "answer")["references"]
    assert (found["version"], "type" in found) == ("v1.0.0", False)
    (problem,) = value(host.get("/health"))["problems"]
    assert problem.startswith("component-versions: answer.$type: ")
    assert "is no type; there are agent, config" in problem
