"""`edgit publish --layout conductor`: what Conductor's own readers find in KV.

The readers here build their keys as Conductor's source does; each says where.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgit.kv.local import LocalKv
from edgit.kv.store import KvValue, KvWrite
from resolver.directories import DIRECTORIES
from resolver.documents import VERSION_MAP
from tests.edgit.repo import Repo, make

Get = Callable[[str], str | None]


def edgit_binding(get: Get, type: str, name: str, slot: str) -> str | None:
    """utils/component-resolver.ts, resolveComponentRef: `components/${pathPart}/${version}`."""
    return get(f"components/{DIRECTORIES[type]}/{name}/{slot}")


def components_binding(get: Get, type: str, name: str, slot: str) -> str | None:
    """utils/component-resolver.ts, resolveComponentRef: `${pathPart}/${version}`."""
    return get(f"{DIRECTORIES[type]}/{name}/{slot}")


def component_loader(get: Get, type: str, name: str, slot: str) -> str | None:
    """runtime/component-loader.ts, buildKVKey: `${prefix}/${parsed.path}@${parsed.version}`."""
    return get(f"{DIRECTORIES[type]}/{name}@{slot}")


def sdk(get: Get, type: str, name: str, slot: str) -> str | None:
    """sdk/edgit.ts, buildComponentKey: `${namespace}/${name}/${version}`, where a namespace is the type and an s."""
    return get(f"{'queries' if type == 'query' else f'{type}s'}/{name}/{slot}")


READERS = (edgit_binding, components_binding, component_loader, sdk)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A prompt and a schema of one name, a query, and an agent that lies deeper than its name."""
    repo = make(tmp_path / "work")
    repo.write("components/prompts/answer.md", "prompt 1")
    repo.write("components/schemas/answer.json", "{}")
    repo.write("components/queries/find/users.sql", "select 1")
    repo.write("components/agents/examples/hello/agent.yaml", "name: hello\n")
    for name in ("answer", "schemas/answer", "find/users", "hello"):
        repo.edgit("tag", "create", name, "v1.0.0")
    repo.edgit(
        "deploy", "set", *[f"{n}@v1.0.0" for n in ("answer", "schemas/answer", "find/users", "hello")], "--to", "prod"
    )
    repo.write("components/prompts/answer.md", "prompt 2")
    repo.edgit("tag", "create", "answer", "v1.1.0")
    repo.edgit("deploy", "set", "answer", "v1.1.0", "--to", "staging")
    return repo


def kv_of(repo: Repo) -> LocalKv:
    return LocalKv(repo.root / "kv.sqlite3")


def publish(repo: Repo, *more: str) -> dict[str, Any]:
    answer = repo.edgit("publish", "--kv", f"local={kv_of(repo).path}", "--format", "json", *more)
    found: dict[str, Any] = json.loads(answer.out)
    return found


def get(repo: Repo) -> Get:
    kv = kv_of(repo)

    def read(key: str) -> str | None:
        entry = kv.get_many([key])[key]
        return entry.value if entry else None

    return read


def keys(repo: Repo) -> dict[str, KvValue]:
    kv = kv_of(repo)
    found = kv.get_many(list(kv.list_keys("")))
    return {key: entry for key, entry in found.items() if entry}


LIVE = [
    ("prompt", "answer", "v1.0.0", "prompt 1"),
    ("prompt", "answer", "v1.1.0", "prompt 2"),
    ("prompt", "answer", "prod", "prompt 1"),
    ("prompt", "answer", "staging", "prompt 2"),
    ("prompt", "answer", "latest", "prompt 2"),
    ("schema", "answer", "v1.0.0", "{}"),
    ("schema", "answer", "prod", "{}"),
    ("schema", "answer", "latest", "{}"),
    ("query", "find/users", "v1.0.0", "select 1"),
    ("query", "find/users", "prod", "select 1"),
    ("agent", "hello", "prod", "name: hello\n"),
    ("agent", "hello", "latest", "name: hello\n"),
]


def test_each_reader_finds_each_slot(repo: Repo) -> None:
    publish(repo, "--layout", "conductor")
    for reader in READERS:
        found = [(type, name, slot, reader(get(repo), type, name, slot)) for type, name, slot, _ in LIVE]
        assert found == LIVE, reader.__name__


def test_the_sdk_lists_versions_and_says_what_a_deployment_is(repo: Repo) -> None:
    """sdk/edgit.ts, listComponentVersions and getComponentDeployment."""
    publish(repo, "--layout", "conductor")
    assert json.loads(get(repo)("prompts/answer/_versions") or "") == ["v1.1.0", "v1.0.0"]
    metadata = keys(repo)["prompts/answer/prod"].metadata
    assert isinstance(metadata, dict)
    assert (metadata["version"], metadata["type"]) == ("v1.0.0", "prompt")
    assert metadata["sha"] == repo.git("rev-parse", "components/answer/v1.0.0^{commit}")


def test_without_the_layout_there_are_no_such_keys(repo: Repo) -> None:
    publish(repo)
    for reader in READERS:
        assert reader(get(repo), "prompt", "answer", "prod") is None


def test_only_what_changed_is_written_and_the_choice_is_kept(repo: Repo) -> None:
    publish(repo, "--layout", "conductor")
    assert repo.git("config", "edgit.layout") == "conductor"
    before = keys(repo)
    repo.edgit("deploy", "set", "answer", "v1.1.0", "--to", "prod")
    assert publish(repo)["written"] == {"contents": 0, "indexes": 0, "histories": 1, "map": 1, "slots": 3}
    after = keys(repo)
    assert {key for key in after if after[key] != before.get(key)} == {
        "components/prompts/answer/prod",
        "prompts/answer/prod",
        "prompts/answer@prod",
        "history/answer",
        VERSION_MAP,
    }
    assert get(repo)("prompts/answer@prod") == "prompt 2"
    assert "slots" not in publish(repo)["written"]
    assert "slots" not in publish(repo, "--full")["written"]


def test_another_clone_goes_on_with_the_layout_that_kv_has(repo: Repo) -> None:
    publish(repo, "--layout", "conductor")
    repo.git("config", "--unset", "edgit.layout")
    repo.edgit("deploy", "set", "answer", "v1.1.0", "--to", "prod")
    publish(repo)
    assert get(repo)("prompts/answer@prod") == "prompt 2"


def test_a_pointer_that_goes_takes_its_keys_along(repo: Repo) -> None:
    publish(repo, "--layout", "conductor")
    repo.edgit("deploy", "unset", "answer", "--from", "staging")
    assert publish(repo)["written"]["slots"] == 3
    for reader in READERS:
        assert reader(get(repo), "prompt", "answer", "staging") is None
        assert reader(get(repo), "prompt", "answer", "prod") == "prompt 1"


def test_a_slot_that_a_stopped_publish_left_behind_is_set_right(repo: Repo) -> None:
    publish(repo, "--layout", "conductor")
    kv = kv_of(repo)
    repo.edgit("deploy", "set", "answer", "v1.1.0", "--to", "prod")
    stopped = kv.get_many(["prompts/answer@staging"])["prompts/answer@staging"]
    assert stopped is not None
    kv.put_many([KvWrite("prompts/answer@prod", *stopped)])
    repo.edgit("deploy", "set", "answer@v1.0.0", "--no-publish")
    publish(repo)
    assert get(repo)("prompts/answer@prod") == "prompt 1"


def test_the_plain_layout_takes_away_what_the_other_wrote_and_nothing_else(repo: Repo) -> None:
    publish(repo)
    before = keys(repo)
    kv_of(repo).put_many([KvWrite("prompts/other@prod", "somebody else's")])
    publish(repo, "--layout", "conductor")
    publish(repo, "--layout", "plain")
    assert keys(repo) == {**before, "prompts/other@prod": KvValue("somebody else's")}


def test_what_was_deleted_comes_back_with_full(repo: Repo) -> None:
    publish(repo, "--layout", "conductor")
    kv_of(repo).delete_many(["queries/find/users@prod"])
    assert publish(repo, "--full")["written"]["slots"] == 1
    assert get(repo)("queries/find/users@prod") == "select 1"


def test_a_setting_that_is_no_layout_is_told(repo: Repo) -> None:
    repo.git("config", "edgit.layout", "conducter")
    said = repo.edgit("publish", "--kv", f"local={kv_of(repo).path}", code=1).err
    assert "edgit.layout is `conducter`" in said
