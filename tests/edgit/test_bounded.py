"""A remote that takes the connection and never answers is no reason to wait for ever."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgit.git import process
from tests.edgit.repo import Repo, make, with_remote


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a remote that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"git://127.0.0.1:{server.getsockname()[1]}/x"


@pytest.fixture
def repo(tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A repository with one move, whose remote is silent."""
    monkeypatch.setattr(process, "FIRST_CONTACT", 0.3)
    repo = make(tmp_path / "work")
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    repo.git("remote", "add", "origin", silent)
    return repo


def git_at(repo: Repo) -> list[str]:
    """The git processes that work in a repository."""
    found = []
    for process_ in Path("/proc").glob("[0-9]*"):
        try:
            if (process_ / "comm").read_text().startswith("git") and (process_ / "cwd").readlink() == repo.root:
                found.append((process_ / "cmdline").read_text())
        except OSError:
            continue
    return found


def works(process_: int) -> bool:
    """Whether a process is there, and no mere entry that nobody has waited for."""
    try:
        os.kill(process_, 0)
        return Path(f"/proc/{process_}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("command", ["push", "pull"])
def test_a_silent_remote_is_told_within_the_bound(repo: Repo, command: str) -> None:
    before, begun = repo.refs(), time.monotonic()
    answer = repo.edgit(command, code=4)
    assert time.monotonic() - begun < 5
    assert "origin did not answer within 0.3 s" in answer.err
    assert repo.refs() == before
    assert git_at(repo) == []


def test_a_transfer_that_stalls_is_ended_with_all_that_it_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git talks through another program, that one is ended too."""
    repo, remote = with_remote(tmp_path)
    repo.version("my-prompt", "v1.0.0")
    remote.hook("pre-receive", f"echo $$ > {tmp_path}/hook; exec sleep 60")
    monkeypatch.setattr("edgit.commands.share.LONG_TRANSFER", 0.6)
    before = remote.refs()
    answer = repo.edgit("push", code=4)
    assert "origin did not finish git push within 0.6 s" in answer.err
    assert remote.refs() == before
    assert not works(int((tmp_path / "hook").read_text()))
    # What it has left is no obstacle to the next one.
    (remote.root / "hooks/pre-receive").unlink()
    monkeypatch.setattr("edgit.commands.share.LONG_TRANSFER", 60)
    repo.edgit("push")
    assert "refs/edgit/ledger" in remote.refs()


def test_ctrl_c_while_a_remote_is_silent_leaves_nothing(repo: Repo) -> None:
    before = repo.refs()
    edgit = repo.process("push")
    deadline = time.monotonic() + 10
    while not any("ls-remote" in line for line in git_at(repo)) and time.monotonic() < deadline:
        time.sleep(0.02)
    edgit.send_signal(signal.SIGINT)
    _, err = edgit.communicate(timeout=5)
    assert edgit.returncode == 130
    assert "stopped" in err
    assert git_at(repo) == []
    assert repo.refs() == before
    assert subprocess.run(["git", "fsck"], cwd=repo.root, capture_output=True, check=False).returncode == 0
