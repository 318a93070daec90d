"""`edgit withdraw` and `edgit reinstate`: versions that nothing shall choose by itself."""

from __future__ import annotations

from collections.abc import Sequence

import click

from edgit import terminal
from edgit.commands.completion import complete_versioned
from edgit.commands.context import kv_to_publish, open_git
from edgit.commands.options import ChangeOptions, move_options
from edgit.commands.results import finish
from edgit.ledger.entries import Withdrawn
from edgit.repository.catalog import known
from edgit.repository.changes import ChangeOutcome
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from edgit.repository.withdrawal import withdraw as withdraw_versions
from resolver.errors import InvalidVersion
from resolver.version import canonical

argument_versions = click.argument(
    "versions", nargs=-1, required=True, metavar="NAME@VERSION...", shell_complete=complete_versioned
)


@click.command()
@argument_versions
@move_options
def withdraw(versions: tuple[str, ...], options: ChangeOptions) -> None:
    """Let `latest`, `stable` and ranges pass a version over, here and at the edge; --reason says why.

    A reference that writes the version out still gets it, and where it is live it stays live: that is told. No command
    makes it live again before it is reinstated, and a rollback never chooses it.

    \b
    edgit withdraw my-prompt@v1.1.0 --reason "leaks names"
    edgit withdraw my-prompt@v1.1.0 --reason "leaks names" --publish
    """
    if not (options.reason or "").strip():
        raise click.UsageError("--reason is missing: whoever meets the version later wants to know why")
    _change(versions, options, withdrawn=True)


@click.command()
@argument_versions
@move_options
def reinstate(versions: tuple[str, ...], options: ChangeOptions) -> None:
    """Take back that a version was withdrawn: `latest`, `stable` and ranges choose it again.

    \b
    edgit reinstate my-prompt@v1.1.0 --reason "it was the config"
    """
    _change(versions, options, withdrawn=False)


def _change(texts: Sequence[str], options: ChangeOptions, *, withdrawn: bool) -> None:
    named = [_name_and_version(text) for text in texts]
    lock = RepositoryLock(open_git())
    store = kv_to_publish(lock.git, options.publish, options.kv)
    with lock.locked() as repository:
        versions = [(known(repository, name), version) for name, version in named]
        outcome = withdraw_versions(
            lock, repository, versions, options.reason, withdrawn=withdrawn, dry_run=options.dry_run
        )
    if options.format == "text":
        _tell(outcome, withdrawn=withdrawn)
        if withdrawn:
            _tell_live(repository, versions)
        outcome = ChangeOutcome(outcome.entries, (), outcome.notes, outcome.dry_run)
    finish(lock.git, outcome, options.format, store=store)


def _name_and_version(text: str) -> tuple[str, str]:
    name, at, version = text.partition("@")
    if not at:
        raise click.UsageError(f"`{text}` names no version: NAME@VERSION, such as {name}@v1.0.0")
    try:
        return name, canonical(version)
    except InvalidVersion as error:
        raise click.UsageError(f"{name}: {error.detail}") from None


def _tell(outcome: ChangeOutcome, *, withdrawn: bool) -> None:
    did = "withdrawn" if withdrawn else "reinstated"
    would = "would be " if outcome.dry_run else ""
    changed = (c for entry in outcome.entries for c in entry.changes if isinstance(c, Withdrawn))
    terminal.lines(f"{each.component} {each.version}: {would}{did}" for each in changed)
    already = "withdrawn already" if withdrawn else "not withdrawn"
    terminal.lines(f"{each.component} {each.version}: {already}" for each in outcome.unchanged)


def _tell_live(repository: Repository, versions: Sequence[tuple[str, str]]) -> None:
    """Where the versions are live still, and the commands that move on from there."""
    for name, version in versions:
        live = [env for env, there in repository.environments(name).items() if there == version]
        for environment in live:
            ends = environment.endswith("-canary")
            move = f"deploy unset {name}" if ends else f"rollback {name}"
            terminal.warn(f"{name} {version} is live in {environment}; to move on: edgit {move} --from {environment}")
