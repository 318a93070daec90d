"""Which file is which component: today, at a commit, and in every kind of repository that git knows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.components.discovery import Component, Texts, discover, read_path
from edgit.components.files import locate, read_files
from edgit.components.keys import by_key
from edgit.components.registry import read_registry
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.repository.catalog import versions_of
from edgit.repository.problems import read_problems, read_versions_without_file
from resolver.reference import is_name
from tests.edgit.repo import Repo, clone, make


def texts(**files: str) -> Texts:
    """The texts of files, by the stem of their path."""
    return lambda paths: {path: files[Path(path).stem] for path in paths if Path(path).stem in files}


def found(repo: Repo) -> dict[str, str]:
    """Name → path, as edgit sees the files of today."""
    with repo.here():
        components = by_key(read_files(Git.open(repo.root)), repo.read().types)
        return {key: component.path for key, component in components.items()}


# Paths


@pytest.mark.parametrize(
    ("path", "name", "type"),
    [
        ("components/prompts/my-prompt.md", "my-prompt", "prompt"),
        ("prompts/my-prompt.md", "my-prompt", "prompt"),
        ("configs/limits.json", "limits", "config"),
        ("components/queries/report.v2.sql", "report.v2", "query"),
        ("components/templates/mail/header.html", "mail/header", "template"),
        ("components/docs/README", "README", "docs"),
        ("components/ensembles/ab.yaml", "ab", "ensemble"),
        ("agents/scorer/agent.yaml", "scorer/agent", "agent"),
        ("components/prompts/prüfung.md", "prüfung", "prompt"),
    ],
)
def test_a_path_that_is_a_component(path: str, name: str, type: str) -> None:
    assert read_path(path) == Component(name, path, type)


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "components/README.md",
        "components/my-prompt.md",
        "prompts",
        "src/prompts/x.md",
        "components/prompts/.hidden",
        "components/prompts/with space.md",
        "components/prompts/-x.md",
        "components/tools/x.md",
        "components/components/prompts/x.md",
        # Its tags and its references would be those of `x`.
        "components/templates/prompts/x.md",
        "components/prompts/x.m\nd",
        "components/prompts/x.\udcff",
        "",
    ],
)
def test_a_path_that_is_none(path: str) -> None:
    assert read_path(path) is None


@given(st.text(max_size=30), st.sampled_from(["components/prompts/", "prompts/", ""]))
def test_any_path_is_read_or_is_not(text: str, folder: str) -> None:
    component = read_path(folder + text)
    if component:
        assert is_name(component.name)
        assert component.path == folder + text
        component.path.encode()


def test_two_files_of_one_name_are_both_kept() -> None:
    both = discover(["components/prompts/x.md", "components/prompts/x.txt"], {}, texts())
    assert both == (Component("x", "components/prompts/x.md", "prompt", ("components/prompts/x.txt",)),)


def test_below_components_goes_before_the_root() -> None:
    assert discover(["prompts/x.md", "components/prompts/x.txt"], {}, texts()) == (
        Component("x", "components/prompts/x.txt", "prompt"),
    )
    assert discover(["prompts/x.md", "components/queries/x.sql"], {}, texts()) == (
        Component("x", "components/queries/x.sql", "query"),
        Component("x", "prompts/x.md", "prompt"),
    )


def test_the_registry_goes_before_both() -> None:
    registry = read_registry(b'{"components": {"x": {"path": "other/x.md"}, "y": {"path": "prompts/z.md"}}}')
    assert discover(["components/prompts/x.md", "prompts/z.md"], registry, texts()) == (
        Component("x", "other/x.md", None),
        Component("y", "prompts/z.md", "prompt"),
    )


# The registry


def test_the_registry_of_edgit_itself() -> None:
    text = json.dumps(
        {
            "version": "3.0.0",
            "components": {
                "limits-config": {"path": "configs/limits.json", "type": "config"},
                "scorer": {"path": "agents/scorer/agent.yaml", "type": "agent-definition"},
                "search": {"path": "./tools/search.ts", "type": "tool"},
            },
            "updated": "2024-11-01T09:00:00.000Z",
        }
    )
    assert read_registry(text.encode()) == {
        "limits-config": Component("limits-config", "configs/limits.json", "config"),
        "scorer": Component("scorer", "agents/scorer/agent.yaml", "agent"),
        "search": Component("search", "tools/search.ts", None),
    }


@pytest.mark.parametrize(
    "text", ['{"x": {"path": "a/x.md"}}', '{"x": "a/x.md", "version": "1"}', '\ufeff{"x": "a/x.md"}']
)
def test_shorter_forms(text: str) -> None:
    assert read_registry(text.encode()) == {"x": Component("x", "a/x.md", None)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "components": {,}\n}', ".edgit/components.json:2:18: not JSON"),
        ("", ".edgit/components.json:1:1: not JSON"),
        ("[]", "must be an object"),
        ('{"components": []}', "must be an object name"),
        ('{"components": {\n"x": {"type": "prompt"}}}', ".edgit/components.json:2: `x` needs a `path`"),
        ('{"components": {\n\n"x": 5}}', ".edgit/components.json:3: `x` needs a `path`"),
        ('{"components": {"x": {"path": "/etc/passwd"}}}', "`x` needs a `path` below the repository's root"),
        ('{"components": {"x": {"path": "a/../../x"}}}', "`x` needs a `path` below the repository's root"),
        ('{"components": {"x": {"path": "a\\nb"}}}', "characters that cannot be printed"),
        ('{"components": {"a b": {"path": "a.md"}}}', "`a b` is not a component name"),
        ('{"components": {"prompts/docs/x": {"path": "a.md"}}}', "`docs/x` instead of `prompts/docs/x`"),
        (
            '{"components": {"prompts/x": {"path": "a.md", "type": "docs"}}}',
            "`prompts/x` says prompt, and its `type` docs",
        ),
        (
            '{"x": {"path": "prompts/a"},\n"prompts/x": "prompts/b"}',
            ".edgit/components.json:2: `x` and `prompts/x` are",
        ),
        ('{"components": {\n"x": "a/b",\n"x": "a/c"}}', ".edgit/components.json:3: `x` stands there twice"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_registry_and_where(text: str, said: str) -> None:
    with pytest.raises(EdgitError, match=r".*") as caught:
        read_registry(text.encode())
    assert said in caught.value.detail


def test_a_registry_that_is_not_text() -> None:
    with pytest.raises(EdgitError, match="not UTF-8"):
        read_registry(b"\xff\xfe")


def test_a_spoilt_registry_keeps_nobody_from_rolling_back(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("x", "v1.0.0")
    repo.version("x", "v1.1.0")
    repo.deploy("x", "v1.0.0")
    repo.deploy("x", "v1.1.0")
    repo.write(".edgit/components.json", "{", commit=False)
    assert repo.edgit("components", "list", code=1).err.startswith("error: .edgit/components.json:1:2: not JSON")
    repo.edgit("rollback", "x", "--from", "prod")
    assert repo.live("x") == "v1.0.0"


# Kinds of repositories


def test_files_of_the_work_tree_without_those_that_git_ignores(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("components/prompts/committed.md", "x")
    repo.write("components/prompts/fresh.md", "x", commit=False)
    repo.write("components/prompts/ignored.md", "x", commit=False)
    repo.write("components/prompts/gone.md", "x")
    (repo.root / "components/prompts/gone.md").unlink()
    repo.write(".gitignore", "ignored.md\n", commit=False)
    assert sorted(found(repo)) == ["committed", "fresh"]


def test_spaces_and_unicode_and_odd_settings(tmp_path: Path) -> None:
    repo = make(tmp_path / "some folder ü")
    for setting in ("core.quotePath=true", "core.autocrlf=true", "core.ignoreCase=true"):
        repo.git("config", *setting.split("="))
    repo.write("components/prompts/grüße.md", "grüße\r\n")
    repo.write("some folder/büro text.md", "büro")
    repo.write(".edgit/components.json", '{"büro": "some folder/büro text.md"}')
    assert found(repo) == {"grüße": "components/prompts/grüße.md", "büro": "some folder/büro text.md"}
    for name in ("grüße", "büro"):
        repo.edgit("tag", "create", name, "v1.0.0")
        repo.deploy(name, "v1.0.0")
    with repo.here():
        assert repo.read().environments("büro") == {"prod": "v1.0.0"}
    assert repo.edgit("history", "grüße").out.startswith("prod: v1.0.0")
    assert repo.git("show", "refs/edgit/ledger:versions/büro/v1.0.0") == "büro"


def test_a_name_that_is_not_utf8_is_in_nobodys_way(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("x", "v1.0.0")
    for name in (b"bad-\xff.md", b"x.\xff", b"line\nend.md"):
        (repo.root / "components/prompts" / os.fsdecode(name)).write_text("x")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "odd names")
    assert found(repo) == {"x": "components/prompts/x.md"}
    repo.version("x", "v1.1.0", "other")
    repo.deploy("x", "v1.1.0")
    bare = clone(repo, tmp_path / "bare.git", "--bare")
    assert found(bare) == {"x": "components/prompts/x.md"}


def test_links_and_submodules_are_no_components(tmp_path: Path) -> None:
    inner = make(tmp_path / "inner")
    inner.write("components/prompts/inside.md", "x")
    repo = make(tmp_path / "work")
    repo.write("components/prompts/real.md", "x")
    (repo.root / "components/prompts/link.md").symlink_to("real.md")
    (repo.root / "components/queries").symlink_to("prompts")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.root), "components/scripts")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "links")
    assert found(repo) == {"real": "components/prompts/real.md"}
    assert found(clone(repo, tmp_path / "bare.git", "--bare")) == {"real": "components/prompts/real.md"}


def test_from_a_folder_below(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("x", "v1.0.0")
    below = Repo(repo.root / "components/prompts", repo.now)
    below.deploy("x", "v1.0.0")
    assert below.live("x") == "v1.0.0"
    below.write("y.md", "y", commit=False)
    below.edgit("tag", "create", "y", "v1.0.0")
    assert "v1.0.0" in below.edgit("tag", "list", "y").out


def test_a_second_work_tree_shares_the_ledger_and_has_files_of_its_own(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("x", "v1.0.0")
    repo.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    side = Repo(tmp_path / "side", repo.now)
    side.version("y", "v1.0.0")
    side.deploy("y", "v1.0.0")
    assert found(repo) == {"x": "components/prompts/x.md"}
    assert repo.live("y") == "v1.0.0"


def test_a_bare_repository(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("x", "v1.0.0")
    repo.write(".edgit/components.json", '{"other": "notes/other.md"}', commit=False)
    repo.write("notes/other.md", "o", commit=False)
    repo.git("add", "-A")
    repo.git("commit", "-qm", "other")
    bare = clone(repo, tmp_path / "bare.git", "--bare")
    assert found(bare) == {"x": "components/prompts/x.md", "other": "notes/other.md"}
    bare.deploy("x", "v1.0.0")
    assert bare.live("x") == "v1.0.0"
    bare.edgit("tag", "create", "other", "v1.0.0")
    assert bare.git("show", "components/other/v1.0.0:notes/other.md") == "o"


def test_a_repository_with_no_commit(tmp_path: Path) -> None:
    for bare in (False, True):
        repo = Repo(tmp_path / str(bare))
        repo.root.mkdir()
        repo.git("init", "--quiet", *(["--bare"] if bare else []))
        assert repo.edgit("components", "list").code == 0
        assert repo.edgit("components", "list", "--format", "json").out.strip() == "[]"
        assert repo.edgit("history").out == ""
        assert repo.edgit("deploy", "get", "x", "--from", "prod", code=1).err.startswith("error: unknown component `x`")
    repo = Repo(tmp_path / "False")
    repo.write("prompts/x.md", "x", commit=False)
    assert found(repo) == {"x": "prompts/x.md"}
    repo.edgit("tag", "create", "x", "v1.0.0")
    assert "v1.0.0" in repo.edgit("tag", "list", "x").out


def test_on_an_unborn_branch_and_on_no_branch(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("x", "v1.0.0")
    repo.git("checkout", "--quiet", "--detach")
    repo.deploy("x", "v1.0.0")
    repo.git("checkout", "--quiet", "--orphan", "empty")
    repo.git("rm", "-rfq", ".")
    assert repo.live("x") == "v1.0.0"
    assert "x" in repo.edgit("components", "list").out


def test_a_sparse_checkout_still_has_its_components(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("components/prompts/x.md", "x")
    repo.write("docs/y.md", "y")
    repo.git("sparse-checkout", "set", "docs")
    assert not (repo.root / "components").exists()
    assert sorted(found(repo)) == ["x", "y"]
    repo.edgit("tag", "create", "x", "v1.0.0")
    assert repo.git("show", "components/x/v1.0.0:components/prompts/x.md") == "x"


def test_a_clone_that_fetches_files_when_they_are_asked_for(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.version("x", "v1.0.0")
    repo.version("x", "v1.1.0")
    repo.deploy("x", "v1.0.0")
    partial = Repo(tmp_path / "partial", repo.now)
    partial.root.mkdir()
    Repo(tmp_path, repo.now).git(
        "clone", "--quiet", "--no-checkout", "--filter=blob:none", repo.root.as_uri(), str(partial.root)
    )
    partial.git("fetch", "--quiet", "origin", "refs/edgit/ledger:refs/edgit/ledger")
    assert partial.live("x") == "v1.0.0"
    repo.root.rename(tmp_path / "away")
    assert partial.live("x") == "v1.0.0"
    assert "v1.1.0" in partial.edgit("tag", "list", "x").out


@pytest.mark.parametrize("where", [".git", "."])
def test_where_there_is_no_work_tree_it_says_so(where: str, tmp_path: Path) -> None:
    repo = make(tmp_path / "work") if where == ".git" else Repo(tmp_path)
    inside = Repo(repo.root / where, repo.now)
    answer = inside.edgit("components", "list", code=1)
    said = "in the folder that git keeps for itself" if where == ".git" else "is not in a git repository"
    assert said in answer.err
    assert "next: " in answer.err


# Files at a commit


def test_a_version_stays_readable_wherever_its_file_has_been(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    places = [
        "prompts/x.md",
        "components/prompts/x.md",
        "components/prompts/x.txt",
        "notes/x.md",
        "components/queries/x.md",
    ]
    commits = []
    for number, place in enumerate(places):
        for before in places[:number]:
            (repo.root / before).unlink(missing_ok=True)
        repo.git("add", "-A")
        if place.startswith("notes/"):
            repo.write(".edgit/components.json", '{"x": "notes/x.md"}')
        else:
            (repo.root / ".edgit/components.json").unlink(missing_ok=True)
            repo.git("add", "-A")
        commits.append(repo.write(place, f"text {number}"))
        repo.git("tag", "-a", f"components/x/v1.{number}.0", "-m", "Release")
    for gone in (False, True):
        if gone:
            (repo.root / places[-1]).unlink()
            repo.git("add", "-A")
            repo.git("commit", "-qm", "gone")
        with repo.here():
            world = repo.read()
            files = locate(world.git, [("x", commit) for commit in commits], world.types)
            assert [files["x", commit].path for commit in commits] == places
            assert versions_of(world, "x") == [f"v1.{number}.0" for number in range(5)][::-1]
            assert read_versions_without_file(world) == {}
            git = world.git
            assert [git.read([files["x", c].blob])[files["x", c].blob].body for c in commits] == [
                f"text {number}".encode() for number in range(5)
            ]
    repo.edgit("adopt")
    assert repo.git("show", "refs/edgit/ledger:versions/x/v1.3.0") == "text 3"


def test_the_registry_of_that_commit_counts_and_not_todays(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("components/prompts/x.md", "another text of the time")
    repo.write("notes/one.md", "one", commit=False)
    repo.git("add", "-A")
    old = repo.write(".edgit/components.json", '{"x": "notes/one.md"}')
    repo.write(".edgit/components.json", '{"x": "components/prompts/x.md"}')
    spoilt = repo.write(".edgit/components.json", "{")
    now = repo.write(".edgit/components.json", "{}")
    with repo.here():
        world = repo.read()
        files = locate(world.git, [("x", commit) for commit in (old, spoilt, now)], world.types)
    assert files["x", old].path == "notes/one.md"
    assert files["x", spoilt].path == "components/prompts/x.md"
    assert files["x", now].path == "components/prompts/x.md"


def test_a_file_that_the_registry_gave_to_another_name_is_that_ones_alone(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write(".edgit/components.json", '{"y": "components/prompts/z.md"}')
    then = repo.write("components/prompts/z.md", "y's")
    repo.git("rm", "-rfq", ".edgit", "components")
    repo.git("commit", "-qm", "gone")
    with repo.here():
        world = repo.read()
        files = locate(world.git, [("y", then), ("z", then)], world.types)
    assert files["y", then].path == "components/prompts/z.md"
    assert ("z", then) not in files


def test_a_version_whose_file_is_not_to_be_found_is_told(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.git("tag", "-a", "components/x/v0.9.0", "-m", "before there was a file")
    repo.version("x", "v1.0.0")
    with repo.here():
        (doubt,) = read_problems(repo.read())
    assert doubt.startswith("the tag components/x/v0.9.0 is at no commit with a file of x, and is left out")
    repo.edgit("adopt")
    with repo.here():
        assert read_problems(repo.read()) == [doubt]
    assert "has no file at the commit of its tag" in repo.deploy("x", "v0.9.0", code=3).err
