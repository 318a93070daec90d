"""Moving pointers and making versions in one repository, as the command line shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgit.errors import Refused
from edgit.git.process import Git
from edgit.repository.adoption import take_over
from edgit.repository.changes import DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move
from tests.edgit.repo import Repo, clone, copied, make

LEDGER = "refs/edgit/ledger"
PROD = "refs/tags/components/my-prompt/prod"


def one_live(folder: Path) -> Repo:
    made = make(folder / "work")
    made.version("my-prompt", "v1.0.0")
    made.version("my-prompt", "v1.1.0")
    made.version("other", "v2.0.0")
    made.deploy("my-prompt", "v1.0.0")
    return made


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(one_live, tmp_path)


# All or nothing


def test_the_same_version_again_is_no_move(repo: Repo) -> None:
    before = repo.refs()
    answer = repo.deploy("my-prompt", "1.0.0")
    assert answer.out == "my-prompt prod: v1.0.0 already\n"
    assert repo.refs() == before


def test_several_pointers_are_one_entry(repo: Repo) -> None:
    before = repo.refs()[LEDGER]
    repo.deploy("my-prompt", "v1.1.0", "other@v2.0.0")
    assert repo.git("rev-list", "--count", f"{before}..{LEDGER}") == "1"
    assert (repo.live("my-prompt"), repo.live("other")) == ("v1.1.0", "v2.0.0")
    assert (repo.tagged("my-prompt"), repo.tagged("other")) == ("v1.1.0", "v2.0.0")
    assert repo.git("log", "-1", "--format=%s", LEDGER) == "deploy: 2 pointers, prod"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (("my-prompt", "v1.1.0", "other", "v9.0.0"), "other has no version v9.0.0; it has v2.0.0"),
        (("my-prompt", "v1.1.0", "nobody", "v1.0.0"), "nobody"),
        (("my-prompt", "v1.1.0", "other", "latest"), "latest"),
    ],
)
def test_one_bad_version_and_nothing_moves(repo: Repo, pairs: tuple[str, ...], said: str) -> None:
    before = repo.refs()
    answer = repo.deploy(*pairs, code=None)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert repo.refs() == before


def test_a_dry_run_changes_nothing(repo: Repo) -> None:
    before = repo.refs()
    assert repo.edgit("deploy", "set", "other", "v2.0.0", "--to", "prod", "--dry-run").out.startswith("would move: ")
    repo.edgit("deploy", "unset", "my-prompt", "--from", "prod", "--dry-run")
    repo.edgit("tag", "create", "my-prompt", "v3.0.0", "--dry-run")
    assert repo.refs() == before


def test_a_pointer_that_is_taken_away_and_set_again(repo: Repo) -> None:
    repo.edgit("deploy", "unset", "my-prompt", "--from", "prod")
    assert repo.live("my-prompt") is None
    assert PROD not in repo.refs()
    assert repo.run("cat-file", "-e", f"{LEDGER}:components").code != 0
    repo.deploy("my-prompt", "v1.1.0")
    assert repo.tagged("my-prompt") == "v1.1.0"


def test_a_careful_caller_is_refused_where_something_else_is_live(repo: Repo) -> None:
    before = repo.refs()
    with repo.here():
        desk = RepositoryLock(Git.open(repo.root))
        with desk.locked() as world, pytest.raises(Refused, match=r"is at v1\.0\.0 by now"):
            move(
                desk, world, [DesiredPointer("my-prompt", "prod", "v1.1.0")], expected={("my-prompt", "prod"): "v0.9.0"}
            )
    assert repo.refs() == before


def test_taking_over_a_kv_lifts_the_generation_and_moves_nothing(repo: Repo) -> None:
    with repo.here():
        desk = RepositoryLock(Git.open(repo.root))
        with desk.locked() as world:
            outcome = take_over(desk, world, 70, "KV had it")
    assert outcome.generation == 71
    assert repo.live("my-prompt") == "v1.0.0"
    repo.deploy("my-prompt", "v1.1.0")
    assert "Generation: 72" in repo.git("log", "-1", "--format=%B", LEDGER)


def test_many_pointers_take_no_more_processes_than_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make(tmp_path / "work")
    names = [f"part-{number}" for number in range(12)]
    for name in names:
        repo.write(f"components/prompts/{name}.md", name, commit=False)
    repo.write("components/prompts/last.md", "last")
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "All")
    for name in names:
        repo.git("tag", "-a", "-m", name, f"components/{name}/v1.0.0")
    repo.edgit("adopt")
    calls: list[str] = []
    asked = Git.attempt

    def counted(git: Git, *arguments: str, **extra: object) -> object:
        calls.append(arguments[0])
        return asked(git, *arguments, **extra)  # type: ignore[arg-type]

    monkeypatch.setattr(Git, "attempt", counted)
    repo.deploy(*(f"{name}@v1.0.0" for name in names[:2]))
    calls.clear()
    repo.deploy(*(f"{name}@v1.0.0" for name in names[:2]), to="staging")
    few = len(calls)
    calls.clear()
    repo.deploy(*(f"{name}@v1.0.0" for name in names), to="debug")
    assert len(calls) <= few


# Versions


def test_a_version_again_from_the_same_file_is_the_same(repo: Repo) -> None:
    before = repo.refs()
    assert "from the same file" in repo.edgit("tag", "create", "my-prompt", "v1.1.0").out
    assert repo.refs() == before


def test_a_version_from_another_file_is_refused(repo: Repo) -> None:
    repo.write("components/prompts/my-prompt.md", "other")
    before = repo.refs()
    answer = repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3)
    assert "versions never change" in answer.err
    assert "v1.1.0" in answer.err
    assert repo.refs() == before


def test_a_file_that_is_no_text_is_refused(repo: Repo) -> None:
    (repo.root / "components/prompts/my-prompt.md").write_bytes(b"ab\xff")
    repo.git("commit", "-qam", "Bytes")
    before = repo.refs()
    assert "is not UTF-8 text (byte 2, line 1)" in repo.edgit("tag", "create", "my-prompt", "v3.0.0", code=3).err
    assert repo.refs() == before


def test_a_deleted_version_comes_back_as_it_was(repo: Repo) -> None:
    ref = "refs/tags/components/my-prompt/v1.1.0"
    was = repo.refs()[ref]
    repo.git("tag", "-d", "components/my-prompt/v1.1.0")
    assert "tag restore my-prompt v1.1.0" in repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3).err
    repo.edgit("tag", "restore", "my-prompt", "v1.1.0")
    assert repo.refs()[ref] == was
    assert "is there" in repo.edgit("tag", "restore", "my-prompt", "v1.1.0").out


def test_a_deleted_version_whose_object_is_gone_is_made_anew_at_its_commit(repo: Repo) -> None:
    commit = repo.git("rev-parse", "components/my-prompt/v1.1.0^{commit}")
    repo.git("tag", "-d", "components/my-prompt/v1.1.0")
    repo.git("gc", "--quiet", "--prune=now")
    repo.edgit("tag", "restore", "my-prompt", "v1.1.0")
    assert repo.git("rev-parse", "components/my-prompt/v1.1.0^{commit}") == commit


def test_a_version_that_git_has_collected_whole_comes_back_from_the_ledger(repo: Repo) -> None:
    repo.git("checkout", "--quiet", "--detach")
    repo.version("my-prompt", "v1.2.0", "from a branch\n")
    commit = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "--quiet", "main")
    repo.git("tag", "-d", "components/my-prompt/v1.2.0")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    assert repo.run("cat-file", "-e", commit).code != 0
    repo.edgit("tag", "restore", "my-prompt", "v1.2.0")
    assert repo.git("show", "components/my-prompt/v1.2.0:components/prompts/my-prompt.md") == "from a branch"
    repo.deploy("my-prompt", "v1.2.0")
    assert repo.tagged("my-prompt") == "v1.2.0"


def test_a_rollback_to_a_version_whose_tag_was_deleted_goes_through(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.1.0")
    repo.git("tag", "-d", "components/my-prompt/v1.0.0")
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod")
    assert "components/my-prompt/v1.0.0 was deleted, and is back" in answer.err
    assert repo.tagged("my-prompt") == "v1.0.0"


def test_a_version_that_never_was_is_not_restored(repo: Repo) -> None:
    answer = repo.edgit("tag", "restore", "my-prompt", "v7.0.0", code=1)
    assert "the ledger has no my-prompt v7.0.0; it has v1.0.0, v1.1.0" in answer.err


def test_a_version_that_was_moved_to_another_file_does_not_go_live(repo: Repo) -> None:
    repo.write("components/prompts/my-prompt.md", "smuggled")
    repo.git("tag", "-f", "-a", "-m", "x", "components/my-prompt/v1.1.0")
    before = repo.refs()
    answer = repo.deploy("my-prompt", "v1.1.0", code=3)
    assert "was moved to another file" in answer.err
    assert "edgit tag restore my-prompt v1.1.0" in answer.err
    assert "versions never change" in repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3).err
    original = repo.git("log", "--format=%H", "--grep=Write components/prompts/my-prompt.md").splitlines()[1]
    assert "moved to another file" in repo.edgit("tag", "create", "my-prompt", "v1.1.0", original, code=3).err
    assert repo.refs() == before
    repo.edgit("tag", "restore", "my-prompt", "v1.1.0")
    repo.deploy("my-prompt", "v1.1.0")
    assert repo.git("show", f"{PROD}:components/prompts/my-prompt.md") == "my-prompt v1.1.0"


# Other tools


def test_what_another_tool_moved_is_recorded_before_it_is_moved_on(repo: Repo) -> None:
    repo.now += 600
    repo.name = "Bob"
    repo.git("tag", "-f", "-a", "-m", "Deploy my-prompt@v1.1.0 to prod", "components/my-prompt/prod", "HEAD~1")
    at, repo.name = repo.now, "Ada"
    assert "was moved by another tool" in repo.edgit("history", "my-prompt").err
    repo.now += 600
    repo.deploy("my-prompt", "v1.0.0")
    moves = json.loads(repo.edgit("history", "--format", "json").out)
    assert [(move["version"], move["actor"].split(" ")[0], move["generation"]) for move in moves] == [
        ("v1.0.0", "Ada", 6),
        ("v1.1.0", "Bob", 5),
        ("v1.0.0", "Ada", 4),
    ]
    assert repo.git("log", "-1", "--format=%ct", f"{LEDGER}^") == str(at)


def test_a_tag_that_means_nothing_is_moved_on_even_to_what_is_live(repo: Repo) -> None:
    repo.write("README", "no component here")
    repo.git("tag", "-f", "components/my-prompt/prod")
    answer = repo.deploy("my-prompt", "v1.0.0")
    assert "what it means cannot be told" in answer.err
    assert repo.tagged("my-prompt") == "v1.0.0"
    assert repo.edgit("history", "my-prompt").err == ""


def test_a_tag_that_was_deleted_comes_back_and_is_told(repo: Repo) -> None:
    was = repo.refs()[PROD]
    repo.git("tag", "-d", "components/my-prompt/prod")
    assert repo.live("my-prompt") == "v1.0.0"
    assert "is behind the ledger" in repo.edgit("history", "my-prompt").err
    assert "components/my-prompt/prod follows the ledger: v1.0.0" in repo.deploy("other", "v2.0.0").err
    assert repo.refs()[PROD] == was


def test_what_was_set_right_is_told_with_an_error_too(repo: Repo) -> None:
    repo.git("tag", "-d", "components/my-prompt/prod")
    assert "follows the ledger: v1.0.0" in repo.deploy("other", "v7.0.0", code=1).err
    assert repo.tagged("my-prompt") == "v1.0.0"


def test_a_tag_whose_object_was_collected_is_made_anew_and_its_versions_too(repo: Repo) -> None:
    repo.git("tag", "-d", "components/my-prompt/prod", "components/my-prompt/v1.0.0")
    repo.git("gc", "--quiet", "--prune=now")
    repo.deploy("other", "v2.0.0")
    assert repo.tagged("my-prompt") == "v1.0.0"
    assert repo.edgit("history", "my-prompt").err == ""


def test_a_tag_set_back_to_one_that_it_was_before_follows_the_ledger(repo: Repo) -> None:
    old = repo.refs()[PROD]
    repo.deploy("my-prompt", "v1.1.0")
    repo.version("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.2.0")
    repo.git("update-ref", PROD, old)
    assert repo.live("my-prompt") == "v1.2.0"
    assert "components/my-prompt/prod follows the ledger: v1.2.0" in repo.deploy("other", "v2.0.0").err
    assert repo.tagged("my-prompt") == "v1.2.0"


def test_a_tag_of_a_removed_pointer_that_came_back_is_removed(repo: Repo) -> None:
    old = repo.refs()[PROD]
    repo.edgit("deploy", "unset", "my-prompt", "--from", "prod")
    repo.git("update-ref", PROD, old)
    assert "follows the ledger: removed" in repo.deploy("other", "v2.0.0").err
    assert PROD not in repo.refs()


def test_a_plain_move_back_to_a_version_is_a_move(repo: Repo) -> None:
    for version in ("v1.0.0", "v1.1.0", "v1.0.0"):
        repo.git("tag", "-f", "components/my-prompt/prod", f"components/my-prompt/{version}")
        repo.edgit("adopt")
    assert [move["version"] for move in json.loads(repo.edgit("history", "--format", "json").out)] == [
        "v1.0.0",
        "v1.1.0",
        "v1.0.0",
    ]


def test_a_tag_of_an_older_form_goes_on_under_its_name(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("components/prompts/x.md", "one")
    repo.git("tag", "-a", "-m", "x", "prompts/x/v1.0.0")
    repo.write("components/prompts/x.md", "two")
    repo.git("tag", "-a", "-m", "x", "prompts/x/v1.1.0")
    repo.git("tag", "-a", "-m", "Deploy x@v1.0.0 to prod", "prompts/x/prod", "HEAD~1")
    assert repo.live("x") == "v1.0.0"
    assert "began the ledger from 3 tags" in repo.deploy("x", "v1.1.0").err
    assert "refs/tags/components/x/prod" not in repo.refs()
    assert repo.git("cat-file", "tag", "prompts/x/prod").splitlines()[2] == "tag prompts/x/prod"
    repo.git("tag", "-d", "prompts/x/prod")
    repo.edgit("adopt")
    assert "refs/tags/components/x/prod" not in repo.refs()
    assert repo.git("show", "prompts/x/prod:components/prompts/x.md") == "two"


# Every kind of repository


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    repo = make(tmp_path / "work", format="sha256")
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    assert repo.tagged("my-prompt") == "v1.0.0"
    assert len(repo.refs()[LEDGER]) == 64
    repo.git("tag", "-d", "components/my-prompt/prod", "components/my-prompt/v1.0.0")
    repo.git("gc", "--quiet", "--prune=now")
    repo.edgit("tag", "restore", "my-prompt", "v1.0.0")
    assert repo.git("fsck", "--strict") == ""


def test_a_bare_repository(repo: Repo) -> None:
    bare = clone(repo, repo.root.parent / "bare.git", "--bare")
    bare.git("fetch", "--quiet", str(repo.root), f"{LEDGER}:{LEDGER}")
    bare.deploy("my-prompt", "v1.1.0")
    assert bare.live("my-prompt") == "v1.1.0"
    bare.edgit("tag", "create", "other", "v2.1.0", "HEAD")
    assert bare.tagged("my-prompt") == "v1.1.0"


def test_a_linked_work_tree_shares_the_ledger_and_the_lock(repo: Repo) -> None:
    repo.git("worktree", "add", "--quiet", "../linked")
    linked = Repo(repo.root.parent / "linked", repo.now)
    linked.version("my-prompt", "v1.2.0")
    linked.deploy("my-prompt", "v1.2.0")
    assert repo.live("my-prompt") == "v1.2.0"
    assert not (linked.root / ".git/edgit").exists()
    assert (repo.root / ".git/edgit/lock").exists()


def test_a_submodule(repo: Repo) -> None:
    outer = make(repo.root.parent / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo.root), "inner")
    inner = Repo(outer.root / "inner", repo.now)
    assert (inner.root / ".git").is_file()
    inner.deploy("my-prompt", "v1.1.0")
    assert inner.tagged("my-prompt") == "v1.1.0"
    assert LEDGER not in outer.refs()


def test_names_in_folders(repo: Repo) -> None:
    repo.version("mail/header", "v1.0.0")
    repo.deploy("mail/header", "v1.0.0")
    repo.deploy("mail/header@v1.0.0", "other@v2.0.0", to="debug")
    assert repo.tagged("mail/header", "debug") == "v1.0.0"
    assert repo.git("show", f"{LEDGER}:components/mail/header/prod") == "v1.0.0"


@pytest.mark.parametrize("order", ["environment first", "component first"])
def test_a_name_that_would_be_file_and_folder_is_refused_in_words(repo: Repo, order: str) -> None:
    """`components/my-prompt/debug` is an environment's tag; `components/my-prompt/debug/v1.0.0` another component's."""
    repo.write("components/prompts/my-prompt/debug.md", "deep")
    commands = ["deploy set my-prompt v1.0.0 --to debug", "tag create my-prompt/debug v1.0.0"]
    earlier, later = commands if order == "environment first" else reversed(commands)
    repo.edgit(*earlier.split())
    before = repo.refs()
    answer = repo.edgit(*later.split(), code=3)
    assert "my-prompt/debug" in answer.err
    assert "a file or a folder" in answer.err
    assert repo.refs() == before


def test_a_plain_tag_in_the_way_is_told(repo: Repo) -> None:
    repo.git("tag", "components/my-prompt/debug/old")
    before = repo.refs()
    answer = repo.deploy("my-prompt", "v1.0.0", to="debug", code=3)
    assert "the tag components/my-prompt/debug/old is in the way of components/my-prompt/debug" in answer.err
    assert repo.refs() == before
    repo.deploy("my-prompt", "v1.1.0")


def test_folders_that_are_equal_change_apart(tmp_path: Path) -> None:
    """Components with the same pointers are one tree in git."""
    repo = make(tmp_path / "work")
    for name in ("a", "b", "c"):
        repo.version(name, "v1.0.0")
    repo.version("b", "v1.1.0")
    repo.edgit("deploy", "set", "b@v1.1.0")
    repo.edgit("deploy", "set", "a@v1.0.0", "b@v1.0.0", "c@v1.0.0")
    # Two go and one moves, in one entry.
    repo.edgit("rollback", "--release")
    assert repo.git("ls-tree", "-r", "--name-only", "refs/edgit/ledger", "components") == "components/b/prod"
    assert repo.git("show", "refs/edgit/ledger:components/b/prod") == "v1.1.0"
