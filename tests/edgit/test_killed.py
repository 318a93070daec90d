"""Killed at any instant: the next command finds the repository as it was before, as it is after, or finishes it and
says so. No lock stays for ever, and none of a living process is broken.

What edgit itself does is cut between any two of its steps: a copy of the disk at each of them is what a kill there
leaves. What git does inside a transaction is cut by a hook that kills, by hand between its renames, and where there is
strace at every single system call.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgit.git.process import Git
from edgit.repository import lock as desk
from edgit.repository.catalog import read_catalog
from edgit.repository.lock import RepositoryLock
from tests.edgit.repo import Answer, Repo, clone, copied, copy, make, with_remote

LEDGER = "refs/edgit/ledger"
PROD = "refs/tags/components/my-prompt/prod"

# The moments of a command


class Watch:
    """Calls `at` before each step of this process that may change a disk, while it is set."""

    at: Callable[[], None] | None = None

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        writes = event in ("os.rename", "os.remove", "os.mkdir", "os.truncate", "subprocess.Popen")
        if event == "open" and isinstance(arguments[2], int):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        at = self.at
        if writes and at:
            self.at = None
            try:
                at()
            finally:
                self.at = at


WATCH = Watch()
sys.addaudithook(WATCH)


def states(folder: Path, act: Callable[[], object]) -> list[Path]:
    """Copies of a folder as it is on disk at every step of an act, each state once."""
    found: dict[str, Path] = {}

    def look() -> None:
        key = fingerprint(folder)
        if key not in found:
            found[key] = folder.parent / f"state-{len(found)}"
            copy(folder, found[key])

    WATCH.at = look
    try:
        act()
    finally:
        WATCH.at = None
    look()
    return list(found.values())


def fingerprint(folder: Path) -> str:
    """What a folder holds."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        if path.is_file() and "objects" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "STALE_AFTER", 0.02)
    monkeypatch.setattr(desk, "BUSY_PAUSE", 0.02)


State = tuple[dict[str, dict[str, str]], dict[str, list[str]]]


def state(repo: Repo) -> State:
    """What the repository says: pointers and versions, as the ledger and the tags have them."""
    with repo.here():
        world = repo.read()
        pointers = {name: dict(found) for name, found in world.state.pointers.items()}
        return pointers, dict(sorted(read_catalog(world).versions.items()))


def settled(repo: Repo, before: State, after: State) -> None:
    """The next command finds all as before or as after, and tells what it sets right; nothing is left behind."""
    found = state(repo)
    refs = repo.refs("refs/tags", LEDGER)
    answer = repo.edgit("adopt")
    now = state(repo)
    assert now in (before, after)
    assert now[0] == found[0], "what the ledger says is what holds, before a word of the next command"
    if repo.refs("refs/tags", LEDGER) != refs:
        assert "finished what an earlier command had begun" in answer.err or "follows the ledger" in answer.err
    assert left_behind(repo) == []
    for name, pointers in now[0].items():
        for environment, version in pointers.items():
            assert repo.tagged(name, environment) == version
    repo.git("pack-refs", "--all")
    answer = repo.deploy("my-prompt", "v1.0.0", to="last")
    assert not re.search("follows the ledger|finished what|another tool|removed a lock", answer.err)
    assert repo.tagged("my-prompt", "last") == "v1.0.0"


def left_behind(repo: Repo) -> list[str]:
    """Lock files and the like that nobody needs any more."""
    folder = repo.root / ".git"
    files = [*folder.glob("*.lock"), *folder.glob("refs/**/*.lock"), *folder.glob("packed-refs.new")]
    # When the remote was last looked at is kept on purpose.
    files += [file for file in folder.glob("edgit/*") if file.stat().st_size > 0 and file.name != "seen.json"]
    return [str(file.relative_to(folder)) for file in files]


def one_live(folder: Path) -> Repo:
    """Three versions, one of them live."""
    repo = make(folder / "work")
    for version in ("v1.0.0", "v1.1.0"):
        repo.version("my-prompt", version)
    repo.version("other", "v2.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    return repo


def prepared(folder: Path) -> Repo:
    return copied(one_live, folder)


def edit_then_tag(repo: Repo) -> Answer:
    repo.write("components/prompts/other.md", "changed\n", commit=False)
    return repo.edgit("tag", "create", "other", "v2.1.0")


def move_plainly_then_set(repo: Repo) -> object:
    repo.git("tag", "-f", "-a", "-m", "Deploy my-prompt@v1.1.0 to prod", "components/my-prompt/prod", "HEAD~1")
    return repo.deploy("my-prompt", "v1.0.0")


def delete_then_restore(repo: Repo) -> object:
    repo.git("tag", "-d", "components/my-prompt/v1.1.0")
    return repo.edgit("tag", "restore", "my-prompt", "v1.1.0")


ACTS: dict[str, Callable[[Repo], object]] = {
    "deploy set": lambda repo: repo.deploy("my-prompt", "v1.1.0"),
    "deploy set of two": lambda repo: repo.deploy("my-prompt@v1.1.0", "other@v2.0.0"),
    "deploy unset": lambda repo: repo.edgit("deploy", "unset", "my-prompt", "--from", "prod"),
    "tag create": edit_then_tag,
    "tag restore": delete_then_restore,
}


@pytest.mark.parametrize("name", ACTS)
def test_between_any_two_steps_of_a_command(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "here"
    repo = prepared(folder)
    if name == "deploy unset":
        repo.git("pack-refs", "--all")
    before = state(repo)
    copies = states(folder, lambda: ACTS[name](repo))
    after = state(repo)
    assert len(copies) > 4
    for at in copies:
        settled(replace(repo, root=at / "work"), before, after)


def test_between_any_two_steps_of_what_records_another_tools_move_first(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    repo = prepared(folder)
    before = state(repo)
    for at in states(folder, lambda: move_plainly_then_set(repo)):
        there = replace(repo, root=at / "work")
        there.edgit("adopt")
        # Adopted or moved on, nothing of it is lost: the ledger has what the other tool did, or never saw it.
        assert state(there)[1] == before[1]
        versions = re.findall(r"prod: \S+ -> (\S+)", there.edgit("history", "my-prompt", "--all").out)
        assert versions in (["v1.0.0"], ["v1.1.0", "v1.0.0"], ["v1.0.0", "v1.1.0", "v1.0.0"])
        assert there.live("my-prompt") == versions[0]
        assert there.edgit("history").err == ""
        assert left_behind(there) == []


def test_between_any_two_steps_of_beginning_a_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    repo = make(folder / "work")
    repo.write("components/prompts/my-prompt.md", "one")
    repo.git("tag", "-a", "-m", "x", "components/my-prompt/v1.0.0")
    repo.git("tag", "-a", "-m", "Deploy my-prompt@v1.0.0 to prod", "components/my-prompt/prod")
    before = state(repo)
    for at in states(folder, lambda: repo.edgit("init", "--auto-push")):
        there = replace(repo, root=at / "work")
        answer = there.edgit("adopt")
        assert state(there) == before
        assert LEDGER in there.refs()
        assert left_behind(there) == []
        assert "Traceback" not in answer.err


def test_between_any_two_steps_of_a_pull_that_replays(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    ada, remote = with_remote(folder)
    for version in ("v1.0.0", "v1.1.0"):
        ada.version("my-prompt", version)
    ada.version("other", "v2.0.0")
    ada.deploy("my-prompt", "v1.0.0")
    ada.git("push", "--quiet")
    ada.edgit("push")
    bob = clone(remote, folder / "bob", name="Bob")
    bob.now = ada.now
    bob.edgit("pull")
    bob.deploy("other", "v2.0.0")
    ada.version("my-prompt", "v1.2.0")
    ada.deploy("my-prompt", "v1.2.0")
    ada.edgit("push")
    before = state(bob)
    copies = states(folder, lambda: bob.edgit("pull"))
    after = state(bob)
    assert after[0] == {"my-prompt": {"prod": "v1.2.0"}, "other": {"prod": "v2.0.0"}}
    for at in copies:
        there = replace(bob, root=at / "bob")
        there.edgit("adopt", "other")
        assert state(there)[0] in (before[0], after[0])
        there.edgit("pull")
        assert state(there) == after
        assert left_behind(there) == []
        there.edgit("push")
        assert there.run("push", "--tags").err == "Everything up-to-date\n"


def test_between_any_two_steps_of_a_push(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    ada, _ = with_remote(folder)
    ada.version("my-prompt", "v1.0.0")
    ada.deploy("my-prompt", "v1.0.0")
    ada.edgit("push")
    ada.version("my-prompt", "v1.1.0")
    ada.deploy("my-prompt", "v1.1.0")
    for at in states(folder, lambda: ada.edgit("push")):
        there, remote = replace(ada, root=at / "work"), replace(ada, root=at / "origin.git")
        # The remote has the move whole or not at all.
        seen = clone(remote, at / "seen")
        seen.edgit("pull")
        assert seen.live("my-prompt") == seen.tagged("my-prompt")
        there.edgit("push")
        assert there.run("push", "--tags").err == "Everything up-to-date\n"
        seen.edgit("pull")
        assert seen.live("my-prompt") == seen.tagged("my-prompt") == "v1.1.0"


# Inside git's transaction

WHOLE_GROUP = "kill -9 0"


def killed_in(repo: Repo, moment: str, *arguments: str, script: str = WHOLE_GROUP) -> int:
    """Run a command that a hook kills at a moment of its ref transaction; its exit code."""
    hook = repo.hook("reference-transaction", f'refs=$(cat); case "$1 $refs" in "{moment} "*{LEDGER}*) {script};; esac')
    process = repo.process(*arguments)
    process.communicate()
    hook.unlink()
    return process.returncode


@pytest.mark.parametrize("moment", ["prepared", "committed"])
@pytest.mark.parametrize("name", ["set", "unset"])
def test_killed_with_its_git_inside_the_transaction(tmp_path: Path, moment: str, name: str) -> None:
    repo = prepared(tmp_path)
    repo.git("pack-refs", "--all")
    before = state(repo)
    words = ["my-prompt", "v1.1.0", "--to"] if name == "set" else ["my-prompt", "--from"]
    code = killed_in(repo, moment, "deploy", name, *words, "prod")
    assert code == -signal.SIGKILL
    if moment == "prepared":
        assert any(file.endswith("ledger.lock") for file in left_behind(repo))
    pointers = {"prod": "v1.1.0"} if name == "set" else {}
    after = ({"my-prompt": pointers} if pointers else {}, before[1])
    assert state(repo) == (before if moment == "prepared" else after)
    settled(repo, before, after)


def test_killed_between_any_two_renames_of_the_transaction(tmp_path: Path) -> None:
    """git renames one lock file after the other into its ref, the ledger's first."""
    repo = prepared(tmp_path / "here")
    before = state(repo)
    killed_in(repo, "prepared", "deploy", "set", "my-prompt@v1.1.0", "other@v2.0.0", "--to", "prod")
    locks = ["refs/edgit/ledger", PROD, "refs/tags/components/other/prod"]
    after = ({"my-prompt": {"prod": "v1.1.0"}, "other": {"prod": "v2.0.0"}}, before[1])
    for count in range(len(locks) + 1):
        copy(tmp_path / "here", tmp_path / f"after-{count}")
        there = replace(repo, root=tmp_path / f"after-{count}/work")
        for ref in locks[:count]:
            (there.root / ".git" / f"{ref}.lock").rename(there.root / ".git" / ref)
        assert state(there)[0] == (after[0] if count else before[0])
        settled(there, before, after)
        assert state(there)[0]["my-prompt"]["prod"] == ("v1.1.0" if count else "v1.0.0")


STRACE = shutil.which("strace")
CALLS = "openat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,write"


def traceable() -> bool:
    return bool(STRACE) and not subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode


@pytest.mark.parametrize("name", ["set", "unset"])
def test_killed_at_every_system_call_of_the_transaction(tmp_path: Path, name: str) -> None:
    if not traceable():
        # CI installs it. Elsewhere (macOS, a container without ptrace) the tests above kill between any two renames.
        pytest.skip("a kill at a chosen system call takes strace, and leave to trace: apt-get install strace")
    repo = prepared(tmp_path / "here")
    if name == "unset":
        repo.git("pack-refs", "--all")
    words = ["my-prompt@v1.1.0", "other@v2.0.0", "--to"] if name == "set" else ["my-prompt", "--from"]
    before = state(repo)
    # All up to the transaction once, and what goes into it; then that again and again, killed at a later call each.
    killed_in(repo, "prepared", "deploy", name, *words, "prod", script=f"{WHOLE_GROUP}")
    folder = tmp_path / "here/work/.git"
    for lock in [*folder.glob("refs/**/*.lock"), *folder.glob("packed-refs.*")]:
        lock.unlink()
    lines = transaction(folder / "edgit/pending.json")

    def traced(at: Path, *options: str) -> int:
        copy(tmp_path / "here", at)
        done = subprocess.run(
            ["strace", "-e", f"trace={CALLS}", *options, "git", "update-ref", "--stdin", "-z"],
            cwd=at / "work",
            env=repo.environment(),
            input=lines,
            capture_output=True,
            check=False,
        )
        return done.returncode

    log = tmp_path / "log"
    assert traced(tmp_path / "whole", "-o", str(log)) == 0, "the transaction has no end"
    after = ({"my-prompt": {"prod": "v1.1.0"}, "other": {"prod": "v2.0.0"}} if name == "set" else {}, before[1])
    seen: set[str] = set()
    for call, count in changing(log.read_text()):
        at = tmp_path / f"at-{call}-{count}"
        assert traced(at, "-o", os.devnull, "-e", f"inject={call}:signal=KILL:when={count}") != 0
        key = fingerprint(at)
        if key not in seen:
            seen.add(key)
            settled(replace(repo, root=at / "work"), before, after)
        shutil.rmtree(at)
    assert len(seen) > 5


def changing(log: str) -> list[tuple[str, int]]:
    """Of the calls that strace wrote down, those that may change the disk, each by its name and its number among those
    of that name: strace counts so. A kill at any other call leaves what a kill at one of these does."""
    found: list[tuple[str, int]] = []
    counts: Counter[str] = Counter()
    for line in log.splitlines():
        call, bracket, given = line.partition("(")
        if bracket:
            counts[call] += 1
            if call != "openat" or "O_RDONLY" not in given or "O_CREAT" in given:
                found.append((call, counts[call]))
    return found


def transaction(pending: Path) -> bytes:
    """What edgit tells `git update-ref --stdin -z` to do."""
    lines = ["start"]
    for ref, new, old in json.loads(pending.read_text()):
        lines.append(f"update {ref}\0{new}\0{old or '0' * 40}" if new else f"delete {ref}\0{old}")
    return "".join(f"{line}\0" for line in [*lines, "prepare", "commit"]).encode()


def test_its_git_alone_is_killed(tmp_path: Path) -> None:
    repo = prepared(tmp_path)
    before = repo.refs()
    code = killed_in(repo, "prepared", "deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", script="kill -9 $PPID")
    assert code == 1
    assert repo.refs() == before
    repo.deploy("my-prompt", "v1.1.0")
    assert left_behind(repo) == []


def test_the_git_that_commits_a_changed_file_is_killed(tmp_path: Path) -> None:
    repo = prepared(tmp_path)
    repo.write("components/prompts/other.md", "changed\n", commit=False)
    hook = repo.hook("pre-commit", "kill -9 $PPID")
    assert repo.edgit("tag", "create", "other", "v2.1.0", code=1).err
    hook.unlink()
    assert "index.lock" in " ".join(left_behind(repo))
    assert "removed a lock that a killed command had left: index.lock" in edit_then_tag(repo).err
    assert left_behind(repo) == []


@pytest.mark.parametrize(("moment", "version"), [("prepared", "v1.0.0"), ("committed", "v1.1.0")])
def test_killed_alone_while_its_git_goes_on(tmp_path: Path, moment: str, version: str) -> None:
    """The lock is git's too, until it has ended. Before its commit it ends when it finds that nobody listens."""
    repo = prepared(tmp_path)
    there, go = tmp_path / "there", tmp_path / "go"
    os.mkfifo(there)
    os.mkfifo(go)
    wait = f"echo > {there}; read _ < {go}"
    hook = repo.hook("reference-transaction", f'refs=$(cat); case "$1 $refs" in "{moment} "*{LEDGER}*) {wait};; esac')
    first = repo.process("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod")
    there.read_text()
    first.kill()
    first.wait()
    with (repo.root / ".git/edgit/lock").open("r+") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = repo.process("deploy", "set", "other", "v2.0.0", "--to", "prod")
        hook.unlink()
        go.write_text("\n")
    first.communicate()
    _, said = second.communicate()
    assert second.returncode == 0, said
    assert (repo.live("my-prompt"), repo.live("other")) == (version, "v2.0.0")
    assert (repo.tagged("my-prompt"), repo.tagged("other")) == (version, "v2.0.0")
    assert left_behind(repo) == []


# Locks


def mark(repo: Repo) -> None:
    """As a killed command leaves its own lock."""
    (repo.root / ".git/edgit/lock").write_bytes(b"at work\n")


class Foreign:
    """A living git that holds the lock of a ref: a transaction that is prepared and not committed."""

    def __init__(self, repo: Repo, ref: str, id: str) -> None:
        self.process = subprocess.Popen(
            ["git", "update-ref", "--stdin"],
            cwd=repo.root,
            env=repo.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.say(f"start\nupdate {ref} {id}\nprepare\n", answers=2)

    def say(self, text: str, answers: int) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(text)
        self.process.stdin.flush()
        for _ in range(answers):
            assert self.process.stdout.readline().endswith("ok\n")

    def __enter__(self) -> Foreign:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return prepared(tmp_path)


@pytest.mark.parametrize("killed", [False, True], ids=["", "after a kill"])
def test_a_lock_of_a_living_git_is_not_broken(repo: Repo, killed: bool) -> None:
    if killed:
        mark(repo)
    before = repo.refs()
    with Foreign(repo, PROD, before["refs/tags/components/my-prompt/v1.1.0"]) as foreign:
        answer = repo.deploy("my-prompt", "v1.1.0", code=3)
        assert f"{PROD}.lock; nothing was changed" in answer.err
        assert repo.refs() == before
        repo.deploy("other", "v2.0.0")
        foreign.say("commit\n", answers=1)
    assert repo.refs()[PROD] == before["refs/tags/components/my-prompt/v1.1.0"]
    repo.deploy("my-prompt", "v1.0.0")
    assert repo.edgit("history", "--all", "--limit", "3", "my-prompt").out.count("my-prompt prod") == 3


def test_a_lock_that_could_be_ours_is_cleared_once_no_git_lives(repo: Repo) -> None:
    mark(repo)
    lock = repo.root / ".git/refs/edgit/ledger.lock"
    with Foreign(repo, PROD, repo.refs()[PROD]):
        lock.touch()
        assert "another git holds" in repo.deploy("other", "v2.0.0", code=3).err
        assert lock.exists()
    answer = repo.deploy("my-prompt", "v1.1.0")
    assert "removed a lock that a killed command had left: refs/edgit/ledger.lock" in answer.err
    assert "removed a lock that a killed command had left: refs/tags/components/my-prompt/prod.lock" in answer.err
    assert left_behind(repo) == []


def test_a_lock_that_another_killed_git_has_left_is_told_and_stays(repo: Repo) -> None:
    lock = repo.root / f".git/{PROD}.lock"
    lock.touch()
    answer = repo.deploy("my-prompt", "v1.1.0", code=3)
    assert f"rm '{lock}'" in answer.err
    assert lock.exists()
    lock.unlink()
    repo.deploy("my-prompt", "v1.1.0")


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "packed-refs.lock", "packed-refs.new", "shallow.lock"])
def test_other_locks_that_a_killed_command_can_leave(repo: Repo, name: str) -> None:
    mark(repo)
    repo.git("pack-refs", "--all")
    (repo.root / ".git" / name).touch()
    repo.write("components/prompts/other.md", "changed\n", commit=False)
    answer = repo.edgit("tag", "create", "other", "v2.1.0")
    assert f"removed a lock that a killed command had left: {name}" in answer.err
    repo.edgit("deploy", "unset", "my-prompt", "--from", "prod")
    assert left_behind(repo) == []


def test_an_interrupted_command_leaves_its_mark(repo: Repo) -> None:
    """Ctrl-C ends git as well, at once: what it was about is looked after like a kill."""
    with repo.here():
        at = RepositoryLock(Git.open(repo.root))
        with pytest.raises(KeyboardInterrupt), at.locked():
            raise KeyboardInterrupt
    assert left_behind(repo) == ["edgit/lock"]
    repo.deploy("my-prompt", "v1.1.0")
    assert left_behind(repo) == []


def test_one_command_at_a_time(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "LOCK_WAIT", 0.0)
    with repo.here():
        at = RepositoryLock(Git.open(repo.root))
        with at.locked():
            assert "another edgit command is at work" in repo.deploy("my-prompt", "v1.1.0", code=3).err
    assert left_behind(repo) == []
    repo.deploy("my-prompt", "v1.1.0")


def test_commands_at_the_same_time_come_one_after_the_other(repo: Repo) -> None:
    places = ("one", "two", "three")
    running = [repo.process("deploy", "set", "my-prompt", "v1.1.0", "--to", place) for place in places]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert [repo.tagged("my-prompt", place) for place in places] == ["v1.1.0"] * 3
    assert len(json.loads(repo.edgit("history", "--format", "json").out)) == 4
    assert left_behind(repo) == []
