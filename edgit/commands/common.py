"""What the commands share: options, the repository, and how a move is told."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from edgit import publish as publishing
from edgit import render, sync
from edgit.errors import EdgitError
from edgit.git import Git
from edgit.kv import Kv
from edgit.ledger import Moved
from edgit.moves import Desk, Outcome
from edgit.repository import World
from edgit.source import LedgerSource
from resolver.errors import ResolverError
from resolver.history import parse_instant
from resolver.reference import is_environment
from resolver.version import canonical

F = TypeVar("F", bound=Callable[..., Any])

#: How far ahead of this machine's clock an instant may lie, in seconds, before it is taken for a slip.
_AHEAD = 60


class Instant(click.ParamType[datetime]):
    """An instant with its offset, such as 2024-11-12T14:47:00Z; not in the future."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = parse_instant(value)
        except ResolverError as error:
            self.fail(error.detail, param, ctx)
        if found.timestamp() > time.time() + _AHEAD:
            self.fail(f"`{value}` lies in the future", param, ctx)
        return found


class Version(click.ParamType[str]):
    """A version, with or without its `v`."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return canonical(value)
        except ResolverError as error:
            self.fail(error.detail, param, ctx)


class Environment(click.ParamType[str]):
    """The name of an environment."""

    name = "environment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_environment(str(value)):
            self.fail(
                f"`{value}` cannot name an environment: a letter, then letters, digits, `-` and `_`; "
                "`latest` and `stable` name themselves",
                param,
                ctx,
            )
        return str(value)


def option_format(*choices: str, default: str = "text") -> Callable[[F], F]:
    """`--format`, one of these."""
    return click.option(
        "--format", "format", type=click.Choice(choices), default=default, show_default=True, help="How to answer."
    )


def option_reason(command: F) -> F:
    """`--reason`."""
    return click.option("--reason", "-m", metavar="TEXT", help="Why; kept in the ledger, shown by `edgit log`.")(
        command
    )


def option_dry_run(command: F) -> F:
    """`--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)


def option_kv(command: F) -> F:
    """`--kv`, the KV that the edge reads."""
    return click.option(
        "--kv",
        "kv",
        metavar="TARGET",
        help="local, local=PATH or cloudflare; the setting edgit.kv if it is not given.",
    )(command)


def open_git() -> Git:
    """The repository of the current folder."""
    return Git.open(Path.cwd())


def open_world() -> World:
    """The repository as it is, with a word about what other tools have moved in it."""
    world = World(open_git())
    tell_differences(world)
    return world


def tell_differences(world: World) -> None:
    """Say where tags and ledger differ."""
    foreign, behind = world.differences
    for found in foreign:
        said = found.meaning.version or f"something unclear: {found.meaning.problem}"
        render.warn(
            f"components/{found.component}/{found.environment} was moved by another tool to {said}; "
            f"the ledger says {found.recorded or 'none'}. Next: edgit adopt"
        )
    for pointer in behind:
        render.warn(
            f"the tag components/{pointer.component}/{pointer.environment} is behind the ledger, which says "
            f"{pointer.version or 'none'}; the next command that moves something, or edgit pull, brings it up"
        )
    if world.ledger is None and world.git.remote() and not world.tags.components():
        render.note("this clone has neither ledger nor tags; if others move components here: edgit pull")


def now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


def kv_target(git: Git, given: str | None) -> str | None:
    """The KV that is meant: as given, else the setting `edgit.kv`."""
    return given or git.config("edgit.kv")


def needed_kv(git: Git, given: str | None) -> str:
    """The same. Raises `EdgitError` where none is named."""
    target = kv_target(git, given)
    if target is None:
        raise EdgitError(
            "no KV is named", hint="next: add --kv local or --kv cloudflare, or set it: git config edgit.kv cloudflare"
        )
    return target


def push_after(git: Git) -> bool | None:
    """Push what was just moved, where `edgit.autoPush` says so; None where it does not."""
    if not git.flag("edgit.autoPush") or git.remote() is None:
        return None
    try:
        pushed = sync.push(World(git))
    except EdgitError as error:
        raise type(error)(f"moved here, and not pushed: {error.detail}", hint=error.hint) from None
    return not pushed.nothing


def tell_moves(moves: Iterable[Moved], unchanged: Sequence[Any], *, dry_run: bool) -> None:
    """One line for each pointer."""
    would = "would move: " if dry_run else ""
    text = [
        f"{would}{move.component} {move.environment}: {move.before or 'none'} -> {move.after or 'none'}"
        for move in moves
    ]
    text += [f"{wish.component} {wish.environment}: {wish.version or 'none'} already" for wish in unchanged]
    render.lines(text)


def finish(git: Git, outcome: Outcome, format: str, *, kv: str | None = None, published: bool = False) -> None:
    """Tell what a moving command did, push where that is set, and say what comes next."""
    pushed = push_after(git) if outcome.entries and not outcome.dry_run else None
    if format == "json":
        render.document(outcome_as_json(outcome, pushed))
        return
    for text in outcome.notes:
        render.note(text)
    tell_moves(outcome.moved, outcome.unchanged, dry_run=outcome.dry_run)
    if outcome.dry_run or not outcome.entries:
        return
    remote = git.remote()
    if pushed:
        render.note(f"generation {outcome.generation}, pushed to {remote}")
    elif remote:
        render.next_step("edgit push")
        return
    if not published:
        target = kv or git.config("edgit.kv")
        render.next_step(
            f"edgit publish --to {target or 'local|cloudflare'}" + ("" if target else ", or let the workflow do it")
        )


def outcome_as_json(outcome: Outcome, pushed: bool | None) -> dict[str, object]:
    """What a moving command did, for a program."""
    return {
        "generation": outcome.generation,
        "moved": [
            {"component": m.component, "environment": m.environment, "before": m.before, "version": m.after}
            for m in outcome.moved
        ],
        "unchanged": [
            {"component": wish.component, "environment": wish.environment, "version": wish.version}
            for wish in outcome.unchanged
        ],
        "notes": list(outcome.notes),
        "pushed": bool(pushed),
        "dry_run": outcome.dry_run,
    }


def at_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def desk() -> Desk:
    """Where a moving command works."""
    return Desk(open_git())


class Group(click.Group):
    """A group whose errors are told, not traced. Exit codes: 1 wrong, 2 usage, 3 refused, 4 not reached."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they were added, which is that of their use."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgitError as error:
            render.fail(error.detail, error.hint)
            ctx.exit(error.exit_code)
        except ResolverError as error:
            render.fail(str(error), None)
            ctx.exit(1)


def complete_component(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of components, for the shell."""
    try:
        return sorted(name for name in World(open_git()).names if name.startswith(incomplete))
    except EdgitError:
        return []


def complete_version(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Versions of the component named before, for the shell."""
    try:
        component = ctx.params.get("component") or ctx.params.get("name")
        return [v for v in World(open_git()).versions(str(component)) if v.startswith(incomplete)]
    except EdgitError:
        return []


def complete_environment(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Environments in use, for the shell."""
    try:
        state = World(open_git()).state
    except EdgitError:
        return []
    found = {environment for pointers in state.pointers.values() for environment in pointers}
    return sorted(environment for environment in found if environment.startswith(incomplete))


argument_component = functools.partial(click.argument, shell_complete=complete_component)


def publish_world(
    world: World, kv: Kv, *, replace: bool = False, full: bool = False, dry_run: bool = False, show: bool = True
) -> publishing.Report:
    """Publish the ledger, with a bar at a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=render.error_console(),
        transient=True,
        disable=not (show and sys.stderr.isatty()),
    ) as bar:
        task = bar.add_task("publishing", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        return publishing.publish(
            LedgerSource(world), kv, progress=progress, dry_run=dry_run, replace=replace, full=full
        )
