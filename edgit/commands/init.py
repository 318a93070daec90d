"""`edgit init`: prepare a repository."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgit import terminal
from edgit.commands.context import at_terminal
from edgit.commands.options import option_format, option_kv
from edgit.commands.results import tell_notes
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.kv.record import setting_here
from edgit.kv.targets import open_kv
from edgit.ledger.reading import read_last_entry
from edgit.remote.differences import has_ledger
from edgit.repository.adoption import adopt
from edgit.repository.catalog import read_catalog
from edgit.repository.changes import ChangeOutcome
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import read_repository
from resolver.errors import listed


@click.command()
@click.option(
    "--auto-push/--no-auto-push", "auto_push", default=None, help="Whether moving commands push by themselves."
)
@option_kv()
@option_format("text", "json")
def init(auto_push: bool | None, kv: str | None, format: str) -> None:
    """Prepare a repository: begin the ledger, and choose whether moves are pushed at once.

    Without a repository one is made. Nothing is asked off a terminal, where pushing at once is off.

    \b
    edgit init
    edgit init --auto-push --kv local
    """
    git, made = _open_or_make(Path.cwd())
    if made and format == "text":
        terminal.lines([f"made a git repository in {git.root}"])
    if auto_push is None and at_terminal() and git.config("edgit.autoPush") is None:
        auto_push = click.confirm(
            "Push each move at once, so that `git push --tags` has nothing left to do?", default=True
        )
    if auto_push is not None:
        git.run("config", "--type=bool", "edgit.autoPush", str(auto_push).lower())
    if kv is not None:
        open_kv(kv)
        git.run("config", "edgit.kv", setting_here(kv, Path.cwd(), git.root, os.environ) if "=" in kv else kv)
    lock = RepositoryLock(git)
    remote = git.remote()
    with lock.locked() as repository:
        if repository.tip is None and repository.tags.components() and remote and has_ledger(git, remote):
            terminal.note(f"{remote} has a ledger already")
            terminal.next_step("edgit pull")
            if format == "json":
                terminal.document(_shape(git, remote, made=made))
            return
        outcome = adopt(lock, repository) if repository.tip is None else ChangeOutcome()
    if format == "json":
        terminal.document(_shape(git, remote, made=made) | {"notes": list(outcome.notes)})
        return
    tell_notes(outcome.notes)
    _tell_repository(git, remote)


def _open_or_make(folder: Path) -> tuple[Git, bool]:
    """The repository, and whether it was made just now."""
    try:
        return Git.open(folder), False
    except EdgitError as error:
        if "is not in a git repository" not in error.detail:
            raise
    Git(folder, folder / ".git", "sha1").run("init", "--quiet")
    return Git.open(folder), True


def _shape(git: Git, remote: str | None, *, made: bool) -> dict[str, object]:
    repository = read_repository(git)
    return {
        "root": str(git.root),
        "made": made,
        "generation": read_last_entry(git, repository.tip).generation if repository.tip else None,
        "components": sorted(read_catalog(repository).names),
        "auto_push": git.flag("edgit.autoPush"),
        "remote": remote,
        "kv": git.config("edgit.kv"),
        "notes": [],
    }


def _tell_repository(git: Git, remote: str | None) -> None:
    """What there is now, and the next command."""
    repository = read_repository(git)
    catalog = read_catalog(repository)
    pushes = "on" if git.flag("edgit.autoPush") else "off"
    terminal.lines(
        [
            f"ledger: generation {read_last_entry(git, repository.tip).generation}"
            if repository.tip
            else "ledger: empty, the first version begins it",
            f"components: {listed(catalog.names)}",
            f"pushing at once: {pushes} (git config edgit.autoPush)",
            f"remote: {remote or 'none'}",
            f"KV: {git.config('edgit.kv') or 'none yet (git config edgit.kv local or cloudflare)'}",
        ]
    )
    if not catalog.names:
        terminal.next_step(
            "write a component, such as components/prompts/my-prompt.md, then: edgit tag create my-prompt v1.0.0"
        )
    elif not any(catalog.versions.values()):
        terminal.next_step(f"edgit tag create {min(catalog.names)} v1.0.0")
