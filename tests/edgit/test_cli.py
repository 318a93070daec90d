"""The commands as an operator gives them: what each says, what it leaves behind, and its exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.edgit.repo import Answer, Repo, clone, copied, make, with_remote
from worker.local.sqlite import SqliteStore


def two_components(folder: Path) -> Repo:
    """my-prompt v1.0.0 and v1.1.0, the second live in prod; my-config v2.1.0, live nowhere. KV is a file."""
    repo = make(folder / "work")
    repo.env["KV"] = str(folder / "kv.sqlite3")
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    repo.version("my-prompt", "v1.1.0")
    repo.deploy("my-prompt", "v1.1.0")
    repo.write("components/configs/my-config.json", "{}\n")
    repo.edgit("tag", "create", "my-config", "v2.1.0")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(two_components, tmp_path)


def kv(repo: Repo, key: str) -> object:
    """A value in KV."""
    found = SqliteStore(Path(repo.env["KV"])).get_many([key])
    return json.loads(found[key][0]) if key in found else None


# What the command was told wrong


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("deploy get my-promt --from prod", 1, "Did you mean `my-prompt`?"),
        ("deploy get nothing --from prod", 1, "there are my-config, my-prompt"),
        ("deploy get my-prompt --from staging", 1, "has nothing live in staging; it is live in prod"),
        ("deploy get my-config --from prod", 1, "it is live nowhere"),
        ("deploy set my-prompt v9.0.0 --to prod", 1, "has no version v9.0.0; it has v1.1.0, v1.0.0"),
        ("deploy set my-prompt one --to prod", 2, "`one` is not a version such as v1.2.3"),
        ("deploy set my-prompt --to prod", 2, "`my-prompt` has no version behind it"),
        ("deploy set my-prompt v1.0.0 my-prompt v1.1.0 --to prod", 2, "my-prompt stands there twice"),
        ("deploy set my-prompt v1.0.0 --to latest", 2, "cannot name an environment"),
        ("deploy set my-prompt v1.0.0 --to a/b", 2, "cannot name an environment"),
        ("history --date 2024-11-12T14:47:00", 2, "has no offset"),
        ("history --date tuesday", 2, "is not an instant"),
        ("history --date 9999-01-01T00:00:00Z", 2, "lies in the future"),
        ("history nothing", 1, "unknown component `nothing`"),
        ("rollback my-config --from prod", 1, "my-config was never live in prod; it is live nowhere"),
        ("rollback my-prompt my-config@1", 2, "my-config: `1` is not a version such as v1.2.3"),
        ("promote my-prompt --from staging --to prod", 1, "has nothing live in staging"),
        ("restore --date 2020-01-01T00:00:00Z --to debug", 1, "nothing was live in prod as of 2020-01-01T00:00:00Z"),
        ("restore --date 2024-11-02T00:00:00Z --to debug --only my-config", 1, "my-config had nothing live in prod"),
        (
            "diff --date 2024-11-01T00:00:00Z --date 2024-11-02T00:00:00Z --date 2024-11-03T00:00:00Z",
            2,
            "or two dates",
        ),
        ("tag create my-prompt v1.0.0", 3, "v1.0.0 exists already, and versions never change"),
        ("tag create my-prompt v1.2.0 nonsense", 1, "git knows no commit `nonsense`"),
        ("tag restore my-prompt v3.0.0", 1, "the ledger has no my-prompt v3.0.0"),
        ("push", 1, "no remote"),
        ("pull", 1, "no remote"),
        ("publish", 1, "no KV is named"),
        ("publish --kv nowhere", 1, "`nowhere` is no KV"),
        ("publish --kv cloudflare", 1, "CLOUDFLARE_API_TOKEN"),
        ("rollback my-prompt --from prod --publish", 1, "no KV is named"),
        ("canary set 101 --kv local", 2, "outside 0 to 100"),
        ("canary set my-prompt many --kv local", 2, "is not a percentage"),
        ("canary set my-prompt@prod-canary 10 --kv local", 2, "my-prompt@prod"),
        ("canary set my-promt 0 --kv local", 1, "Did you mean `my-prompt`?"),
        ("deploy get my-prompt --from prd", 1, "Did you mean `prod`?"),
        ("canary set a b 10 --kv local", 2, "a name and a percentage"),
        ("canary clear my-prompt --kv local", 3, "has no percentage for `my-prompt`"),
        ("canary get nothing --kv local", 1, "has no component `nothing`"),
        ("publish --to cloudflare", 2, "a KV is named with --kv\nnext: edgit publish --kv cloudflare"),
        ("snapshot --from local", 2, "a KV is named with --kv\nnext: edgit snapshot --kv local"),
        ("rollback my-prompt --to v1.0.0", 2, "next: edgit rollback my-prompt@v1.0.0 --from prod\n"),
        ("rollback my-prompt my-prompt@v1.0.0", 2, "my-prompt stands there twice"),
        (
            "log my-prompt --limit 2",
            2,
            "history has it\nnext: edgit history --all my-prompt --limit 2",
        ),
        ("drill my-config", 1, "a drill takes two versions"),
        ("deploi", 2, "Did you mean `deploy`?"),
        ("deploy sett", 2, "Did you mean `set`?"),
        ("--colour", 2, "No such option"),
        # Nothing was watched: 1 would say that it was bad and was rolled back.
        ("guard nothing --from prod --metrics http://127.0.0.1:9/ --threshold 0.01 --kv local", 6, "unknown component"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(repo: Repo, command: str, code: int, said: str) -> None:
    before = repo.refs()
    answer = repo.edgit(*command.split(), code=code)
    assert said in answer.err
    assert answer.err.startswith("error: ")
    assert answer.out == ""
    assert repo.refs() == before


def test_outside_of_a_repository(tmp_path: Path) -> None:
    outside = Repo(tmp_path)
    assert "is not in a git repository" in outside.edgit("components", "list", code=1).err


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    empty = Repo(tmp_path)
    empty.git("init", "--quiet")
    assert "there are no components yet" in empty.edgit("components", "list").err
    assert "nothing has been deployed yet" in empty.edgit("history").err
    assert json.loads(empty.edgit("components", "list", "--format", "json").out) == []
    # Its first commit is the one that `tag create` makes.
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "hello.md").write_text("hi\n")
    assert "made hello v1.0.0" in empty.edgit("tag", "create", "hello", "v1.0.0").out


def test_somebody_whom_git_does_not_know(repo: Repo) -> None:
    repo.git("config", "user.useConfigOnly", "true")
    for name in ("AUTHOR", "COMMITTER"):
        repo.env |= {f"GIT_{name}_NAME": "", f"GIT_{name}_EMAIL": ""}
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod", code=1)
    assert "git does not know who you are" in answer.err
    assert "git config user.name" in answer.err

    repo.write("components/prompts/my-prompt.md", "three\n", commit=False)
    answer = repo.edgit("tag", "create", "my-prompt", "v1.2.0", code=1)
    assert answer.err.startswith("error: git does not know who you are")


# Versions


def test_a_commit_that_git_refuses_makes_no_version_and_stages_nothing(repo: Repo) -> None:
    repo.hook("pre-commit", "echo the linter says no >&2; exit 1")
    repo.write("components/prompts/my-prompt.md", "three\n", commit=False)
    answer = repo.edgit("tag", "create", "my-prompt", "v1.2.0", code=1)
    assert "components/prompts/my-prompt.md has changes, and git does not commit them: the linter says no" in answer.err
    assert "then: edgit tag create my-prompt v1.2.0" in answer.err
    assert repo.git("diff", "--cached", "--name-only") == ""
    assert "v1.2.0" not in repo.edgit("tag", "list", "my-prompt").out


def test_what_else_is_staged_is_not_committed_along(repo: Repo) -> None:
    repo.write("other.txt", "not yet\n", commit=False)
    repo.git("add", "other.txt")
    repo.write("components/prompts/new.md", "new\n", commit=False)
    repo.edgit("tag", "create", "new", "v1.0.0")
    assert repo.git("show", "--format=", "--name-only", "HEAD").split() == ["components/prompts/new.md"]
    assert repo.git("diff", "--cached", "--name-only").split() == ["other.txt"]


def test_a_file_that_is_gone_makes_no_version_by_itself(repo: Repo) -> None:
    (repo.root / "components/prompts/my-prompt.md").unlink()
    assert "`my-prompt` has no file here" in repo.edgit("tag", "create", "my-prompt", "v1.2.0", code=1).err
    assert "made my-prompt v1.2.0" in repo.edgit("tag", "create", "my-prompt", "v1.2.0", "HEAD").out


# Moves


def test_a_move_says_what_it_did_and_what_comes_next(repo: Repo) -> None:
    answer = repo.deploy("my-prompt", "v1.0.0")
    assert answer.out == "my-prompt prod: v1.1.0 -> v1.0.0\n"
    assert answer.err == "next: edgit publish --kv local|cloudflare, or let the workflow do it\n"
    repo.git("config", "edgit.kv", "local")
    said = repo.deploy("my-prompt", "v1.1.0").err.splitlines()
    assert said[0].startswith("note: my-prompt v1.1.0 was rolled back from prod on ")
    assert said[1].startswith("next: edgit publish --kv local,")
    repo.git("config", "edgit.workflow", "publish.yml")
    assert repo.deploy("my-prompt", "v1.0.0").err == ""


def test_several_components_are_one_move(repo: Repo) -> None:
    before = int(repo.git("rev-list", "--count", "refs/edgit/ledger"))
    answer = repo.deploy("my-prompt", "v1.0.0", "my-config@v2.1.0")
    assert answer.out == "my-prompt prod: v1.1.0 -> v1.0.0\nmy-config prod: none -> v2.1.0\n"
    assert int(repo.git("rev-list", "--count", "refs/edgit/ledger")) == before + 1
    # All or nothing: the second one does not exist.
    refs = repo.refs()
    repo.deploy("my-prompt", "v1.1.0", "my-config", "v9.0.0", code=1)
    assert repo.refs() == refs


MOVES = [
    "deploy set my-prompt v1.0.0 --to prod",
    "deploy unset my-prompt --from prod",
    "rollback my-prompt --from prod",
    "restore --date 2024-11-01T09:10:00Z --from prod --to debug",
    "promote my-prompt --from prod --to staging",
    "tag create my-prompt v1.2.0 HEAD~1",
]


@pytest.mark.parametrize("command", MOVES)
def test_a_dry_run_tells_the_same_and_changes_nothing(repo: Repo, command: str) -> None:
    before = repo.refs()
    dry = json.loads(repo.edgit(*command.split(), "--dry-run", "--format", "json").out)
    told = repo.edgit(*command.split(), "--dry-run").out
    assert "would " in told
    assert repo.refs() == before
    assert dry["dry_run"]
    done = json.loads(repo.edgit(*command.split(), "--format", "json").out)
    assert repo.refs() != before
    # What still serves a version is known once it is moved.
    done.pop("still_served", None)
    assert done == {**dry, "dry_run": False}


def test_what_is_live_already_is_no_move(repo: Repo) -> None:
    before = repo.refs()
    assert repo.deploy("my-prompt", "v1.1.0").out == "my-prompt prod: v1.1.0 already\n"
    answer = repo.edgit("deploy", "unset", "my-prompt", "--from", "prd")
    assert answer.out == "my-prompt prd: none already\n"
    assert "nothing of my-prompt was live in prd; it is live in prod" in answer.err
    assert repo.refs() == before


def test_a_new_environment_is_told(repo: Repo) -> None:
    answer = repo.deploy("my-prompt", "v1.0.0", to="pord")
    assert "`pord` is a new environment; there are prod. Did you mean `prod`?" in answer.err
    assert "new environment" not in repo.deploy("my-prompt", "v1.1.0", to="pord").err


def test_rollback_goes_to_the_last_good_version(repo: Repo) -> None:
    assert repo.edgit("rollback", "my-prompt").out == "my-prompt prod: v1.1.0 -> v1.0.0\n"
    # It is not published, so that to repeat it finishes it.
    again = repo.edgit("rollback", "my-prompt", "--from", "prod")
    assert again.out == "my-prompt prod: v1.0.0 already\n"
    assert "it is finished, not begun again. To go on from v1.0.0: --if-current v1.0.0" in again.err
    # v1.1.0 was rolled back from, and before v1.0.0 there was nothing.
    further = repo.edgit("rollback", "my-prompt", "--if-current", "v1.0.0", code=1)
    assert "has never had another good version in prod than v1.0.0" in further.err
    other = repo.edgit("rollback", "my-prompt", "--if-current", "v1.1.0", code=3)
    assert "my-prompt prod is at v1.0.0, not at v1.1.0; nothing was moved" in other.err
    repo.edgit("rollback", "my-prompt@v1.1.0", "--reason", "it was good")
    assert repo.live("my-prompt") == "v1.1.0"


def test_restore_makes_an_environment_what_one_was(repo: Repo) -> None:
    repo.deploy("my-config", "v2.1.0", to="debug")
    answer = repo.edgit("restore", "--date", "2024-11-01T09:04:00Z", "--from", "prod", "--to", "debug")
    assert answer.out == "my-prompt debug: none -> v1.0.0\nmy-config debug: v2.1.0 -> none\n"
    # The plan stands before the move, and nobody is asked off a terminal.
    assert answer.err.startswith(
        "note: no publish is on record here: this is what was set in git\n"
        "note: debug becomes prod as of 2024-11-01T09:04:00Z:\n  my-prompt: none -> v1.0.0\n"
    )
    assert "prod as of 2024-11-01T09:04:00Z" in repo.edgit("history", "--all", "--limit", "1").out


def test_restore_can_keep_and_choose(repo: Repo) -> None:
    repo.deploy("my-config", "v2.1.0", to="debug")
    date = ["--date", "2024-11-01T09:04:00Z", "--to", "debug"]
    assert repo.edgit("restore", *date, "--keep").out == "my-prompt debug: none -> v1.0.0\n"
    assert repo.edgit("restore", *date, "--only", "my-prompt").out == "my-prompt debug: v1.0.0 already\n"


def test_a_promoted_canary_ends_in_the_same_move(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.1.0", to="prod-canary")
    answer = repo.edgit("promote", "my-prompt", "--from", "prod-canary", "--to", "prod")
    assert answer.out == "my-prompt prod: v1.0.0 -> v1.1.0\nmy-prompt prod-canary: v1.1.0 -> none\n"


def test_a_canary_is_told_where_its_percentage_is(repo: Repo) -> None:
    assert "edgit canary set my-prompt 1" in repo.deploy("my-prompt", "v1.0.0", to="prod-canary").err


# Sharing


def test_moves_push_by_themselves_where_that_is_set(tmp_path: Path) -> None:
    repo, remote = with_remote(tmp_path)
    repo.version("my-prompt", "v1.0.0")
    assert repo.deploy("my-prompt", "v1.0.0").err.endswith("next: edgit push\n")
    assert "refs/tags/components/my-prompt/prod" not in remote.refs()
    assert repo.edgit("push").out == "pushed 2 moves and 2 tags to origin\n"
    assert repo.edgit("push").out == "origin has everything\n"
    repo.git("config", "edgit.autoPush", "true")
    repo.write("components/prompts/my-prompt.md", "two\n")
    repo.edgit("tag", "create", "my-prompt", "v1.1.0")
    assert "generation 4, pushed to origin" in repo.deploy("my-prompt", "v1.1.0").err
    assert remote.refs()["refs/tags/components/my-prompt/prod"] == repo.refs()["refs/tags/components/my-prompt/prod"]
    assert "Everything up-to-date" in repo.run("push", "--tags").err


def test_a_push_that_fails_says_that_the_move_is_made(tmp_path: Path) -> None:
    repo, _ = with_remote(tmp_path)
    repo.version("my-prompt", "v1.0.0")
    repo.git("config", "edgit.autoPush", "true")
    repo.git("remote", "set-url", "origin", str(tmp_path / "gone.git"))
    answer = repo.deploy("my-prompt", "v1.0.0", code=4)
    assert "moved here, and not pushed: " in answer.err
    assert answer.err.endswith("next: edgit push, once origin answers\n")
    assert repo.live("my-prompt") == "v1.0.0"


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_remote_that_is_away_keeps_no_rollback_from_kv(repo: Repo, tmp_path: Path, format: str) -> None:
    repo.git("remote", "add", "origin", str(tmp_path / "gone.git"))
    repo.git("config", "edgit.autoPush", "true")
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod", "--kv", "local", "--format", format, code=4)
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert versions["my-prompt"]["prod"] == "v1.0.0"
    assert "moved here, and not pushed: " in answer.err
    if format == "json":
        told = json.loads(answer.out)
        assert (told["pushed"], told["published"]["generation"]) == (False, 6)


def test_a_move_can_publish_at_once(repo: Repo) -> None:
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod", "--kv", "local")
    assert answer.out.startswith("my-prompt prod: v1.1.0 -> v1.0.0\npublished generation 6 to local KV ")
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert versions["my-prompt"]["prod"] == "v1.0.0"
    repo.git("config", "edgit.kv", "local")
    done = repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--publish", "--format", "json")
    assert json.loads(done.out)["published"]["generation"] == 7
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert versions["my-prompt"]["prod"] == "v1.1.0"


def test_a_publish_that_is_refused_says_that_the_move_is_made(repo: Repo, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    other.env["KV"] = repo.env["KV"]
    for number in range(9):
        other.version("theirs", f"v1.{number}.0")
    other.edgit("publish", "--kv", "local")
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod", "--kv", "local", code=3)
    assert "moved here, and not published: " in answer.err
    assert repo.live("my-prompt") == "v1.0.0"


def publish_both(repo: Repo) -> None:
    """Both versions have run in prod: the good one, then the bad one."""
    for version in ("v1.0.0", "v1.1.0"):
        repo.edgit("deploy", "set", "my-prompt", version, "--kv", "local")


def test_status_tells_what_is_not_published(repo: Repo) -> None:
    assert "KV      not asked" in repo.edgit("status").out
    assert "nothing is published yet" in repo.edgit("status", "--kv", "local").out
    publish_both(repo)
    assert "as git has it" in repo.edgit("status", "--kv", "local").out
    repo.edgit("rollback", "my-prompt", "--no-publish")
    answer = repo.edgit("status", "--kv", "local")
    assert "behind git" in answer.out
    assert "not yet: my-prompt prod -> v1.0.0" in answer.out
    assert answer.err == "next: edgit publish --kv local\n"
    assert json.loads(repo.edgit("status", "--kv", "local", "--format", "json").out)["kv"]["state"] == "behind"


def test_status_tells_of_versions_whose_tags_were_moved_or_deleted(repo: Repo) -> None:
    assert repo.edgit("status").err == ""
    repo.git("tag", "--force", "components/my-prompt/v1.0.0", "components/my-prompt/v1.1.0^{}")
    repo.git("tag", "--delete", "components/my-config/v2.1.0")
    said = repo.edgit("status").err
    assert "the tag of my-prompt v1.0.0 was moved to another file" in said
    assert "deleted here, and still in the ledger: my-config v2.1.0; next: edgit tag restore my-config v2.1.0" in said
    told = json.loads(repo.edgit("status", "--format", "json").out)
    assert told["versions_moved"] == [{"component": "my-prompt", "version": "v1.0.0"}]
    assert told["versions_deleted"] == [{"component": "my-config", "version": "v2.1.0"}]
    repo.edgit("tag", "restore", "my-prompt", "v1.0.0")
    repo.edgit("tag", "restore", "my-config", "v2.1.0")
    assert repo.edgit("status").err == ""


def test_status_tells_of_git_also_where_kv_cannot_be_read(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("no database, " * 100)
    answer = repo.edgit("status", "--kv", f"local={tmp_path / 'junk'}", code=4)
    assert answer.out == f"git     generation 5 ({repo.read().tip[:7]})\nremote  none\n"  # type: ignore[index]
    assert "cannot be used as a KV file" in answer.err


def test_what_was_published_and_then_overtaken_goes_on(tmp_path: Path) -> None:
    repo, _ = with_remote(tmp_path)
    repo.env["KV"] = str(tmp_path / "kv.sqlite3")
    for version in ("v1.0.0", "v1.1.0"):
        repo.version("my-prompt", version)
        repo.deploy("my-prompt", version)
    repo.git("push", "--quiet", "origin", "HEAD")
    repo.edgit("push")
    there = clone(repo, tmp_path / "clone", "--branch", "main", name="Grace")
    there.git("remote", "set-url", "origin", str(tmp_path / "origin.git"))
    there.edgit("pull")
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--kv", "local")
    there.now = repo.now
    there.deploy("my-prompt", "v1.0.0", to="staging")
    there.edgit("push")
    repo.edgit("pull")
    repo.edgit("push")
    # KV has a commit that no ledger has any more, and the record says that it was published from here.
    answer = repo.edgit("status", "--kv", "local")
    assert "published from here, before a pull put that after others" in answer.out
    assert answer.err == "next: edgit publish --kv local\n"
    # Who has not published it does not know that, and is refused.
    there.edgit("pull")
    there.env["KV"] = repo.env["KV"]
    for ref in there.refs("refs/edgit/published"):
        there.git("update-ref", "-d", ref)
    assert "my-prompt staging: KV has none, git has v1.0.0" in there.edgit("publish", "--kv", "local", code=3).err
    repo.edgit("publish", "--kv", "local")
    assert repo.edgit("status", "--kv", "local").err.strip() in ("", "next: edgit push")
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert versions["my-prompt"]["prod"] == versions["my-prompt"]["staging"] == "v1.0.0"


def test_status_of_a_fresh_clone_says_pull(tmp_path: Path) -> None:
    repo, _ = with_remote(tmp_path)
    repo.version("my-prompt", "v1.0.0")
    repo.git("push", "--quiet", "origin", "HEAD")
    repo.edgit("push")
    there = clone(repo, tmp_path / "clone", "--branch", "main", name="Grace")
    there.git("config", "edgit.kv", "local")
    answer = there.edgit("status", "--offline")
    assert "not asked for its ledger yet" in answer.out
    assert "there is no ledger to hold against it" in answer.out
    assert "next: edgit pull; " in answer.err
    assert "not on record" not in answer.err


def test_a_clone_needs_a_pull_and_nothing_else(tmp_path: Path) -> None:
    repo, _ = with_remote(tmp_path)
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    repo.git("push", "--quiet", "origin", "HEAD")
    repo.edgit("push")
    there = clone(repo, tmp_path / "clone", "--no-tags", "--branch", "main", name="Grace")
    there.git("remote", "set-url", "origin", str(tmp_path / "origin.git"))
    assert "edgit pull" in there.edgit("components", "list", "--offline").err
    there.edgit("pull")
    assert there.live("my-prompt") == "v1.0.0"


# Questions


def test_the_two_lists_have_one_shape(repo: Repo) -> None:
    repo.write("components/prompts/draft.md", "not a version yet\n")
    now = repo.edgit("components", "list", "--format", "json").out
    then = repo.edgit("history", "--date", "2024-11-01T09:04:00Z", "--format", "json").out
    assert json.loads(now) == [
        {"name": "draft", "type": "prompt", "environments": {}},
        {"name": "my-config", "type": "config", "environments": {}},
        {"name": "my-prompt", "type": "prompt", "environments": {"prod": "v1.1.0"}},
    ]
    assert json.loads(then) == [{"name": "my-prompt", "type": "prompt", "environments": {"prod": "v1.0.0"}}]
    # One component a line, so that `diff` shows which ones changed.
    assert '  {"name": "my-prompt", "type": "prompt", "environments": {"prod": "v1.1.0"}}\n' in now
    live = repo.edgit("components", "list", "--from", "prod", "--format", "json").out
    assert live == '[\n  {"name": "my-prompt", "type": "prompt", "version": "v1.1.0"}\n]\n'
    assert repo.edgit("components", "list", "--from", "prod").out.splitlines()[0] == "my-prompt (prompt)"
    assert "draft" not in repo.edgit("components", "list", "--from", "prod").out
    assert "nothing is live in staging" in repo.edgit("components", "list", "--from", "staging").err


def test_history_at_an_instant(repo: Repo) -> None:
    instant = ["--date", "2024-11-01T09:04:00Z"]
    assert repo.edgit("history", *instant).out == "my-prompt: v1.0.0\n"
    assert repo.edgit("history", "my-prompt", *instant, "--from", "prod").out == "v1.0.0\n"
    # Nothing is an answer too.
    assert repo.edgit("history", "my-config", *instant, "--from", "prod").out == ""
    answer = repo.edgit("history", "--date", "2020-01-01T00:00:00Z")
    assert (answer.out, answer.code) == ("", 0)
    assert "nothing was live in prod at 2020-01-01T00:00:00Z; the first move there was at 2024-11-01T" in answer.err
    assert json.loads(repo.edgit("history", "--date", "2020-01-01T00:00:00Z", "--format", "json").out) == []


def test_an_offset_is_the_same_instant(repo: Repo) -> None:
    assert repo.edgit("history", "--date", "2024-11-01T10:04:00+01:00").out == "my-prompt: v1.0.0\n"


def test_diff_and_the_whole_record(repo: Repo) -> None:
    repo.deploy("my-config", "v2.1.0")
    repo.edgit("rollback", "my-prompt", "--from", "prod", "--reason", "wrong answers\n\nTicket 7")
    found = json.loads(repo.edgit("diff", "--date", "2024-11-01T09:04:00Z", "--format", "json").out)
    assert found == [{"component": "my-config", "before": None, "after": "v2.1.0"}]
    shown = repo.edgit("diff", "--date", "2024-11-01T09:04:00Z").out.splitlines()
    assert shown[1].split() == ["my-config", "none", "v2.1.0", "2024-11-01T09:09:00Z", "Ada"]
    last = json.loads(repo.edgit("history", "my-prompt", "--limit", "1", "--format", "json").out)[0]
    assert (last["before"], last["version"], last["reason"]) == ("v1.1.0", "v1.0.0", "wrong answers\n\nTicket 7")
    whole = ["history", "my-prompt", "--all"]
    assert repo.edgit(*whole, "--limit", "1").out.splitlines()[1].endswith("rollback: wrong answers")
    # New versions stand there too, though not where one environment is asked for.
    assert [line.split("  ")[-1] for line in repo.edgit(*whole).out.splitlines()[1:] if "made" in line] == [
        "my-prompt v1.1.0: made",
        "my-prompt v1.0.0: made",
    ]
    assert "made" not in repo.edgit(*whole, "--from", "prod").out
    told = json.loads(repo.edgit(*whole, "--format", "json").out)
    assert [(each["verb"], each["environment"], each["version"]) for each in told] == [
        ("rollback", "prod", "v1.0.0"),
        ("deploy", "prod", "v1.1.0"),
        ("version", None, "v1.1.0"),
        ("deploy", "prod", "v1.0.0"),
        ("version", None, "v1.0.0"),
    ]


# The canary's percentage


def test_a_canary_from_the_first_percent_to_its_end(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    repo.git("config", "edgit.kv", "local")
    repo.edgit("publish")
    # A percentage belongs to a canary version: without one there is nothing to set.
    answer = repo.edgit("canary", "set", "my-prompt", "10", code=3)
    assert "my-prompt has no canary, and a percentage belongs to a canary version" in answer.err
    assert "edgit deploy set my-prompt VERSION --to prod-canary" in answer.err
    assert "edgit canary set my-prompt@VERSION 10" in answer.err
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-canary")
    answer = repo.edgit("canary", "set", "my-prompt", "20")
    assert answer.out == "my-prompt: none -> 20 % for v1.1.0\n"
    assert "git has my-prompt prod-canary v1.1.0, which is not published yet\n" in answer.err
    assert "next: edgit publish\n" in answer.err
    repo.edgit("canary", "set", "my-prompt", "10")
    repo.edgit("publish")
    answer = repo.edgit("canary", "set", "my-prompt", "10")
    assert answer.out == (
        "my-prompt: 10 % for v1.1.0 already\n  my-prompt prod: the canary v1.1.0 takes 10 %, v1.0.0 the rest\n"
    )
    answer = repo.edgit("canary", "set", "50%")
    assert answer.out == (
        "all components: none -> 50 %\n"
        "  my-prompt prod: the canary v1.1.0 takes 10 %, v1.0.0 the rest (by the entry `my-prompt`)\n"
    )
    assert "warning: this counts for every canary to come as well" in answer.err
    assert repo.edgit("canary", "get").out.splitlines() == [
        "component  environment  stable  canary  percent  by entry",
        "my-prompt  prod         v1.0.0  v1.1.0  10 %     my-prompt",
    ]
    assert repo.edgit("canary", "clear", "my-prompt").out == (
        "my-prompt: 10 % for v1.1.0 -> none\n"
        "  my-prompt prod: the canary v1.1.0 takes 50 %, v1.0.0 the rest (by the entry `*`)\n"
    )
    before = kv(repo, "rollout-percentage")
    assert (
        "would set: my-prompt@prod: none -> 0.1 % for v1.1.0\n"
        in repo.edgit("canary", "set", "my-prompt@prod", "0.1", "--dry-run").out
    )
    assert kv(repo, "rollout-percentage") == before == {"*": 50}
    (canary,) = json.loads(repo.edgit("canary", "get", "my-prompt", "--from", "prod", "--format", "json").out)[
        "canaries"
    ]
    assert canary == {
        "component": "my-prompt",
        "environment": "prod",
        "stable": "v1.0.0",
        "canary": "v1.1.0",
        "percentage": "50",
        "entry": "*",
        "entry_version": None,
    }
    history = kv(repo, "rollout-history")
    assert isinstance(history, list)
    assert [change["actor"] for change in history] == ["Ada <ada@example.com>"] * 4


def share(repo: Repo, name: str = "my-prompt") -> str:
    """What the canary of a component takes, as the operator reads it."""
    found = json.loads(repo.edgit("canary", "get", name, "--format", "json").out)["canaries"]
    return " ".join(f"{each['canary']} {each['percentage']}" for each in found)


def test_a_percentage_ends_with_its_canary(repo: Repo) -> None:
    repo.git("config", "edgit.kv", "local")
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-canary", "--publish")
    repo.edgit("canary", "set", "my-prompt", "100")
    assert share(repo) == "v1.1.0 100"
    repo.edgit("promote", "my-prompt", "--from", "prod-canary", "--to", "prod", "--publish")
    repo.version("my-prompt", "v1.2.0")
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.2.0", "--to", "prod-canary", "--publish")
    assert "the canary v1.2.0 of my-prompt prod starts at 0 %; next: edgit canary set my-prompt 1" in answer.err
    assert share(repo) == "v1.2.0 0"
    told = repo.edgit("canary", "get").err
    assert "my-prompt prod: ended: the entry `my-prompt` is for v1.1.0, the canary is v1.2.0 now" in told
    repo.edgit("canary", "set", "my-prompt", "1")
    assert share(repo) == "v1.2.0 1"
    # Another one that is not published: the percentage stays with the one that requests face.
    repo.version("my-prompt", "v1.3.0")
    repo.edgit("deploy", "set", "my-prompt", "v1.3.0", "--to", "prod-canary")
    answer = repo.edgit("canary", "set", "my-prompt", "5")
    assert answer.out.startswith("my-prompt: 1 % for v1.2.0 -> 5 % for v1.2.0\n")
    assert "git has my-prompt prod-canary v1.3.0, which is not published yet and starts at 0 %" in answer.err
    answer = repo.edgit("canary", "set", "my-prompt@v1.3.0", "2")
    assert "(ended: the entry `my-prompt` is for v1.3.0, the canary is v1.2.0 now)" in answer.out
    repo.edgit("publish")
    assert share(repo) == "v1.3.0 2"
    # The same version once more is a canary of its own.
    answer = repo.edgit("deploy", "unset", "my-prompt", "--from", "prod-canary", "--publish")
    assert "the 2 % of my-prompt for v1.3.0 have ended with that canary" in answer.err
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.3.0", "--to", "prod-canary", "--publish")
    assert "the canary v1.3.0 of my-prompt prod starts at 0 %" in answer.err
    assert share(repo) == "v1.3.0 0"


def test_a_percentage_of_what_was_promoted_ends_when_that_is_rolled_back(repo: Repo) -> None:
    repo.git("config", "edgit.kv", "local")
    repo.edgit("publish")
    repo.version("my-prompt", "v1.2.0")
    repo.edgit("deploy", "set", "my-prompt", "v1.2.0", "--to", "prod-canary", "--publish")
    repo.edgit("canary", "set", "my-prompt", "100")
    repo.edgit("promote", "my-prompt", "--from", "prod-canary", "--to", "prod", "--publish")
    # An edge that has the map from before must go on serving it.
    assert kv(repo, "rollout-percentage") == {"my-prompt": {"percent": 100, "version": "v1.2.0"}}
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod", "--publish")
    assert "the 100 % of my-prompt for v1.2.0 have ended" in answer.err
    assert kv(repo, "rollout-percentage") == {"my-prompt": 0}
    repo.edgit("canary", "set", "50")
    repo.edgit("canary", "clear", "my-prompt")
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.2.0", "--to", "prod-canary", "--publish")
    assert "the canary v1.2.0 of my-prompt prod starts at 50 %, by the entry `*`" in answer.err


def test_several_canaries_are_told_apart(repo: Repo) -> None:
    repo.git("config", "edgit.kv", "local")
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-canary")
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod-eu-canary", "--publish")
    answer = repo.edgit("canary", "set", "my-prompt", "10", code=3)
    assert "v1.1.0 in prod-canary, v1.0.0 in prod-eu-canary" in answer.err
    assert "edgit canary set my-prompt@prod 10" in answer.err
    repo.edgit("canary", "set", "my-prompt@prod-eu", "10")
    assert share(repo) == "v1.1.0 0 v1.0.0 10"
    # Nobody is nobody, whichever version.
    repo.edgit("canary", "set", "my-prompt", "0")
    assert kv(repo, "rollout-percentage") == {"my-prompt@prod-eu": {"percent": 10, "version": "v1.0.0"}, "my-prompt": 0}
    assert "NAME@VERSION" in repo.edgit("canary", "set", "*@v1.0.0", "1", code=2).err


# Drill


def test_a_drill_leaves_nothing_behind(repo: Repo) -> None:
    answer = repo.edgit("drill", "my-prompt", "--kv", "local")
    steps = [line.split(" s  ")[1] for line in answer.out.splitlines()[:-1]]
    assert steps == [
        "deployed v1.1.0, the good version, to prod-drill",
        "deployed v1.0.0, the bad one",
        "rolled back to v1.1.0",
        "took prod-drill away again",
    ]
    assert repo.live("my-prompt", "prod-drill") is None
    assert repo.live("my-prompt") == "v1.1.0"
    repo.deploy("my-prompt", "v1.0.0", to="prod-drill")
    assert "has something live in prod-drill" in repo.edgit("drill", "my-prompt", code=3).err


def test_a_drill_that_fails_leaves_nothing_behind(repo: Repo) -> None:
    nowhere = "http://127.0.0.1:1"
    answer = repo.edgit("drill", "my-prompt", "--kv", "local", "--url", nowhere, code=4)
    assert f"{nowhere} did not answer" in answer.err
    assert repo.live("my-prompt", "prod-drill") is None
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert "prod-drill" not in versions["my-prompt"]


def test_a_component_may_have_a_deep_name(repo: Repo) -> None:
    repo.write("components/templates/mail/de/header_v2.html", "<h1>\n")
    repo.edgit("tag", "create", "mail/de/header_v2", "v1.0.0")
    repo.deploy("mail/de/header_v2", "v1.0.0", to="prod-us-west")
    assert "mail/de/header_v2 (template)\n  v1.0.0 [prod-us-west]\n" in repo.edgit("components", "list").out


def test_diff_of_two_versions_is_that_of_the_file(repo: Repo) -> None:
    repo.write("unrelated.txt", "not shown\n")
    expected = "--- my-prompt v1.0.0\n+++ my-prompt v1.1.0\n@@ -1 +1 @@\n-my-prompt v1.0.0\n+my-prompt v1.1.0\n"
    assert repo.edgit("diff", "my-prompt", "v1.0.0", "v1.1.0").out == expected
    # One version: against what is live.
    assert repo.edgit("diff", "my-prompt", "v1.0.0").out == expected
    answer = repo.edgit("diff", "my-prompt", "v1.1.0")
    assert (answer.out, answer.err) == (
        "",
        "note: my-prompt v1.1.0 is compared with itself: it is what is live in prod\n",
    )
    # A deleted tag takes nothing away: the ledger has the file.
    repo.git("tag", "--delete", "components/my-prompt/v1.0.0")
    assert repo.edgit("diff", "my-prompt", "v1.0.0", "v1.1.0").out == expected
    assert "has no version v9.0.0" in repo.edgit("diff", "my-prompt", "v9.0.0", "v1.1.0", code=1).err
    assert "it compares two versions" in repo.edgit("diff", "my-prompt", code=2).err


def test_a_tag_that_cannot_be_used_is_told_and_not_offered_for_adoption(repo: Repo) -> None:
    repo.git("tag", "components/my-prompt/v3.0.0", repo.git("rev-list", "--max-parents=0", "HEAD"))
    answer = repo.edgit("status")
    assert "components/my-prompt/v3.0.0 is at no commit with a file of my-prompt" in answer.err
    assert "edgit adopt" not in answer.err
    assert json.loads(repo.edgit("status", "--format", "json").out)["doubts"]


# The guard


@pytest.fixture
def metrics() -> Iterator[tuple[str, list[str]]]:
    """An address that answers with the error rate in the list."""
    rate = ["0.5"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(rate[0])))
            self.end_headers()
            self.wfile.write(rate[0].encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", rate
        server.shutdown()
        thread.join()


def guard(repo: Repo, address: str, code: int, *more: str) -> Answer:
    watch = ["--from", "prod", "--metrics", address, "--threshold", "0.01", "--window", "3", "--min-requests", "0"]
    return repo.edgit("guard", "my-prompt", *watch, "--kv", "local", *more, code=code)


def test_the_guard_rolls_back_and_publishes(repo: Repo, metrics: tuple[str, list[str]]) -> None:
    address, rate = metrics
    publish_both(repo)
    answer = guard(repo, address, 1, "--reason", "too many errors")
    assert "my-prompt prod is back at v1.0.0, published to local KV " in answer.out
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert repo.live("my-prompt") == versions["my-prompt"]["prod"] == "v1.0.0"
    assert "guard: too many errors" in repo.edgit("history", "--all", "--limit", "1").out
    assert "add --watch-only" in guard(repo, address, 6).err
    repo.deploy("my-prompt", "v1.1.0")
    rate[0] = "0.001"
    # What requests run is what KV has, and it is that which is watched.
    for more in ((), ("--watch-only",)):
        answer = guard(repo, address, 6, *more)
        assert "has v1.0.0 for my-prompt prod, and git v1.1.0" in answer.err
    repo.edgit("publish", "--kv", "local")
    assert "is good" in guard(repo, address, 0).out
    rate[0] = "soon"
    assert "Could not tell" in guard(repo, address, 2).out
    assert repo.live("my-prompt") == "v1.1.0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("my-prompt --metrics URL", "Missing option '--threshold'"),
        ("my-prompt --metrics URL --threshold 1%%", "`1%%` is no rate"),
        ("my-prompt --metrics URL --threshold 1", "1 % is written 1% or 0.01"),
        ("my-prompt --metrics URL --threshold 1% --widow 5", "No such option"),
        ("my-prompt --metrics ftp://x --threshold 1%", "--metrics is not an address"),
        ("my-prompt --metrics URL --threshold 1%", "no KV is named"),
        ("my-prompt --metrics URL --threshold 1% --kv nowhere", "nowhere"),
        ("my-promt --metrics URL --threshold 1%", "Did you mean `my-prompt`?"),
        ("my-prompt@v1.0.0 --metrics URL --threshold 1%", "my-prompt is at v1.1.0 in prod, and not at v1.0.0"),
        ("my-prompt@prod --metrics URL --threshold 1%", "`prod` is not a version"),
        ("my-prompt --from staging --metrics URL --threshold 1%", "nothing live in staging"),
        ("my-prompt --metrics URL --threshold 1% --kv local", "has nothing for my-prompt prod, and git v1.1.0"),
        ("my-prompt --metrics URL --threshold 1% --kv local --watch-only", "has nothing for my-prompt prod"),
    ],
)
def test_a_watch_that_cannot_begin_has_a_code_of_its_own(repo: Repo, words: str, said: str) -> None:
    """`|| [ $? -eq 2 ]` lets pass what could not be told, and nothing that was not watched."""
    answer = repo.edgit("guard", *words.replace("URL", "http://127.0.0.1:9/").split(), code=6)
    assert said in answer.err


def test_a_watch_without_a_kv_says_that_it_asked_none(repo: Repo, metrics: tuple[str, list[str]]) -> None:
    address, rate = metrics
    rate[0] = "0.009"
    watch = ("my-prompt@v1.1.0", "--metrics", address, "--threshold", "1%", "--window", "3", "--watch-only")
    answer = repo.edgit("guard", *watch)
    assert "no KV is named: whether requests run v1.1.0 was not looked at" in answer.err
    assert "is good" in answer.out
    rate[0] = "0.011"
    repo.edgit("publish", "--kv", "local")
    answer = repo.edgit("guard", *watch, "--kv", "local", code=1)
    assert "no KV" not in answer.err
    assert repo.live("my-prompt") == "v1.1.0"


def test_what_breaks_a_watch_off_is_no_rollback(
    repo: Repo, metrics: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_both(repo)

    def broken(_: object) -> None:
        raise OSError("no such process")

    monkeypatch.setattr("edgit.commands.guard.metrics.read", broken)
    assert "no such process" in guard(repo, metrics[0], 2).err
    assert repo.live("my-prompt") == "v1.1.0"


def test_the_guard_undoes_nobody_elses_fix(repo: Repo, metrics: tuple[str, list[str]], tmp_path: Path) -> None:
    address, _ = metrics
    remote = make(tmp_path / "remote.git", bare=True)
    repo.git("remote", "add", "origin", str(remote.root))
    repo.git("push", "--quiet", "origin", "main")
    publish_both(repo)
    repo.edgit("push")
    # It has looked at the remote, and does not do so again for a minute.
    repo.edgit("history")
    other = clone(remote, tmp_path / "other", name="Bob")
    other.now = repo.now
    other.edgit("pull")
    # Pushed and not published yet: KV still has the bad version, and the pull before the rollback tells.
    other.write("components/prompts/my-prompt.md", "three")
    other.edgit("tag", "create", "my-prompt", "v1.2.0")
    other.deploy("my-prompt", "v1.2.0")
    other.edgit("push")
    answer = guard(repo, address, 5)
    assert "THE ROLL-BACK FAILED" in answer.err
    assert "is at v1.2.0 by now" in answer.err
    assert repo.live("my-prompt") == "v1.2.0"
    # Published by the other clone: the watch ends by itself.
    other.edgit("publish", "--kv", f"local={repo.env['KV']}")
    repo.edgit("publish", "--kv", "local")
    other.edgit("rollback", "my-prompt", "--from", "prod")
    other.edgit("push")
    other.edgit("publish", "--kv", f"local={repo.env['KV']}")
    assert "and git v1.2.0: what is watched must be what requests run" in guard(repo, address, 6).err


def test_the_guard_publishes_also_where_the_remote_is_away(
    repo: Repo, metrics: tuple[str, list[str]], tmp_path: Path
) -> None:
    publish_both(repo)
    repo.git("remote", "add", "origin", str(tmp_path / "gone.git"))
    repo.git("config", "edgit.autoPush", "true")
    answer = guard(repo, metrics[0], 1)
    assert "is back at v1.0.0, published to local KV " in answer.out
    assert "It is not pushed: origin did not answer; next: edgit push." in answer.out
    versions = kv(repo, "component-versions")
    assert isinstance(versions, dict)
    assert versions["my-prompt"]["prod"] == "v1.0.0"


def test_a_breach_that_is_only_watched_moves_nothing(repo: Repo, metrics: tuple[str, list[str]]) -> None:
    repo.edgit("publish", "--kv", "local")
    answer = guard(repo, metrics[0], 1, "--watch-only")
    assert answer.err.endswith("next: edgit rollback my-prompt --from prod\n")
    assert repo.live("my-prompt") == "v1.1.0"
    found = json.loads(guard(repo, metrics[0], 1, "--watch-only", "--format", "json").out)
    assert (found["verdict"], found["rolled_back"]) == ("breach", None)
