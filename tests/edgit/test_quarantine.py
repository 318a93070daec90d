"""One version that cannot be published, as the command line tells it: all else is published, and it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgit.kv.local import LocalKv
from resolver.documents import VERSION_MAP
from tests.edgit.repo import Repo, copied, make

BINARY = "components/prompts/my-prompt.md"


def one_binary(folder: Path) -> Repo:
    """v1.1.0 of `my-prompt` is no text: another tool has tagged it, and set it live."""
    made = make(folder / "work")
    made.version("my-prompt", "v1.0.0")
    made.version("other", "v1.0.0")
    made.deploy("my-prompt", "v1.0.0")
    made.env["KV"] = str(folder / "kv.sqlite3")
    made.edgit("publish", "--kv", f"local={made.env['KV']}")
    (made.root / BINARY).write_bytes(b"\x00\xff")
    made.git("commit", "--quiet", "-am", "Binary")
    made.git("tag", "-a", "components/my-prompt/v1.1.0", "-m", "x")
    made.edgit("adopt")
    made.deploy("my-prompt", "v1.1.0")
    made.deploy("other", "v1.0.0")
    return made


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(one_binary, tmp_path)


def target(repo: Repo) -> str:
    return f"local={repo.env['KV']}"


def pointers(repo: Repo) -> Any:
    entry = LocalKv(Path(repo.env["KV"])).get_many([VERSION_MAP])[VERSION_MAP]
    assert entry is not None
    return json.loads(entry.value)


SAID = "warning: my-prompt prod stays at v1.0.0: v1.1.0 cannot be published, it is not UTF-8 text (byte 1)\n"


def test_all_else_is_published_and_it_is_said_until_it_is_solved(repo: Repo) -> None:
    publish = ("publish", "--kv", target(repo))
    for again in (False, True):
        answer = repo.edgit(*publish, code=1)
        assert SAID in answer.err
        assert "my-prompt latest stays at v1.0.0" in answer.err
        assert "next: let these pointers name a version whose file is UTF-8 text" in answer.err
        assert ("nothing to publish" in answer.out) == again
        assert pointers(repo)["my-prompt"]["prod"] == "v1.0.0"
        assert pointers(repo)["other"]["prod"] == "v1.0.0"
    found = json.loads(repo.edgit(*publish, "--format", "json", code=1).out)
    assert [each["environment"] for each in found["held_back"]] == ["latest", "prod", "stable"]
    shown = repo.edgit("status", "--kv", target(repo)).out
    assert "held back: my-prompt prod shows v1.0.0, git has v1.1.0" in shown
    assert len(json.loads(repo.edgit("status", "--kv", target(repo), "--format", "json").out)["kv"]["held_back"]) == 3

    # A pointer that moves on is published with its move, and what is withdrawn is passed over.
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod", "--kv", target(repo), code=1)
    assert "my-prompt prod stays" not in answer.err
    repo.edgit("withdraw", "my-prompt@v1.1.0", "--reason", "binary", "--kv", target(repo))
    assert repo.edgit(*publish).err == ""
    assert "held back" not in repo.edgit("status", "--kv", target(repo)).out
    moved = [move["version"] for move in history(repo) if move["environment"] == "prod"]
    assert "v1.1.0" not in moved


def history(repo: Repo) -> Any:
    entry = LocalKv(Path(repo.env["KV"])).get_many(["history/my-prompt"])["history/my-prompt"]
    assert entry is not None
    return json.loads(entry.value)


def test_a_move_to_it_is_made_and_told_and_a_dry_run_says_so_before(repo: Repo) -> None:
    assert SAID in repo.edgit("publish", "--kv", target(repo), "--dry-run", code=1).err
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-eu", "--kv", target(repo), code=1)
    assert "my-prompt prod-eu is left out: v1.1.0 cannot be published" in answer.err
    assert "prod-eu" not in pointers(repo)["my-prompt"]
    assert repo.live("my-prompt", "prod-eu") == "v1.1.0"


def test_a_first_publish_leaves_out_what_it_cannot_show(repo: Repo, tmp_path: Path) -> None:
    repo.env["KV"] = str(tmp_path / "new.sqlite3")
    assert "my-prompt prod is left out" in repo.edgit("publish", "--kv", target(repo), code=1).err
    assert pointers(repo) == {
        "my-prompt": {"$type": "prompt", "latest": "v1.0.0", "stable": "v1.0.0"},
        "other": {"$type": "prompt", "latest": "v1.0.0", "prod": "v1.0.0", "stable": "v1.0.0"},
    }
    assert [move["version"] for move in history(repo)] == []
