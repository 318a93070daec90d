"""What the commands share: options, the repository, and how a move is told.

What only publishing needs is imported by it: a script that asks for one version must not wait for it.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgit import terminal
from edgit.errors import EdgitError, NotReached
from edgit.git.process import Git
from edgit.ledger.entries import Moved
from edgit.remote.push import push as push_moves
from edgit.repository.changes import ChangeOutcome
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from resolver.errors import ResolverError, listed, nearest
from resolver.history import parse_instant
from resolver.reference import is_environment
from resolver.version import canonical

if TYPE_CHECKING:
    from edgit.kv.publish import PublishReport
    from edgit.kv.store import Kv

F = TypeVar("F", bound=Callable[..., Any])

#: Of so many tags that differ from the ledger each is told by itself.
_TOLD_AT_MOST = 20

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


def option_environment(
    flag: str, name: str = "environment", *, help: str, required: bool = False, default: str | None = None
) -> Callable[[F], F]:
    """An option that names an environment; the shell completes it with those in use."""
    # To click a default of None is one all the same, and what has a default is never required.
    defaults: dict[str, Any] = {} if default is None else {"default": default, "show_default": True}
    complete = complete_environment
    return click.option(
        flag, name, type=Environment(), required=required, shell_complete=complete, help=help, **defaults
    )


def option_reason(command: F) -> F:
    """`--reason`."""
    return click.option("--reason", "-m", metavar="TEXT", help="Why; kept in the ledger, shown by `edgit log`.")(
        command
    )


def option_dry_run(command: F) -> F:
    """`--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)


def option_publish(command: F) -> F:
    """`--publish` and `--kv`, for moves that shall be live at once."""
    kv = click.option(
        "--kv",
        "kv",
        metavar="TARGET",
        shell_complete=complete_kv,
        help="Publish there: local, local=PATH or cloudflare, instead of edgit.kv.",
    )
    publish = click.option("--publish", is_flag=True, help="Publish at once to the KV that the setting edgit.kv names.")
    return publish(kv(command))


def option_kv(command: F) -> F:
    """`--kv`, the KV that the edge reads."""
    return click.option(
        "--kv",
        "kv",
        metavar="TARGET",
        shell_complete=complete_kv,
        help="local, local=PATH or cloudflare; the setting edgit.kv if it is not given.",
    )(command)


def open_git() -> Git:
    """The repository of the current folder."""
    return Git.open(Path.cwd())


def open_world() -> Repository:
    """The repository as it is, with a word about what other tools have moved in it."""
    world = Repository(open_git())
    tell_differences(world)
    return world


def tell_differences(world: Repository) -> None:
    """Say where tags and ledger differ, and which tags mean nothing where there is no ledger yet."""
    foreign, behind = world.differences
    text = []
    for found in foreign:
        said = found.meaning.version or f"something unclear: {found.meaning.problem}"
        decide = f"deploy set {found.component} VERSION --to {found.environment}"
        text.append(
            f"components/{found.component}/{found.environment} was moved by another tool to {said}; "
            f"the ledger says {found.recorded or 'none'}. Next: edgit {'adopt' if found.meaning.version else decide}"
        )
    text += [
        f"the tag components/{pointer.component}/{pointer.environment} is behind the ledger, which says "
        f"{pointer.version or 'none'}; the next command that moves something, or edgit pull, brings it up"
        + (
            ""
            if pointer.found
            else f" (if it was to go: edgit deploy unset {pointer.component} --from {pointer.environment})"
        )
        for pointer in behind
    ]
    if world.ledger is None:
        text += [
            f"the tag components/{component}/{environment} means no version: {problem}. "
            f"Next: edgit deploy set {component} VERSION --to {environment}"
            for component, environment, problem in world.unclear
        ]
    for line in text[:_TOLD_AT_MOST]:
        terminal.warn(line)
    if len(text) > _TOLD_AT_MOST:
        terminal.warn(f"and {len(text) - _TOLD_AT_MOST} more such tags")
    if world.ledger is None and world.git.remote() and not world.tags.components():
        terminal.note("this clone has neither ledger nor tags; if others move components here: edgit pull")


def now() -> datetime:
    """This machine's clock, in whole seconds as git has them."""
    return datetime.now(UTC).replace(microsecond=0)


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


def store_for(git: Git, publish: bool, kv: str | None) -> Kv | None:
    """The KV that a move is published to at once; None where that is not asked for. `--kv` asks for it too.

    Opened before anything is moved: what is missing for it is then told while nothing has happened yet.
    """
    if not (publish or kv):
        return None
    from edgit.kv.targets import open_kv  # noqa: PLC0415

    return open_kv(needed_kv(git, kv))


def push_after(git: Git) -> bool:
    """Push what was just moved, where `edgit.autoPush` says so. Whether there was something to push."""
    if not git.flag("edgit.autoPush") or git.remote() is None:
        return False
    try:
        pushed = push_moves(Repository(git))
    except EdgitError as error:
        hint = f"next: edgit push, once {git.remote()} answers" if isinstance(error, NotReached) else error.hint
        raise type(error)(f"moved here, and not pushed: {error.detail}", hint=hint) from None
    if not pushed.nothing and (told := workflow_after(git)):
        terminal.note(told)
    return not pushed.nothing


def workflow_after(git: Git) -> str | None:
    """Start the workflow that publishes, where `edgit.workflow` names one; what to say about it."""
    if git.config("edgit.workflow") is None:
        return None
    from edgit.remote import workflow as github  # noqa: PLC0415

    return github.dispatch(git)


def publish_next(git: Git) -> None:
    """Say how what was moved comes to the edge."""
    if git.config("edgit.workflow"):
        return
    target = git.config("edgit.kv")
    terminal.next_step(f"edgit publish --to {target or 'local|cloudflare'}, or let the workflow do it")


def live_in(world: Repository, component: str) -> str:
    """Where a component is live, for a message."""
    there = world.environments(component)
    return f"it is live in {listed(there)}" if there else "it is live nowhere"


def tell_moves(moves: Iterable[Moved], unchanged: Sequence[Any], *, dry_run: bool) -> None:
    """One line for each pointer."""
    would = "would move: " if dry_run else ""
    text = [
        f"{would}{move.component} {move.environment}: {move.before or 'none'} -> {move.after or 'none'}"
        for move in moves
    ]
    text += [f"{wish.component} {wish.environment}: {wish.version or 'none'} already" for wish in unchanged]
    terminal.lines(text)


def finish(git: Git, outcome: ChangeOutcome, format: str, *, store: Kv | None = None, then: str | None = None) -> None:
    """Tell what a moving command did, push and publish where that is wanted, and say what comes next.

    `then` is the next command once everything is shared; without it, that is publishing. A remote that is away keeps
    nothing from KV where publishing was asked for: that is what production runs. It is the error all the same.
    """
    acted = bool(outcome.entries) and not outcome.dry_run
    pushed, away = False, None
    try:
        pushed = push_after(git) if acted else False
    except NotReached as error:
        if store is None:
            raise
        away = error
    if format == "text":
        for text in outcome.notes:
            terminal.note(text)
        tell_moves(outcome.moved, outcome.unchanged, dry_run=outcome.dry_run)
        if pushed:
            terminal.note(f"generation {outcome.generation}, pushed to {git.remote()}")
    report = None if store is None or outcome.dry_run else _publish_after(git, store, pushed, show=format == "text")
    if format == "json":
        terminal.document({**outcome_as_json(outcome, pushed), "published": report.as_json() if report else None})
    elif report:
        tell_published(report)
    if away:
        raise away
    if not acted or format == "json":
        return
    if any(moved.environment.endswith("-canary") and moved.after for moved in outcome.moved):
        name = next(m.component for m in outcome.moved if m.environment.endswith("-canary") and m.after)
        terminal.note(f"how many requests the canary takes is said in KV: edgit canary get {name}")
    if git.remote() and not pushed:
        terminal.next_step("edgit push")
    elif then:
        terminal.next_step(then)
    elif report is None:
        publish_next(git)


def _publish_after(git: Git, store: Kv, pushed: bool, *, show: bool) -> PublishReport:
    try:
        return publish_world(Repository(git), store, show=show)
    except EdgitError as error:
        moved = "moved here and pushed" if pushed else "moved here"
        raise type(error)(f"{moved}, and not published: {error.detail}", hint=error.hint) from None


def tell_published(report: PublishReport) -> None:
    """What a publish did, and when the edge shows it."""
    for text in report.warnings:
        terminal.warn(text)
    if report.nothing:
        terminal.lines([f"{report.target} has generation {report.generation} already; nothing to publish"])
        if report.announced:
            terminal.note(f"it was not announced yet at {report.announced}, and is now")
        return
    written = ", ".join(_count(number, kind) for kind, number in report.written.items() if number)
    verb = "would write" if report.dry_run else "published"
    terminal.lines([f"{verb} generation {report.generation} to {report.target}: {written} ({report.seconds:.1f} s)"])
    if report.announced:
        terminal.note(f"announced at {report.announced}: busy isolates show it within two seconds or so")
    elif not report.dry_run:
        terminal.note(shown_when(report.target))


_ONE = {"contents": "content", "indexes": "index", "histories": "history"}


def _count(number: int, kind: str) -> str:
    return "the map" if kind == "map" else f"{number:,} {_ONE.get(kind, kind) if number == 1 else kind}"


def shown_when(name: str) -> str:
    """When the edge shows what was just written to a KV of this name."""
    if name.startswith("Cloudflare"):
        return "busy isolates show it 5 s after KV does, which takes up to a minute; quiet ones a request or two later"
    return "a busy edge shows it within 5 s, a quiet one at its next request or the one after"


def outcome_as_json(outcome: ChangeOutcome, pushed: bool) -> dict[str, object]:
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
        "pushed": pushed,
        "dry_run": outcome.dry_run,
    }


def at_terminal() -> bool:
    """Whether somebody is there to be asked."""
    # A stream that is closed is None.
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def desk() -> RepositoryLock:
    """Where a moving command works."""
    return RepositoryLock(open_git())


class Group(click.Group):
    """A group of commands."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """In the order in which they were added, which is that of their use."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each does, whole: click would cut it at the line's end."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in self._known(ctx)])

    def _known(self, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
        for name in self.list_commands(ctx):
            if (found := self.get_command(ctx, name)) is not None:
                yield name, found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named; one that is misspelt is told with the nearest."""
        names = self.list_commands(ctx)
        if not ctx.resilient_parsing and args[0] not in names and not args[0].startswith("-"):
            ctx.fail(
                f"there is no command `{args[0]}`." + (nearest(args[0], names) or f" There are {', '.join(names)}.")
            )
        return super().resolve_command(ctx, args)


# Completion: what the shell is told. A repository that cannot be read completes to nothing.


def complete_component(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of components."""
    return _completed(incomplete, lambda world: sorted(world.names))


def complete_version(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Versions of the component named before, the highest first."""
    return _completed(incomplete, lambda world: world.versions(_named(ctx)))


def complete_pairs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """A component, or a version of the component just named."""
    words: tuple[str, ...] = ctx.params.get("pairs") or ()
    if len(words) % 2:
        return _completed(incomplete, lambda world: world.versions(words[-1]))
    return _completed(incomplete, lambda world: sorted(world.names - set(words)))


def complete_environment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Environments in use; behind `--from` those of the component named before."""
    name = _named(ctx) if "--from" in param.opts else ""

    def environments(world: Repository) -> list[str]:
        pointers = world.state.pointers
        chosen = [pointers[name]] if name in pointers else pointers.values()
        return sorted({environment for found in chosen for environment in found})

    return _completed(incomplete, environments)


def complete_kv(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The KVs that can be named."""
    return [target for target in ("local", "cloudflare") if target.startswith(incomplete)]


def _named(ctx: click.Context) -> str:
    """The component that the words so far name; behind an option they are not given out as parameters yet."""
    words = [ctx.params.get("component"), *(ctx.params.get("components") or ()), *ctx.args]
    return next((word for word in words if word), "")


def _completed(incomplete: str, words: Callable[[Repository], Iterable[str]]) -> list[str]:
    try:
        return [word for word in words(Repository(open_git())) if word.startswith(incomplete)]
    except (EdgitError, OSError):
        return []


argument_component = functools.partial(click.argument, shell_complete=complete_component)


def publish_world(
    world: Repository,
    kv: Kv,
    *,
    replace: bool = False,
    full: bool = False,
    dry_run: bool = False,
    show: bool = True,
    announce: str | None = None,
) -> PublishReport:
    """Publish the ledger, with a bar at a terminal, and announce it at the URL, which the setting edgit.announce names
    where it is not given."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    from edgit.kv.publish import publish  # noqa: PLC0415
    from edgit.kv.source import LedgerSource  # noqa: PLC0415

    url = announce or world.git.config("edgit.announce")
    if url:
        from edgit.kv.announce import announcer_for  # noqa: PLC0415
    announcer = announcer_for(url) if url else None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not (show and sys.stderr.isatty()),
    ) as bar:
        task = bar.add_task("publishing", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        return publish(
            LedgerSource(world),
            kv,
            progress=progress,
            dry_run=dry_run,
            replace=replace,
            full=full,
            announcer=announcer,
        )
