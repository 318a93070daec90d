"""Commands that move pointers or make versions: tag, deploy, rollback, restore, promote, adopt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from edgit import terminal
from edgit.commands.common import (
    Group,
    Instant,
    Version,
    argument_component,
    at_terminal,
    complete_component,
    complete_pairs,
    complete_version,
    desk,
    finish,
    live_in,
    open_world,
    option_dry_run,
    option_environment,
    option_format,
    option_publish,
    option_reason,
    store_for,
)
from edgit.errors import EdgitError, Refused
from edgit.git.process import Git
from edgit.ledger.history import last_good, moves_of
from edgit.repository.adoption import adopt as adopt_tags
from edgit.repository.changes import ChangeOutcome, DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move as move_pointers
from edgit.repository.reading import Repository
from edgit.repository.versions import create_version, restore_version
from resolver.errors import InvalidVersion, listed, nearest
from resolver.history import format_instant
from resolver.version import canonical


@click.group(cls=Group)
def tag() -> None:
    """Make and list versions."""


@tag.command("create")
@argument_component("component")
@click.argument("version", type=Version())
@click.argument("revision", required=False)
@click.option("--message", "-m", metavar="TEXT", help="What this version brings; the tag's message.")
@option_dry_run
@option_format("text", "json")
def tag_create(
    component: str, version: str, revision: str | None, message: str | None, dry_run: bool, format: str
) -> None:
    """Make VERSION of COMPONENT, from the file as it is, or as it was at REVISION.

    A file with changes that are not committed yet is committed first, by itself. A version never changes.

    \b
    edgit tag create my-prompt v1.1.0 -m "shorter answers"
    edgit tag create my-prompt v1.0.1 HEAD~3
    """
    at = desk()
    with at.locked() as world:
        world.known(component)
        git = at.git
        if revision is not None:
            commit = git.commit_of(revision)
            if commit is None:
                raise EdgitError(f"git knows no commit `{revision}`")
        else:
            if version not in world.versions(component):
                _commit_file(git, world, component, version, message, dry_run=dry_run)
            commit = git.commit_of("HEAD")
            if commit is None:
                raise EdgitError("there is no commit yet", hint="next: git add . && git commit")
        text = message or f"{component} {version}"
        outcome = create_version(at, world, component, version, commit, text, dry_run=dry_run)
    made = "would make" if dry_run else "made"
    if format == "text":
        done = (
            f"{component} {version} exists already, from the same file"
            if outcome.unchanged
            else f"{made} {component} {version}"
        )
        terminal.lines([f"{done} ({commit[:10]})"])
        outcome = ChangeOutcome(outcome.entries, (), outcome.notes, dry_run)
    finish(git, outcome, format)


def _commit_file(
    git: Git, world: Repository, component: str, version: str, message: str | None, *, dry_run: bool
) -> None:
    """Commit a component's file where it has changes, and nothing else with it."""
    file = world.components.get(component)
    if git.bare:
        return
    if file is None:
        raise EdgitError(
            f"`{component}` has no file here, and a version is made of the file as it is",
            hint=f"next: bring it back, or name a commit that has it: edgit tag create {component} {version} HEAD",
        )
    if file.others:
        raise Refused(
            f"`{component}` is the name of two files: {listed([file.path, *file.others])}",
            hint="name the one that is meant in .edgit/components.json",
        )
    pathspec = f":(top,literal){file.path}"
    if not git.run("status", "--porcelain", "--", pathspec):
        return
    if dry_run:
        terminal.note(f"would commit {file.path}, which has changes")
        return
    git.identity()
    # Git commits no file that it has never heard of. Of one that it knows, this leaves the index as it is.
    git.run("add", "--intent-to-add", "--", pathspec)
    done = git.attempt("commit", "--quiet", "--only", "-m", message or f"{component} {version}", "--", pathspec)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or "a hook refused it, and said nothing"
        raise EdgitError(
            f"{file.path} has changes, and git does not commit them: {said}\nno version was made",
            hint=f"next: mend that, or commit the file yourself, then: edgit tag create {component} {version}",
        )
    terminal.note(f"committed {file.path}, which had changes, as {git.text('rev-parse', '--short', 'HEAD')}")


@tag.command("list")
@argument_component("component", required=False)
@option_format("text", "json")
def tag_list(component: str | None, format: str) -> None:
    """List the versions of COMPONENT, or of all, the highest first.

    \b
    edgit tag list my-prompt
    edgit tag list --format json
    """
    world = open_world()
    names = [world.known(component)] if component else sorted(world.names)
    born = {
        (created.component, created.version): (at, actor)
        for entry in world.entries
        for created, at, actor in entry.creations
    }
    rows = []
    for name in names:
        live: dict[str, list[str]] = {}
        for environment, version in world.environments(name).items():
            live.setdefault(version, []).append(environment)
        for version in world.versions(name):
            at, actor = born.get((name, version), (None, None))
            rows.append((name, version, at, actor, live.get(version, [])))
    if format == "json":
        terminal.document(
            [
                {
                    "component": name,
                    "version": version,
                    "at": format_instant(at) if at else None,
                    "actor": actor,
                    "environments": environments,
                }
                for name, version, at, actor, environments in rows
            ]
        )
        return
    columns = ["component", "version", "made", "by", "live in"]
    shown = [
        [name, version, terminal.when(at), terminal.who(actor), ", ".join(environments)]
        for name, version, at, actor, environments in rows
    ]
    first = 1 if component else 0
    columns, shown = columns[first:], [row[first:] for row in shown]
    terminal.table(columns, shown, f"{component or 'nothing here'} has no version yet")


@tag.command("restore")
@argument_component("component")
@click.argument("version", type=Version(), shell_complete=complete_version)
@option_dry_run
@option_format("text", "json")
def tag_restore(component: str, version: str, dry_run: bool, format: str) -> None:
    """Bring back the tag of a version that was deleted or moved; the ledger still has its file.

    \b
    edgit tag restore my-prompt v1.0.0
    """
    at = desk()
    with at.locked() as world:
        outcome = restore_version(at, world, component, version, dry_run=dry_run)
    if format == "text" and outcome.unchanged:
        terminal.lines([f"{component} {version} is there"])
        return
    finish(at.git, outcome, format)


@click.group(cls=Group)
def deploy() -> None:
    """Set, get and unset what is live in an environment."""


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """`NAME VERSION NAME VERSION …`, or `NAME@VERSION …`."""
    pairs: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, at, version = word.partition("@")
        if not at:
            if not rest:
                raise click.UsageError(f"`{name}` has no version behind it: NAME VERSION, or NAME@VERSION")
            version = rest.pop(0)
        try:
            pairs.append((name, canonical(version)))
        except InvalidVersion as error:
            raise click.UsageError(f"{name}: {error.detail}") from None
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise click.UsageError(f"{listed(twice)} stands there twice")
    return pairs


@deploy.command("set")
@click.argument(
    "pairs", nargs=-1, required=True, metavar="NAME VERSION [NAME VERSION]...", shell_complete=complete_pairs
)
@option_environment("--to", required=True, help="Where.")
@option_reason
@option_publish
@option_dry_run
@option_format("text", "json")
def deploy_set(
    pairs: tuple[str, ...],
    environment: str,
    reason: str | None,
    publish: bool,
    kv: str | None,
    dry_run: bool,
    format: str,
) -> None:
    """Make VERSION of NAME live in an environment. Several are one move, all or nothing.

    \b
    edgit deploy set my-prompt v1.0.0 --to prod
    edgit deploy set my-prompt v1.0.0 my-config v2.1.0 --to prod --reason "incident 42"
    edgit deploy set my-prompt v1.1.0 --to prod-canary
    """
    wishes = [DesiredPointer(name, environment, version) for name, version in _pairs(pairs)]
    at = desk()
    store = store_for(at.git, publish, kv)
    with at.locked() as world:
        outcome = move_pointers(at, world, wishes, reason=reason, dry_run=dry_run)
        _tell_new(world, environment, outcome)
    finish(at.git, outcome, format, store=store)


def _tell_new(world: Repository, environment: str, outcome: ChangeOutcome) -> None:
    """The first move to an environment may be a slip of the keyboard."""
    known = {name for found in world.state.pointers.values() for name in found}
    if known and environment not in known and outcome.moved:
        terminal.note(f"`{environment}` is a new environment; there are {listed(known)}.{nearest(environment, known)}")


@deploy.command("get")
@argument_component("component")
@option_environment("--from", required=True, help="Where.")
def deploy_get(component: str, environment: str) -> None:
    """Print the version of COMPONENT that is live in an environment, and nothing else.

    \b
    edgit deploy get my-prompt --from prod
    """
    world = open_world()
    world.known(component)
    version = world.state.version(component, environment)
    if version is None:
        raise EdgitError(
            f"{component} has nothing live in {environment}; {live_in(world, component)}"
            + (f".{close}" if (close := nearest(environment, world.environments(component))) else ""),
            hint=None if close else f"next: edgit deploy set {component} VERSION --to {environment}",
        )
    click.echo(version)


@deploy.command("unset")
@argument_component("components", nargs=-1, required=True)
@option_environment("--from", required=True, help="Where.")
@option_reason
@option_publish
@option_dry_run
@option_format("text", "json")
def deploy_unset(
    components: tuple[str, ...],
    environment: str,
    reason: str | None,
    publish: bool,
    kv: str | None,
    dry_run: bool,
    format: str,
) -> None:
    """Take components out of an environment, all or nothing: a canary that failed, a drill that is over.

    \b
    edgit deploy unset my-prompt --from prod-canary
    """
    at = desk()
    store = store_for(at.git, publish, kv)
    with at.locked() as world:
        wishes = [DesiredPointer(world.known(name), environment, None) for name in dict.fromkeys(components)]
        outcome = move_pointers(at, world, wishes, verb="unset", reason=reason, dry_run=dry_run)
        for wish in outcome.unchanged:
            terminal.note(f"nothing of {wish.component} was live in {environment}; {live_in(world, wish.component)}")
    finish(at.git, outcome, format, store=store)


@click.command()
@argument_component("components", nargs=-1, required=True)
@option_environment("--from", required=True, help="Where.")
@click.option("--to", "version", type=Version(), shell_complete=complete_version, help="To this version.")
@option_reason
@option_publish
@option_dry_run
@option_format("text", "json")
def rollback(
    components: tuple[str, ...],
    environment: str,
    version: str | None,
    reason: str | None,
    publish: bool,
    kv: str | None,
    dry_run: bool,
    format: str,
) -> None:
    """Go back to the last good version: the last that was live there and was not itself rolled back from.

    \b
    edgit rollback my-prompt --from prod
    edgit rollback my-prompt --from prod --to v1.0.0 --reason "wrong answers"
    """
    names = list(dict.fromkeys(components))
    if version is not None and len(names) > 1:
        raise click.UsageError("--to names one version, and there are several components")
    at = desk()
    store = store_for(at.git, publish, kv)
    with at.locked() as world:
        wishes = [
            DesiredPointer(world.known(name), environment, version or good_version(world, name, environment))
            for name in names
        ]
        outcome = move_pointers(at, world, wishes, verb="rollback", reason=reason, dry_run=dry_run)
    finish(at.git, outcome, format, store=store)


def good_version(world: Repository, component: str, environment: str) -> str:
    """The version that a rollback goes to. Raises `EdgitError` where there is none."""
    past = moves_of(world.entries, component, environment)
    # What another tool moved counts as well, before it is on record.
    version = last_good(past)
    unrecorded = [f for f in world.differences[0] if (f.component, f.environment) == (component, environment)]
    if unrecorded and unrecorded[0].recorded:
        version = unrecorded[0].recorded
    if version is not None:
        return version
    live = world.state.version(component, environment)
    if live is None:
        raise EdgitError(f"{component} was never live in {environment}; {live_in(world, component)}")
    raise EdgitError(
        f"{component} has never had another good version in {environment} than {live}, which is live",
        hint=f"choose one of: edgit tag list {component}, then: "
        f"edgit rollback {component} --from {environment} --to VERSION",
    )


def _pointers(count: int) -> str:
    return "1 pointer" if count == 1 else f"{count} pointers"


@click.command()
@click.option("--date", "date", type=Instant(), required=True, help="The instant to go back to: 2024-11-12T14:47:00Z.")
@option_environment("--from", "source", default="prod", help="The environment that is looked at.")
@option_environment("--to", "target", required=True, help="The environment that is moved.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_component,
    help="Only this component; may be repeated.",
)
@click.option("--keep", is_flag=True, help="Leave what the environment has besides, instead of unsetting it.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask at a terminal.")
@option_reason
@option_publish
@option_dry_run
@option_format("text", "json")
def restore(
    date: datetime,
    source: str,
    target: str,
    only: tuple[str, ...],
    keep: bool,
    yes: bool,
    reason: str | None,
    publish: bool,
    kv: str | None,
    dry_run: bool,
    format: str,
) -> None:
    """Make an environment what another one was at an instant, in one move. The plan is shown first.

    \b
    edgit restore --date 2024-11-12T14:47:00Z --from prod --to debug
    edgit restore --date 2024-11-12T14:47:00Z --to prod --only my-prompt
    """
    chosen = {name for names in only for name in names.split(",") if name}
    at = desk()
    store = store_for(at.git, publish, kv)
    with at.locked() as world:
        for name in chosen:
            world.known(name)
        then = {name: found[source] for name, found in world.at(date).items() if source in found}
        if not then:
            raise EdgitError(
                f"nothing was live in {source} at {format_instant(date)}",
                hint="look where the history begins: edgit history",
            )
        missing = chosen - set(then)
        if missing:
            raise EdgitError(f"{listed(missing)} had nothing live in {source} at {format_instant(date)}")
        wishes = [
            DesiredPointer(name, target, version)
            for name, version in sorted(then.items())
            if not chosen or name in chosen
        ]
        if not chosen and not keep:
            extra = {name for name, found in world.state.pointers.items() if target in found} - set(then)
            wishes += [DesiredPointer(name, target, None) for name in sorted(extra)]
        plan = move_pointers(RepositoryLock(at.git), world, wishes, verb="restore", dry_run=True)
        why = f"{source} as of {format_instant(date)}" + (f"\n\n{reason}" if reason else "")
        if format == "text" and not dry_run and plan.moved:
            terminal.note(f"{target} becomes {source} as of {format_instant(date)}:")
            for move in plan.moved:
                click.echo(f"  {move.component}: {move.before or 'none'} -> {move.after or 'none'}", err=True)
            if at_terminal() and not yes and not click.confirm(f"Move {_pointers(len(plan.moved))}?", err=True):
                raise Refused("not confirmed; nothing was moved")
        outcome = move_pointers(at, world, wishes, verb="restore", reason=why, dry_run=dry_run)
    finish(at.git, outcome, format, store=store)


@click.command()
@argument_component("components", nargs=-1, required=True)
@option_environment("--from", "source", required=True, help="The environment that is followed.")
@option_environment("--to", "target", required=True, help="The environment that is moved.")
@option_reason
@option_publish
@option_dry_run
@option_format("text", "json")
def promote(
    components: tuple[str, ...],
    source: str,
    target: str,
    reason: str | None,
    publish: bool,
    kv: str | None,
    dry_run: bool,
    format: str,
) -> None:
    """Make live in one environment what is live in another; a canary that is promoted ends in the same move.

    \b
    edgit promote my-prompt --from staging --to prod
    edgit promote my-prompt --from prod-canary --to prod
    """
    at = desk()
    store = store_for(at.git, publish, kv)
    with at.locked() as world:
        wishes = []
        for name in dict.fromkeys(components):
            version = world.state.version(world.known(name), source)
            if version is None:
                raise EdgitError(f"{name} has nothing live in {source}; {live_in(world, name)}")
            wishes.append(DesiredPointer(name, target, version))
            if source == f"{target}-canary":
                wishes.append(DesiredPointer(name, source, None))
        outcome = move_pointers(at, world, wishes, verb="promote", reason=reason, dry_run=dry_run)
    finish(at.git, outcome, format, store=store)


@click.command()
@argument_component("components", nargs=-1)
@option_dry_run
@option_format("text", "json")
def adopt(components: tuple[str, ...], dry_run: bool, format: str) -> None:
    """Put on record what other tools have tagged: pointers that they moved, versions that they made.

    \b
    edgit adopt --dry-run
    edgit adopt my-prompt
    """
    at = desk()
    with at.locked() as world:
        for name in components:
            world.known(name)
        outcome = adopt_tags(at, world, components, dry_run=dry_run)
        for doubt in world.doubts:
            terminal.warn(doubt)
    if format == "text" and not outcome.entries:
        for text in outcome.notes:
            terminal.note(text)
        terminal.lines(["nothing to adopt: the ledger has every version and every move"])
        return
    if format == "text":
        count = sum(len(entry.changes) for entry in outcome.entries)
        terminal.lines([f"{'would put' if dry_run else 'put'} {count} {'tag' if count == 1 else 'tags'} on record"])
    finish(at.git, outcome, format)
