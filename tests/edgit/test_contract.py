"""docs/kv-contract.schema.json: what edgit writes into a KV is valid by it, and what is no such document is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgit.kv.local import LocalKv
from resolver.directories import DIRECTORIES
from resolver.documents import VERSION_MAP, content_key, history_key, index_key
from tests.edgit.repo import make

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/kv-contract.schema.json").read_text("utf-8"))


def faults(document: object) -> list[str]:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=checker)
    return [fault.message for fault in validator.iter_errors(document)]


def contents(kv: LocalKv) -> dict[str, dict[str, Any]]:
    """A KV as the schema has it: the values of documents decoded."""
    found: dict[str, dict[str, Any]] = {}
    for key, entry in kv.get_many(list(kv.list_keys(""))).items():
        assert entry is not None
        document = key.startswith((VERSION_MAP, "rollout-", "history/", "index/")) or key.endswith("/_versions")
        found[key] = {"value": json.loads(entry.value) if document else entry.value, "metadata": entry.metadata}
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["type"]["enum"] == list(DIRECTORIES)


@pytest.mark.parametrize("layout", ["plain", "conductor"])
def test_what_edgit_writes_is_valid(tmp_path: Path, layout: str) -> None:
    repo = make(tmp_path / "work")
    repo.write("components/prompts/answer.md", "one")
    repo.write("components/schemas/answer.json", "{}")
    repo.write("components/agents/examples/hello/agent.yaml", "name: hello\n")
    for name in ("answer", "schemas/answer", "hello"):
        repo.edgit("tag", "create", name, "v1.0.0")
    repo.edgit("deploy", "set", "answer@v1.0.0", "schemas/answer@v1.0.0", "--to", "prod")
    repo.edgit("deploy", "set", "answer@v1.0.0", "--to", "prod-canary")
    kv = LocalKv(tmp_path / "kv.sqlite3")
    publish = ("publish", "--kv", f"local={kv.path}", "--layout", layout)
    repo.edgit(*publish)
    repo.edgit("deploy", "unset", "schemas/answer", "--from", "prod")
    repo.edgit("deploy", "set", "schemas/answer@v1.0.0", "--to", "prod-eu-canary")
    repo.edgit("withdraw", "answer@v1.0.0", "--reason", "wrong")
    repo.edgit(*publish)
    repo.edgit("canary", "set", "schemas/answer@prod-eu", "2.5", "--kv", f"local={kv.path}")
    repo.edgit("canary", "set", "10", "--kv", f"local={kv.path}")
    found = contents(kv)
    expected = {
        VERSION_MAP,
        "rollout-percentage",
        "rollout-history",
        history_key("schemas/answer"),
        index_key("answer"),
    }
    assert expected | {content_key("schemas/answer", "v1.0.0")} <= found.keys()
    assert len(found[index_key("answer")]["value"][0]["withdrawn"]) == 1
    assert "withdrawn" not in found[index_key("hello")]["value"][0]
    assert ("prompts/answer@prod" in found) == (layout == "conductor")
    assert faults(found) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (VERSION_MAP, {"x": {"prod": 1}}, "1 is not of type 'string'"),
        (VERSION_MAP, {"x": {"prod": "1.0"}}, "'1.0' does not match"),
        (VERSION_MAP, {"x": {"$type": "tool"}}, "'tool' is not one of"),
        (VERSION_MAP, {"x": {"1prod": "v1.0.0"}}, "'1prod'"),
        (VERSION_MAP, {"x y": {}}, "'x y' does not match"),
        (f"{VERSION_MAP}/7", [], "[] is not of type 'object'"),
        ("rollout-percentage", 101, "101 is not valid"),
        ("rollout-percentage", {"x@": 1}, "is not valid"),
        ("rollout-percentage", {"x": {"percent": 1}}, "is not valid"),
        ("rollout-percentage", {"x": {"percent": 1, "version": "latest"}}, "is not valid"),
        ("rollout-percentage", {"x": {"percent": 1, "version": "v1.0.0", "ramp": 1}}, "is not valid"),
        ("rollout-history", [{"at": "2025-01-01T00:00:00Z"}], "'value' is a required property"),
        ("history/x", [{"at": "2025-01-01", "environment": "prod", "version": None}], "'2025-01-01' does not match"),
        ("history/x", [{"at": "2025-01-01T00:00:00Z", "environment": "prod"}], "'version' is a required property"),
        ("index/x", [{"version": "latest"}], "'latest' does not match"),
        ("index/x", [{"version": "v1.0.0", "withdrawn": True}], "True is not of type 'array'"),
        ("components/x/v1.0.0", {}, "{} is not of type 'string'"),
        ("elsewhere", "", "'elsewhere' does not match any of the regexes"),
    ],
)
def test_what_is_no_such_document(key: str, value: object, said: str) -> None:
    assert any(said in fault for fault in faults({key: {"value": value}})), faults({key: {"value": value}})
