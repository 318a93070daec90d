"""Versions that are withdrawn, and those that were rolled back, as the command line and the edge's KV show it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from edgit.commands import results
from edgit.kv.local import LocalKv
from resolver.documents import VERSION_MAP, index_key
from tests.edgit.repo import Repo, clone, copied, make, with_remote


def three_versions(folder: Path) -> Repo:
    made = make(folder / "work")
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        made.version("my-prompt", version)
    made.deploy("my-prompt", "v1.0.0")
    made.deploy("my-prompt", "v1.1.0")
    made.deploy("my-prompt", "v1.2.0")
    return made


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(three_versions, tmp_path)


def document(kv: LocalKv, key: str) -> Any:
    entry = kv.get_many([key])[key]
    assert entry is not None
    return json.loads(entry.value)


def withdraw(repo: Repo, version: str = "v1.2.0") -> None:
    repo.edgit("withdraw", f"my-prompt@{version}", "--reason", "leaks names")


# Withdrawn


def test_where_it_is_live_is_told_with_the_commands_to_move_on(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.2.0", to="prod-canary")
    answer = repo.edgit("withdraw", "my-prompt@1.2.0", "--reason", "leaks names")
    assert answer.out == "my-prompt v1.2.0: withdrawn\n"
    assert "is live in prod; to move on: edgit rollback my-prompt --from prod\n" in answer.err
    assert "is live in prod-canary; to move on: edgit deploy unset my-prompt --from prod-canary\n" in answer.err
    assert repo.live("my-prompt") == "v1.2.0"
    assert repo.edgit("withdraw", "my-prompt@v1.2.0", "--reason", "x").out == "my-prompt v1.2.0: withdrawn already\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("withdraw", "my-prompt@v1.0.0"), "--reason is missing"),
        (("withdraw", "my-prompt@v1.0.0", "--reason", " "), "--reason is missing"),
        (("withdraw", "my-prompt", "--reason", "x"), "`my-prompt` names no version: NAME@VERSION"),
        (("withdraw", "my-prompt@^1", "--reason", "x"), "my-prompt: "),
        (("withdraw", "my-prompt@v9.0.0", "--reason", "x"), "my-prompt has no version v9.0.0; it has v1.2.0"),
        (("withdraw", "my-prompt@v1.0.0", "nobody@v1.0.0", "--reason", "x"), "unknown component `nobody`"),
    ],
)
def test_what_cannot_be_withdrawn(repo: Repo, arguments: tuple[str, ...], said: str) -> None:
    before = repo.refs()
    assert said in repo.edgit(*arguments, code=None).err
    assert repo.refs() == before


def test_a_dry_run_withdraws_nothing(repo: Repo) -> None:
    before = repo.refs()
    answer = repo.edgit("withdraw", "my-prompt@v1.2.0", "--reason", "x", "--dry-run")
    assert (answer.out, repo.refs()) == ("my-prompt v1.2.0: would be withdrawn\n", before)


def test_plain_git_says_who_why_and_what(repo: Repo) -> None:
    withdraw(repo)
    assert repo.git("log", "-1", "--format=%B", "refs/edgit/ledger").split("\n\n") == [
        "withdraw: components/my-prompt/v1.2.0",
        "leaks names",
        "Withdraw: components/my-prompt/v1.2.0\nGeneration: 7",
    ]
    assert repo.git("show", "refs/edgit/ledger:withdrawn/my-prompt/v1.2.0") == "leaks names"
    answer = repo.edgit("reinstate", "my-prompt@v1.2.0", "--format", "json")
    assert json.loads(answer.out)["withdrawn"] == [{"component": "my-prompt", "version": "v1.2.0", "withdrawn": False}]
    assert repo.git("ls-tree", "--name-only", "refs/edgit/ledger").splitlines() == ["components", "versions"]
    assert repo.edgit("reinstate", "my-prompt@v1.2.0").out == "my-prompt v1.2.0: not withdrawn\n"


def test_lists_show_it(repo: Repo) -> None:
    withdraw(repo)
    listed = repo.edgit("tag", "list", "my-prompt").out
    assert "on 2024-11-01T09:" in listed
    assert "by Ada, because: leaks names" in listed
    rows = json.loads(repo.edgit("tag", "list", "--format", "json").out)
    assert {row["version"]: row["withdrawn"] and row["withdrawn"]["reason"] for row in rows} == {
        "v1.2.0": "leaks names",
        "v1.1.0": None,
        "v1.0.0": None,
    }
    assert "v1.2.0 (withdrawn) [prod]" in repo.edgit("components", "list").out
    assert "prompt  v1.1.0  3 " in repo.edgit("components", "list", "--format", "table").out


def test_no_command_makes_it_live_before_it_is_reinstated(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0", to="staging")
    repo.deploy("my-prompt", "v1.1.0")
    withdraw(repo, "v1.0.0")
    said = "my-prompt v1.0.0 was withdrawn on 2024-11-01T09:"
    for arguments in (
        ("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod"),
        ("promote", "my-prompt", "--from", "staging", "--to", "prod"),
        ("rollback", "my-prompt@v1.0.0", "--from", "prod"),
        ("restore", "--date", "2024-11-01T09:07:30Z", "--from", "prod", "--to", "prod"),
    ):
        answer = repo.edgit(*arguments, code=3)
        assert said in answer.err
        assert "by Ada, because: leaks names" in answer.err
        assert "edgit reinstate my-prompt@v1.0.0" in answer.err
    assert repo.live("my-prompt") == "v1.1.0"
    repo.edgit("reinstate", "my-prompt@v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    assert repo.live("my-prompt") == "v1.0.0"


def test_a_rollback_passes_it_over(repo: Repo) -> None:
    withdraw(repo, "v1.1.0")
    repo.edgit("rollback", "my-prompt", "--from", "prod")
    assert repo.live("my-prompt") == "v1.0.0"
    withdraw(repo, "v1.0.0")
    repo.edgit("reinstate", "my-prompt@v1.1.0")
    repo.deploy("my-prompt", "v1.1.0")
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod", code=1)
    assert "than v1.1.0, which is live; withdrawn: v1.0.0" in answer.err


def test_the_map_and_the_list_of_versions_in_kv(repo: Repo, tmp_path: Path) -> None:
    kv = LocalKv(tmp_path / "kv.sqlite3")
    publish = ("publish", "--kv", f"local={kv.path}")
    repo.edgit(*publish)
    assert document(kv, VERSION_MAP)["my-prompt"]["latest"] == "v1.2.0"
    before = document(kv, index_key("my-prompt"))
    withdraw(repo)
    at = f"2024-11-01T09:{(repo.now - 1730451600) // 60:02}:00Z"
    repo.edgit(*publish)
    pointers = document(kv, VERSION_MAP)["my-prompt"]
    assert (pointers["latest"], pointers["stable"], pointers["prod"]) == ("v1.1.0", "v1.1.0", "v1.2.0")
    assert document(kv, index_key("my-prompt")) == [*before[:2], {**before[2], "withdrawn": [at]}]
    assert "nothing to publish" in repo.edgit(*publish).all
    repo.edgit("reinstate", "my-prompt@v1.2.0", "--publish", "--kv", f"local={kv.path}")
    assert document(kv, VERSION_MAP)["my-prompt"]["latest"] == "v1.2.0"
    turns = document(kv, index_key("my-prompt"))[2]["withdrawn"]
    assert (turns[0], len(turns)) == (at, 2)


def test_a_component_whose_versions_are_all_withdrawn_has_no_latest(repo: Repo, tmp_path: Path) -> None:
    kv = LocalKv(tmp_path / "kv.sqlite3")
    repo.edgit("publish", "--kv", f"local={kv.path}", "--layout", "conductor")
    assert "prompts/my-prompt@latest" in kv.list_keys("prompts/")
    versions = [f"my-prompt@v1.{minor}.0" for minor in range(3)]
    repo.edgit("withdraw", *versions, "--reason", "x", "--publish", "--kv", f"local={kv.path}")
    assert document(kv, VERSION_MAP)["my-prompt"] == {"$type": "prompt", "prod": "v1.2.0"}
    assert "prompts/my-prompt@latest" not in kv.list_keys("prompts/")
    assert "prompts/my-prompt@prod" in kv.list_keys("prompts/")


def test_check_holds_ranges_and_pins_against_it(repo: Repo) -> None:
    withdraw(repo)
    text = (
        "name: one\nflow:\n  - agent: a\nagents:\n"
        "  - name: a\n    operation: think\n    config: {{prompt: my-prompt@{}}}\n"
    )
    repo.write("ensembles/one.yaml", text.format("^1.2.0"))
    assert "no version of `my-prompt` lies in `^1.2.0`" in repo.edgit("check", code=1).out
    repo.write("ensembles/one.yaml", text.format("v1.2.0"))
    answer = repo.edgit("check")
    assert "warning: `my-prompt@v1.2.0`: my-prompt v1.2.0 was withdrawn on " in answer.out


# With others


def test_a_withdrawal_is_pushed_pulled_and_replayed(tmp_path: Path) -> None:
    ada, remote = with_remote(tmp_path)
    ada.version("my-prompt", "v1.0.0")
    ada.version("my-prompt", "v1.1.0")
    ada.edgit("push")
    bob = clone(remote, tmp_path / "bob", name="Bob")
    bob.edgit("pull")
    bob.now = ada.now = ada.now + 600
    bob.edgit("withdraw", "my-prompt@v1.1.0", "--reason", "leaks names")
    ada.deploy("my-prompt", "v1.0.0")
    ada.edgit("push")
    bob.edgit("pull")
    bob.edgit("push")
    ada.edgit("pull")
    assert "by Bob, because: leaks names" in ada.deploy("my-prompt", "v1.1.0", code=3).err
    assert ada.refs("refs/edgit/ledger") == bob.refs("refs/edgit/ledger")
    # Both withdraw it and one is the first: the other's says nothing new.
    bob.edgit("reinstate", "my-prompt@v1.1.0")
    bob.edgit("push")
    ada.edgit("reinstate", "my-prompt@v1.1.0")
    ada.edgit("pull")
    assert ada.refs("refs/edgit/ledger") == bob.refs("refs/edgit/ledger")
    # Adoption looks at tags, and passes over these entries.
    ada.git("tag", "-f", "-a", "components/my-prompt/staging", "-m", "x", "components/my-prompt/v1.1.0")
    ada.edgit("adopt")
    assert ada.live("my-prompt", "staging") == "v1.1.0"


# Rolled back


def test_what_was_rolled_back_is_told_before_it_comes_back(repo: Repo) -> None:
    repo.edgit("rollback", "my-prompt", "--from", "prod", "--reason", "wrong answers")
    at = f"2024-11-01T09:{(repo.now - 1730451600) // 60:02}:00Z"
    said = f"note: my-prompt v1.2.0 was rolled back from prod on {at} by Ada, because: wrong answers\n"
    repo.deploy("my-prompt", "v1.2.0", to="staging")
    for arguments in (
        ("promote", "my-prompt", "--from", "staging", "--to", "prod", "--dry-run"),
        ("deploy", "set", "my-prompt", "v1.2.0", "--to", "prod-canary"),
        ("promote", "my-prompt", "--from", "staging", "--to", "prod"),
    ):
        assert said in repo.edgit(*arguments).err
    # It is live there again. Moving on in the ordinary way says nothing against it.
    repo.version("my-prompt", "v1.3.0")
    assert "was rolled back" not in repo.deploy("my-prompt", "v1.3.0").err
    repo.deploy("my-prompt", "v1.1.0", to="staging")
    assert "was rolled back" not in repo.deploy("my-prompt", "v1.1.0", to="debug").err


def test_going_back_in_another_way_is_remembered_as_well(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.1.0")
    assert "v1.2.0 was rolled back from prod" in repo.deploy("my-prompt", "v1.2.0").err
    # v1.1.0 was left for a later one, and not rolled back.
    assert "was rolled back" not in repo.deploy("my-prompt", "v1.1.0", to="prod-canary").err


def test_many_components_are_one_question(repo: Repo) -> None:
    names = [f"p{number}" for number in range(10)]
    for name in names:
        repo.version(name, "v1.0.0")
        repo.version(name, "v1.1.0")
    repo.deploy(*(word for name in names for word in (name, "v1.0.0")))
    repo.deploy(*(word for name in names for word in (name, "v1.1.0")))
    repo.edgit("rollback", *names, "--from", "prod")
    answer = repo.deploy(*(word for name in names for word in (name, "v1.1.0")))
    assert answer.err.count("was rolled back from prod") == len(names)


@pytest.mark.parametrize("agreed", [True, False])
def test_at_a_terminal_it_is_asked(repo: Repo, monkeypatch: pytest.MonkeyPatch, agreed: bool) -> None:
    repo.edgit("rollback", "my-prompt", "--from", "prod")
    asked: list[str] = []

    def confirm(text: str, **_options: object) -> bool:
        asked.append(text)
        return agreed

    monkeypatch.setattr(results, "at_terminal", lambda: True)
    monkeypatch.setattr(click, "confirm", confirm)
    answer = repo.deploy("my-prompt", "v1.2.0", code=0 if agreed else 3)
    assert len(asked) == 1
    assert asked[0].endswith(". Make it live all the same?")
    assert repo.live("my-prompt") == ("v1.2.0" if agreed else "v1.1.0")
    assert agreed or "not confirmed; nothing was moved" in answer.err


def test_show_and_the_whole_record_tell_a_withdrawal(repo: Repo) -> None:
    repo.edgit("withdraw", "my-prompt@v1.1.0", "--reason", "leaks names")
    assert ", because: leaks names" in repo.edgit("show", "my-prompt@v1.1.0").out
    (first, *_) = repo.edgit("history", "my-prompt", "--all", "--limit", "1").out.splitlines()[1:]
    assert first.endswith("my-prompt v1.1.0: withdrawn  leaks names")
    repo.edgit("reinstate", "my-prompt@v1.1.0")
    assert "withdrawn" not in repo.edgit("show", "my-prompt@v1.1.0").out
    assert "my-prompt v1.1.0: reinstated" in repo.edgit("history", "--all").out
