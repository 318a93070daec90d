"""What is live: `edgit deploy get` and `edgit deploy list`. What only the second needs is imported by it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgit import terminal
from edgit.commands.groups import LazyGroup
from edgit.commands.options import (
    Environment,
    argument_component,
    complete,
    option_environment,
    option_format,
    option_offline,
)
from edgit.errors import EdgitError
from edgit.repository.live import read_live_version

if TYPE_CHECKING:
    from edgit.repository.reading import Repository


@click.group(
    cls=LazyGroup,
    places={
        "set": "deploy:deploy_set",
        "get": "live:deploy_get",
        "list": "live:deploy_list",
        "unset": "deploy:deploy_unset",
    },
)
def deploy() -> None:
    """Set, get, list and unset what is live in an environment."""


@click.command("get")
@argument_component("component")
@option_environment("--from", default="prod", help="Where.")
@option_format("text", "json")
@option_offline
def deploy_get(component: str, environment: str, format: str) -> None:
    """Print the version of COMPONENT that is live in an environment, and nothing else.

    \b
    edgit deploy get my-prompt
    edgit deploy get my-prompt --from prod
    """
    version = read_live_version(Path.cwd(), component, environment) if _may_be_short() else None
    if version is None:
        component, version = _needed_version(component, environment)
    if format == "json":
        terminal.document({"component": component, "environment": environment, "version": version})
    else:
        click.echo(version)


def _may_be_short() -> bool:
    """Whether the remote need not be looked at first."""
    from edgit.commands.context import is_offline, open_git  # noqa: PLC0415
    from edgit.remote.freshness import is_fresh  # noqa: PLC0415

    return is_offline() or is_fresh(open_git())


def _needed_version(component: str, environment: str) -> tuple[str, str]:
    """The component's key and its version, by all that the repository says."""
    from edgit.commands.context import open_repository  # noqa: PLC0415
    from edgit.repository.catalog import known, live_in  # noqa: PLC0415
    from resolver.errors import nearest  # noqa: PLC0415

    repository = open_repository()
    component = known(repository, component)
    version = repository.state.version(component, environment)
    if version is None:
        close = nearest(environment, repository.environments(component))
        raise EdgitError(
            f"{component} has nothing live in {environment}; {live_in(repository, component)}"
            + (f".{close}" if close else ""),
            hint=None if close else _next(repository, component, environment),
        )
    return component, version


def _next(repository: Repository, component: str, environment: str) -> str:
    if repository.tip is None and repository.git.remote():
        return "next: edgit pull, since the remote may have a ledger that is not here"
    return f"next: edgit deploy set {component} VERSION --to {environment}"


@click.command("list")
@click.argument("environment", type=Environment(), default="prod", shell_complete=complete("environment"))
@option_format("text", "json")
@option_offline
def deploy_list(environment: str, format: str) -> None:
    """What is live in ENVIRONMENT (prod if none is named): each component with its version, since when and by whom.

    \b
    edgit deploy list
    edgit deploy list staging
    """
    from edgit.commands.context import open_repository  # noqa: PLC0415
    from edgit.ledger.history import moves_of  # noqa: PLC0415
    from edgit.repository.reading import read_past  # noqa: PLC0415
    from resolver.errors import listed, nearest  # noqa: PLC0415

    repository = open_repository()
    pointers = repository.state.pointers
    live = {name: found[environment] for name, found in sorted(pointers.items()) if environment in found}
    there = {name for found in pointers.values() for name in found}
    close = nearest(environment, there)
    last = {move.component: move for move in moves_of(read_past(repository), environment=environment)}
    since = {name: last[name] for name in live if name in last and last[name].version == live[name]}
    if format == "json":
        terminal.rows(
            {
                "component": name,
                "version": version,
                "at": terminal.when(since[name].at) if name in since else None,
                "actor": since[name].actor if name in since else None,
            }
            for name, version in live.items()
        )
        return
    terminal.table(
        ("component", "version", "since", "by"),
        (
            (name, version, terminal.when(since[name].at), terminal.who(since[name].actor))
            if name in since
            else (name, version, "unknown", "unknown")
            for name, version in live.items()
        ),
        f"nothing is live in {environment}" + (f"; there are {listed(there)}.{close}" if there else ""),
    )
