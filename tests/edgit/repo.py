"""Scratch repositories for the tests of edgit: one identity, a clock of their own, nothing of the user's git.

    repo = make(tmp_path / "work")                       # a repository with one commit and no component
    repo.write("components/prompts/my-prompt.md", "one") # a file, committed
    repo.edgit("tag", "create", "my-prompt", "v1.0.0")   # the command, in this process; it must exit 0
    assert repo.edgit("deploy", "get", "my-prompt", "--from", "prod", code=1).err

The clock begins at `BEGIN` and goes on by a minute before each edgit command and each commit; `repo.now` can be set.

What many tests begin with is made once in a process, and each test gets a copy of its own (`copied`): a copy takes a
few milliseconds, and a version or a move some fifty.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from edgit.cli import main
from edgit.git.process import Git
from edgit.repository.reading import Repository, read_repository

#: 2024-11-01T09:00:00Z.
BEGIN = int(datetime(2024, 11, 1, 9, tzinfo=UTC).timestamp())
NAME, EMAIL = "Ada", "ada@example.com"
#: The only settings that git has, besides a repository's own.
SETTINGS = Path(__file__).with_name("gitconfig")


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Everything, for an assertion that does not care where it stood."""
        return self.out + self.err


@dataclass
class Repo:
    """A repository, and what acts in it. `env` is added to every command's environment."""

    root: Path
    now: int = BEGIN
    name: str = NAME
    env: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The environment of every command: nothing of the user's, and this clock."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "EDGIT_", "CLOUDFLARE_"))
        }
        date = f"{self.now} +0000"
        return {
            **kept,
            "HOME": str(self.root.parent),
            "GIT_CONFIG_GLOBAL": str(SETTINGS),
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": self.name,
            "GIT_AUTHOR_EMAIL": f"{self.name.lower()}@example.com",
            "GIT_COMMITTER_NAME": self.name,
            "GIT_COMMITTER_EMAIL": f"{self.name.lower()}@example.com",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            **self.env,
        }

    def hook(self, name: str, script: str) -> Path:
        """Let git run this shell script at a moment of its own."""
        folder = self.root if (self.root / "HEAD").is_file() else self.root / ".git"
        hook = folder / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)
        return hook

    # Git

    def run(self, *arguments: str, input: str | None = None) -> Answer:
        """A git command, whatever becomes of it."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=self.environment(),
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def git(self, *arguments: str, input: str | None = None) -> str:
        """What a git command prints, without the end of its last line; the test fails where it fails."""
        done = self.run(*arguments, input=input)
        assert done.code == 0, f"git {' '.join(arguments)}: {done.err}"
        return done.out.rstrip("\n")

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Ref → object id; of all refs, unless prefixes are given."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", *prefixes).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines)

    def write(self, path: str, text: str, *, commit: bool = True) -> str:
        """Write a file, and commit it; the id of the commit that is HEAD then."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        if not commit:
            return ""
        self.now += 60
        self.git("add", "--", path)
        self.git("commit", "--quiet", "--allow-empty", "-m", f"Write {path}")
        return self.git("rev-parse", "HEAD")

    # edgit

    @contextmanager
    def here(self) -> Iterator[None]:
        """This process works in this repository, with its environment."""
        before, folder = dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(self.environment())
        os.chdir(self.root)
        try:
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)

    def edgit(self, *arguments: str, code: int | None = 0, input: str | None = None) -> Answer:
        """The command, in this process and off a terminal. It must exit with `code`; None takes any."""
        self.now += 60
        with self.here():
            done = CliRunner().invoke(main, [*arguments], input=input, prog_name="edgit", catch_exceptions=False)
        answer = Answer(done.exit_code, done.stdout, done.stderr)
        assert code in (None, answer.code), f"edgit {' '.join(arguments)} exited {answer.code}\n{answer.all}"
        return answer

    def process(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The command as a process of its own, in its own group, so that it can be killed with its children."""
        self.now += 60
        return subprocess.Popen(
            [sys.executable, "-m", "edgit.cli", *arguments],
            cwd=self.root,
            env={**self.environment(), "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def read(self) -> Repository:
        """The repository as edgit reads it. Use it inside `here`."""
        return read_repository(Git.open(self.root))

    # Shortcuts

    def version(self, component: str, version: str, text: str | None = None) -> None:
        """Write a prompt of this name and make a version of it."""
        self.write(f"components/prompts/{component}.md", text or f"{component} {version}\n")
        self.edgit("tag", "create", component, version)

    def deploy(self, *pairs: str, to: str = "prod", code: int | None = 0) -> Answer:
        """`deploy set … --to`."""
        return self.edgit("deploy", "set", *pairs, "--to", to, code=code)

    def live(self, component: str, environment: str = "prod") -> str | None:
        """What `deploy get` prints; None where nothing is live."""
        answer = self.edgit("deploy", "get", component, "--from", environment, code=None)
        return answer.out.strip() if answer.code == 0 else None

    def tagged(self, component: str, environment: str = "prod") -> str | None:
        """The version whose tag the environment's tag points at, as plain git sees it."""
        folder = f"refs/tags/components/{component}"
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname) %(object)", folder).splitlines()
        tags = {ref: (id, target) for ref, id, target in (line.split(" ") for line in lines)}
        _, wanted = tags.get(f"{folder}/{environment}", ("", ""))
        return next((ref.rpartition("/")[2] for ref, (id, _) in tags.items() if id == wanted), None)


def make(root: Path, *, bare: bool = False, format: str = "sha1", name: str = NAME) -> Repo:
    """A new repository with one commit, or a bare one with none."""
    shutil.copytree(_begun(bare, format, name), root, symlinks=True, dirs_exist_ok=True)
    return Repo(root, name=name)


@functools.cache
def _begun(bare: bool, format: str, name: str) -> Path:
    repo = Repo(_scratch(), name=name)
    options = ["--bare"] if bare else []
    repo.git("init", "--quiet", "--template=", "--initial-branch=main", f"--object-format={format}", *options)
    if not bare:
        repo.git("commit", "--quiet", "--allow-empty", "-m", "Begin")
    return repo.root


def copied(build: Callable[[Path], Repo], folder: Path) -> Repo:
    """What `build` makes in a folder, in this one: it is built once in this process, and copied each time."""
    first, repo = _built(build)
    copy(first, folder)
    env = {key: value.replace(str(first), str(folder)) for key, value in repo.env.items()}
    return replace(repo, root=folder / repo.root.relative_to(first), env=env)


@functools.cache
def _built(build: Callable[[Path], Repo]) -> tuple[Path, Repo]:
    folder = _scratch()
    return folder, build(folder)


def _scratch() -> Path:
    """A folder that is there until this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="edgit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def clone(source: Repo, root: Path, *options: str, name: str = NAME) -> Repo:
    """A clone of a repository, by somebody of this name, whose clock goes on where the source's is."""
    there = Repo(root.parent, source.now, name)
    there.git(
        "clone", "--quiet", *options, source.root.as_uri() if "--depth" in options else str(source.root), str(root)
    )
    return Repo(root, source.now, name)


def copy(folder: Path, to: Path) -> None:
    """Copy a folder that holds repositories; remotes among them go along."""
    shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True)
    for config in to.glob("*/.git/config"):
        config.write_text(config.read_text().replace(str(folder), str(to)))


def with_remote(folder: Path, *, name: str = NAME) -> tuple[Repo, Repo]:
    """A repository `work` and its bare remote `origin`, which has its main branch."""
    remote = make(folder / "origin.git", bare=True)
    repo = make(folder / "work", name=name)
    repo.git("remote", "add", "origin", str(remote.root))
    repo.git("push", "--quiet", "-u", "origin", "main")
    return repo, remote
