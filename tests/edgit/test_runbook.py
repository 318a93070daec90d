"""docs/runbook.md shows what the commands print. `python -m tests.edgit.test_runbook` writes it anew."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.edgit.repo import Repo, make
from tests.edgit.warm import warm

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)


def clock(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) - 60


def prepared(folder: Path) -> Repo:
    """The repository of the page, on Tuesday at 14:49."""
    remote = make(folder / "origin.git", bare=True)
    repo = make(folder / "work")
    repo.env |= {"KV": str(folder / "kv.sqlite3"), "PYTHONPATH": str(RUNBOOK.parents[1])}
    repo.git("remote", "add", "origin", str(remote.root))

    def version(name: str, version: str, text: str | None = None, path: str | None = None) -> None:
        repo.write(path or f"components/prompts/{name}.md", text or f"{name} {version}\n")
        repo.edgit("tag", "create", name, version, "--message", f"{name} {version}")

    config = "components/configs/validation-config.json"
    repo.git("config", "edgit.kv", "local")
    version("extraction-prompt", "v1.0.5")
    version("analysis-prompt", "v1.9.2")
    version("validation-config", "v1.4.0", path=config)
    version("my-prompt", "v0.9.0")
    repo.now = clock("2024-11-01T09:15:00")
    repo.deploy("my-prompt", "v0.9.0", "extraction-prompt", "v1.0.5")
    repo.edgit("publish")
    repo.now = clock("2024-11-08T10:20:00")
    version("my-prompt", "v1.0.0", "Answer the question.\n")
    repo.now = clock("2024-11-08T10:30:00")
    repo.deploy("my-prompt", "v1.0.0", "analysis-prompt", "v1.9.2", "validation-config", "v1.4.0")
    repo.edgit("publish")
    repo.now = clock("2024-11-12T14:20:00")
    version("extraction-prompt", "v1.1.0")
    version("analysis-prompt", "v2.0.0")
    version("validation-config", "v1.5.0", path=config)
    repo.write("components/prompts/my-prompt.md", "Answer the question in one word.\n", commit=False)
    repo.git("commit", "--quiet", "--all", "--message", "Shorter answers")
    repo.name = "Grace"
    repo.edgit("tag", "create", "my-prompt", "v1.1.0")
    repo.now = clock("2024-11-12T14:45:00")
    repo.deploy("my-prompt", "v1.1.0")
    repo.name = "Ada"
    repo.edgit("publish")
    repo.edgit("init", "--auto-push", "--kv", "local")
    repo.git("push", "--quiet", "-u", "origin", "main")
    repo.edgit("push")
    return repo


def shown(repo: Repo, command: str, tools: Path) -> str:
    """What a command prints, both streams as a terminal has them, without what differs from run to run."""
    repo.now += 60
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1; export PATH={tools}:{Path(sys.executable).parent}:$PATH; {command}"],
        cwd=repo.root,
        env=repo.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout.replace(repo.env["KV"], ".local/kv.sqlite3")
    text = re.sub(r"\(\d+\.\d s\)", "(0.1 s)", text)
    text = re.sub(r"^ +\d+\.\d\d s  ", "   0.10 s  ", text, flags=re.M)
    text = re.sub(r"done in \d+\.\d s", "done in 0.5 s", text)
    text = re.sub(r"took \d+\.\d\d s", "took 0.10 s", text)
    # The ids of git's objects.
    return re.sub(
        r"\b(?:[0-9a-f]{40}|[0-9a-f]{7})\b", lambda found: "4f0c1d2" if len(found[0]) == 7 else found[0], text
    )


def rerun(page: str, folder: Path) -> str:
    """The page with what its commands print now."""
    repo = prepared(folder)
    tools = folder / "tools"
    tools.mkdir()

    def block(found: re.Match[str]) -> str:
        commands = [line for line in found[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(_parts(repo, commands, tools)) + "```"

    with warm(tools):
        return BLOCK.sub(block, page)


def _parts(repo: Repo, commands: list[str], tools: Path) -> Iterator[str]:
    for command in commands:
        yield f"{command}\n"
        yield shown(repo, command.removeprefix("$ "), tools)


def test_the_runbook_shows_what_the_commands_print(tmp_path: Path) -> None:
    page = RUNBOOK.read_text("utf-8")
    assert rerun(page, tmp_path) == page, "write it anew with: python -m tests.edgit.test_runbook"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        RUNBOOK.write_text(rerun(RUNBOOK.read_text("utf-8"), Path(scratch)), "utf-8")
