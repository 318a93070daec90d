"""What components are called: by the name that a file says, and by a type where two types share a name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgit.components.discovery import Component, discover
from edgit.components.files import locate
from edgit.components.keys import KnownTypes, by_key, pick, split_key
from edgit.components.names import stated_name
from edgit.components.tags import PREFIX, read_tags
from edgit.git.process import Git
from edgit.kv.local import LocalKv
from edgit.repository.catalog import read_catalog
from resolver.documents import VERSION_MAP
from tests.edgit.repo import Repo, make

ENSEMBLE = "name: x\nflow:\n  - agent: think\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return make(tmp_path / "work")


def keys(repo: Repo) -> dict[str, str]:
    """Key → path of today's files."""
    with repo.here():
        return {key: found.path for key, found in read_catalog(repo.read()).components.items()}


def tags(repo: Repo) -> set[str]:
    return set(repo.git("tag").splitlines())


# The name that a file says


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: x\n", "x"),
        ("# a comment\nversion: 1.0.0\nname: debug-echo # said\nflow: []\n", "debug-echo"),
        ("name: 'x'\r\n", "x"),
        ('name: "x"', "x"),
        ("ensemble: x\nflow: []\n", "x"),
        ("ensemble: y\nname: x\n", "x"),
        ("flow:\n  - name: step\nname: x\n", "x"),
        ("text: |\n  name: no\nname: x\n", "x"),
        ("name: mail/header\n", "mail/header"),
        # Written otherwise, and so left to the YAML reader.
        ('{"name": "x"}', "x"),
        ("name: &anchor x\n", "x"),
        ("name: >-\n  x\n", "x"),
        ('name: "\\x78"\n', "x"),
        ("name: !!str x\n", "x"),
        # A slip further down renames nothing.
        ("name: x\nflow: [\n", "x"),
    ],
)
def test_the_name_that_a_file_says(text: str, name: str) -> None:
    assert stated_name(text, "flow.yaml") == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("flow: []\n", "it has no `name:`"),
        ("flow:\n  - name: step\n", "it has no `name:`"),
        ("", "it cannot be read"),
        ("flow: [\n", "it cannot be read"),
        ("name: 404\n", "its `name:` is no text: 404"),
        ("name: true\n", "its `name:` is no text: True"),
        ("name: x\nname: y\n", "it cannot be read"),
        ("- name\n", "it has no `name:`"),
    ],
)
def test_why_a_file_says_no_name(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        stated_name(text, "flow.yaml")
    assert why in str(caught.value)


FILES = {
    "ensembles/examples/x.yaml": "name: x\n",
    "ensembles/examples/README.md": "name: readme\n",
    "ensembles/examples/code.ts": "name: code\n",
    "ensembles/nameless.yaml": "flow: []\n",
    "agents/examples/hello/agent.yaml": "name: hello\n",
    "agents/examples/hello/index.ts": "",
    "agents/debug/echo/echo.yaml": "name: echo\n",
    "agents/debug/echo/echo.ts": "",
    "agents/debug/echo/helper.ts": "",
    "agents/docs/docs.yaml": "name: docs\n",
    "agents/index.yaml": "name: index\n",
    "configs/limits.yaml": "name: other\n",
    "configs/limits.ts": "",
    "scripts/clean.ts": "",
    "scripts/index.ts": "",
    "templates/index.html": "",
    "prompts/README.md": "",
    "prompts/ask.md": "",
}


def test_which_files_are_components_and_how_they_are_called() -> None:
    found = discover(FILES, {}, lambda paths: {path: FILES[path] for path in paths})
    assert {(each.type, each.name): each.path for each in found} == {
        ("ensemble", "x"): "ensembles/examples/x.yaml",
        ("ensemble", "nameless"): "ensembles/nameless.yaml",
        ("agent", "hello"): "agents/examples/hello/agent.yaml",
        ("agent", "echo"): "agents/debug/echo/echo.yaml",
        ("agent", "docs"): "agents/docs/docs.yaml",
        ("config", "limits"): "configs/limits.yaml",
        ("script", "clean"): "scripts/clean.ts",
        ("template", "index"): "templates/index.html",
        ("prompt", "ask"): "prompts/ask.md",
    }
    assert {each.path: each.unnamed for each in found if each.unnamed} == {
        "ensembles/nameless.yaml": "it has no `name:`"
    }


def test_a_version_of_what_says_its_name(repo: Repo) -> None:
    repo.write("agents/examples/hello/agent.yaml", "name: hello\n")
    repo.write("agents/examples/hello/index.ts", "code")
    repo.edgit("tag", "create", "hello", "v1.0.0")
    assert tags(repo) == {"components/hello/v1.0.0"}
    assert "components/hello/v1.0.0" in repo.git("log", "--format=%B", "refs/edgit/ledger")


def test_the_file_of_a_version_is_the_one_that_said_the_name_then(repo: Repo) -> None:
    first = repo.write("ensembles/a.yaml", "name: x\nversion: 1\n")
    repo.write("ensembles/b.yaml", "name: x\nversion: 2\n", commit=False)
    second = repo.write("ensembles/a.yaml", "name: y\n")
    repo.git("tag", "components/x/v1.0.0", first)
    repo.git("tag", "components/x/v2.0.0", second)
    repo.git("add", "-A")
    third = repo.write("ensembles/b.yaml", "name: x\nversion: 3\n")
    repo.git("tag", "components/x/v3.0.0", third)
    repo.edgit("adopt")
    files = {v: repo.git("show", f"refs/edgit/ledger:versions/x/{v}") for v in ("v1.0.0", "v3.0.0")}
    assert files == {"v1.0.0": "name: x\nversion: 1", "v3.0.0": "name: x\nversion: 3"}


def test_two_files_of_one_name_are_both_named(repo: Repo) -> None:
    repo.write("ensembles/a.yaml", ENSEMBLE)
    repo.write("ensembles/deep/b.yaml", ENSEMBLE)
    for command in (("tag", "create", "x", "v1.0.0"), ("check",)):
        said = repo.edgit(*command, code=3 if command[0] == "tag" else 1).all
        assert "several files: ensembles/a.yaml, ensembles/deep/b.yaml" in said
    assert tags(repo) == set()


def test_what_was_tagged_by_its_path_is_read_and_told(repo: Repo) -> None:
    repo.write("ensembles/examples/x.yaml", ENSEMBLE)
    repo.git("tag", "components/examples/x/v1.0.0")
    repo.edgit("adopt")
    repo.edgit("deploy", "set", "examples/x", "v1.0.0", "--to", "prod")
    told = "ensembles/examples/x.yaml says that its name is `x`, and it is tagged as `examples/x`"
    for command in ("check", "status"):
        said = repo.edgit(command).all
        assert told in said
        assert "next: edgit tag create x v1.0.0" in said
    repo.edgit("tag", "create", "x", "v1.0.0")
    assert told not in repo.edgit("status").all
    assert repo.edgit("deploy", "get", "examples/x", "--from", "prod").out == "v1.0.0\n"


def test_a_file_without_a_name_is_told_by_check(repo: Repo) -> None:
    repo.write("agents/plain/agent.yaml", "operation: code\n")
    said = repo.edgit("check").out
    assert "agents/plain/agent.yaml: warning:" in said
    assert "by its path, `plain/agent`: it has no `name:`" in said


# A type and a name


def answers(repo: Repo) -> None:
    repo.write("components/prompts/answer.md", "prompt")
    repo.write("components/schemas/answer.json", "{}")


def test_two_types_of_one_name(repo: Repo) -> None:
    answers(repo)
    assert keys(repo) == {
        "answer": "components/prompts/answer.md",
        "schemas/answer": "components/schemas/answer.json",
    }
    repo.edgit("tag", "create", "answer", "v1.0.0")
    repo.edgit("tag", "create", "schemas/answer", "v2.0.0")
    repo.edgit("deploy", "set", "prompts/answer", "v1.0.0", "schema://answer", "v2.0.0", "--to", "prod")
    assert tags(repo) == {
        "components/answer/v1.0.0",
        "components/answer/prod",
        "components/schemas/answer/v2.0.0",
        "components/schemas/answer/prod",
    }
    assert repo.edgit("deploy", "get", "schemas/answer", "--from", "prod").out == "v2.0.0\n"
    assert repo.edgit("deploy", "get", "answer", "--from", "prod").out == "v1.0.0\n"
    assert "Move: components/schemas/answer/prod none -> v2.0.0" in repo.git("log", "--format=%B", "refs/edgit/ledger")
    assert [
        (each["name"], each["type"]) for each in json.loads(repo.edgit("components", "list", "--format", "json").out)
    ] == [
        ("answer", "prompt"),
        ("schemas/answer", "schema"),
    ]


def test_the_type_that_is_tagged_first_has_the_bare_name_for_good(repo: Repo) -> None:
    answers(repo)
    repo.edgit("tag", "create", "schemas/answer", "v1.0.0")
    assert tags(repo) == {"components/answer/v1.0.0"}
    assert keys(repo) == {
        "answer": "components/schemas/answer.json",
        "prompts/answer": "components/prompts/answer.md",
    }
    repo.edgit("tag", "create", "prompts/answer", "v1.0.0")
    repo.edgit("tag", "create", "schemas/answer", "v1.0.1")
    assert tags(repo) == {"components/answer/v1.0.0", "components/prompts/answer/v1.0.0", "components/answer/v1.0.1"}


def test_a_single_type_keeps_the_bare_name_when_another_comes(repo: Repo) -> None:
    repo.write("components/schemas/answer.json", "{}")
    repo.edgit("tag", "create", "answer", "v1.0.0")
    repo.write("components/prompts/answer.md", "prompt")
    repo.edgit("tag", "create", "prompts/answer", "v1.0.0")
    repo.write("components/schemas/answer.json", "[]")
    repo.edgit("tag", "create", "answer", "v1.1.0")
    assert repo.git("show", "refs/edgit/ledger:versions/answer/v1.1.0") == "[]"
    assert repo.git("show", "refs/edgit/ledger:versions/prompts/answer/v1.0.0") == "prompt"
    assert (
        repo.edgit("deploy", "set", "schemas/answer", "v1.1.0", "--to", "prod").out == "answer prod: none -> v1.1.0\n"
    )


def test_a_type_that_the_name_has_not(repo: Repo) -> None:
    answers(repo)
    said = repo.edgit("tag", "create", "queries/answer", "v1.0.0", code=1).err
    assert "not found: `answer` is a prompt; there is no query `answer`" in said


def test_the_file_of_another_type_is_no_version_of_a_name(repo: Repo) -> None:
    repo.write("components/prompts/answer.md", "prompt")
    repo.edgit("tag", "create", "answer", "v1.0.0")
    repo.git("rm", "-q", "components/prompts/answer.md")
    repo.write("components/schemas/answer.json", "{}")
    said = repo.edgit("tag", "create", "answer", "v1.1.0", "HEAD", code=3).err
    assert "answer is a prompt, and at" in said
    assert "edgit tag create schemas/answer v1.1.0" in said


def test_where_all_tags_are_nested_new_ones_are_too(repo: Repo) -> None:
    repo.write("components/prompts/old.md", "old")
    repo.git("tag", "components/prompts/old/v1.0.0")
    repo.edgit("adopt")
    answers(repo)
    repo.write("components/scripts/run.ts", "code")
    repo.edgit("tag", "create", "answer", "v1.0.0")
    repo.edgit("tag", "create", "schemas/answer", "v1.0.0")
    repo.edgit("tag", "create", "run", "v1.0.0")
    repo.edgit("deploy", "set", "old@v1.0.0", "answer@v1.0.0", "run@v1.0.0", "--to", "prod")
    assert tags(repo) == {
        "components/prompts/old/v1.0.0",
        "components/prompts/old/prod",
        "components/prompts/answer/v1.0.0",
        "components/prompts/answer/prod",
        "components/schemas/answer/v1.0.0",
        "components/scripts/run/v1.0.0",
        "components/scripts/run/prod",
    }


def test_a_component_whose_tags_stand_below_logic_goes_on_there(repo: Repo) -> None:
    repo.write("components/scripts/run.ts", "code")
    repo.git("tag", "logic/scripts/run/v1.0.0")
    repo.edgit("adopt")
    repo.write("components/scripts/run.ts", "more code")
    repo.edgit("tag", "create", "run", "v1.1.0")
    repo.edgit("deploy", "set", "run@v1.1.0", "--to", "prod")
    assert tags(repo) == {"logic/scripts/run/v1.0.0", "logic/scripts/run/v1.1.0", "logic/scripts/run/prod"}


def test_the_tags_of_edgit_itself_that_share_a_name(repo: Repo) -> None:
    answers(repo)
    repo.git("tag", "components/schemas/answer/v1.0.0")
    repo.git("tag", "components/prompts/answer/v1.0.0")
    repo.git("tag", "components/answer/v0.9.0")
    repo.edgit("adopt")
    assert repo.git("ls-tree", "-r", "--name-only", "refs/edgit/ledger").splitlines() == [
        "versions/answer/v0.9.0",
        "versions/answer/v1.0.0",
        "versions/schemas/answer/v1.0.0",
    ]


def test_one_type_in_two_forms_is_one_component() -> None:
    refs = {f"{PREFIX}components/x/v1.0.0": "a", f"{PREFIX}components/prompts/x/v1.1.0": "b"}
    assert set(read_tags(refs).versions["x"]) == {"v1.0.0", "v1.1.0"}
    assert set(read_tags(refs, {"prompts/x"}).versions) == {"x", "prompts/x"}


def test_the_map_says_types(repo: Repo) -> None:
    answers(repo)
    repo.edgit("tag", "create", "answer", "v1.0.0")
    repo.edgit("tag", "create", "schemas/answer", "v2.0.0")
    kv = LocalKv(repo.root / "kv.sqlite3")
    repo.edgit("publish", "--kv", f"local={kv.path}")
    entry = kv.get_many([VERSION_MAP])[VERSION_MAP]
    assert entry is not None
    assert json.loads(entry.value) == {
        "answer": {"$type": "prompt", "latest": "v1.0.0", "stable": "v1.0.0"},
        "schemas/answer": {"$type": "schema", "latest": "v2.0.0", "stable": "v2.0.0"},
    }
    assert set(kv.list_keys("")) - {VERSION_MAP} == {
        "components/answer/v1.0.0",
        "components/schemas/answer/v2.0.0",
        "index/answer",
        "index/schemas/answer",
    }
    assert "nothing to publish" in repo.edgit("publish", "--kv", f"local={kv.path}").out
    bundle = repo.root / "snapshot.json"
    repo.edgit("snapshot", "--kv", f"local={kv.path}", "--output", str(bundle))
    assert json.loads(bundle.read_text())[VERSION_MAP]["schemas/answer"]["$type"] == "schema"


def test_a_percentage_of_a_type_that_the_name_has_not_is_refused(repo: Repo) -> None:
    answers(repo)
    repo.edgit("tag", "create", "answer", "v1.0.0")
    kv = f"local={repo.root / 'kv.sqlite3'}"
    repo.edgit("deploy", "set", "answer@v1.0.0", "--to", "prod-canary")
    repo.edgit("publish", "--kv", kv)
    repo.edgit("canary", "set", "queries/answer", "10", "--kv", kv, code=1)
    assert (
        json.loads(repo.edgit("canary", "set", "prompts/answer", "10", "--kv", kv, "--format", "json").out)["entry"]
        == "answer"
    )


def test_other_clones_have_the_same_keys(repo: Repo, tmp_path: Path) -> None:
    answers(repo)
    for name in ("answer", "schemas/answer"):
        repo.edgit("tag", "create", name, "v1.0.0")
        repo.edgit("deploy", "set", name, "v1.0.0", "--to", "prod")
    bare = tmp_path / "remote.git"
    repo.git("init", "-q", "--bare", str(bare))
    repo.git("remote", "add", "origin", str(bare))
    repo.git("push", "-q", "origin", "HEAD:refs/heads/main")
    repo.edgit("push")
    repo.git("clone", "-q", "--no-tags", "-b", "main", str(bare), str(tmp_path / "other"))
    other = Repo(tmp_path / "other", repo.now)
    other.edgit("pull")
    assert tags(other) == tags(repo)
    assert other.edgit("deploy", "get", "schemas/answer", "--from", "prod").out == "v1.0.0\n"
    other.edgit("deploy", "unset", "schemas/answer", "--from", "prod")
    other.edgit("push")
    repo.edgit("pull")
    assert repo.edgit("deploy", "get", "schemas/answer", "--from", "prod", code=1).out == ""
    assert repo.edgit("deploy", "get", "answer", "--from", "prod").out == "v1.0.0\n"


def test_keys_of_files() -> None:
    prompt, schema = Component("x", "prompts/x.md", "prompt"), Component("x", "schemas/x.json", "schema")
    assert by_key([prompt, schema], {}) == {"x": prompt, "schemas/x": schema}
    assert by_key([prompt, schema], {"x": "schema"}) == {"prompts/x": prompt, "x": schema}
    assert by_key([prompt, schema], {"x": None, "prompts/x": "prompt"}) == {"prompts/x": prompt, "x": schema}
    assert by_key([schema], {"x": "prompt"}) == {"schemas/x": schema}
    known = KnownTypes({"x", "prompts/x"})
    assert pick([prompt, schema], "x", known) == schema
    assert pick([prompt, schema], "prompts/x", known) == prompt
    assert pick([prompt], "schemas/x", known) is None
    assert [split_key(key) for key in ("x", "schemas/x", "mail/x")] == [(None, "x"), ("schema", "x"), (None, "mail/x")]


def test_files_that_said_a_name_are_found_with_as_few_processes_in_many_commits(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = [repo.write("ensembles/old.yaml", f"name: x\nversion: {number}\n") for number in range(20)]
    repo.git("rm", "-q", "ensembles/old.yaml")
    repo.git("commit", "-qm", "gone")
    calls: list[str] = []
    asked = Git.attempt

    def counted(git: Git, *arguments: str, **extra: object) -> object:
        calls.append(arguments[0])
        return asked(git, *arguments, **extra)  # type: ignore[arg-type]

    with repo.here():
        world = repo.read()
        monkeypatch.setattr(Git, "attempt", counted)
        assert len(locate(world.git, [("x", commits[0])], world.types)) == 1
        few = len(calls)
        calls.clear()
        assert len(locate(world.git, [("x", commit) for commit in commits], world.types)) == 20
    assert len(calls) == few > 0
