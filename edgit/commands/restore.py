"""`edgit restore`: make an environment what one was at an instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import click

from edgit import terminal
from edgit.commands.context import at_terminal, kv_to_publish, locked_up_to_date, open_git
from edgit.commands.options import ChangeOptions, Instant, complete, move_options, option_environment, option_set
from edgit.commands.results import finish
from edgit.errors import EdgitError, Refused
from edgit.repository.catalog import known
from edgit.repository.changes import ChangeOutcome, DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move
from edgit.repository.published import read_pointers_at
from edgit.repository.reading import Repository
from resolver.errors import listed
from resolver.instant import format_instant


@click.command()
@click.option("--date", "date", type=Instant(), required=True, help="The instant to go back to: 2024-11-12T14:47:00Z.")
@option_environment("--from", "source", default="prod", help="The environment that is looked at.")
@option_environment("--to", "target", default="prod", help="The environment that is moved.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    shell_complete=complete("component"),
    help="Only this component; may be repeated.",
)
@option_set
@click.option("--keep", is_flag=True, help="Leave what the environment has besides, instead of unsetting it.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask at a terminal.")
@move_options
def restore(
    date: datetime,
    source: str,
    target: str,
    only: tuple[str, ...],
    as_set: bool,
    keep: bool,
    yes: bool,
    options: ChangeOptions,
) -> None:
    """Make an environment what another one was at an instant, in one move. The plan is shown first.

    \b
    edgit restore --date 2024-11-12T14:47:00Z --from prod --to debug
    edgit restore --date 2024-11-12T14:47:00Z --only my-prompt
    """
    chosen = {name for names in only for name in names.split(",") if name}
    asked = f"{source} as of {format_instant(date)}"
    lock = RepositoryLock(open_git())
    store = kv_to_publish(lock.git, options.publish, options.kv)
    with locked_up_to_date(lock) as repository:
        past = read_pointers_at(repository, date, as_set=as_set, target=options.kv)
        then = {name: found[source] for name, found in past.pointers.items() if source in found}
        desired = _desired(repository, then, target, chosen, asked, keep=keep)
        if past.note:
            terminal.note(past.note)
        plan = move(RepositoryLock(lock.git), repository, desired, verb="restore", dry_run=True)
        if options.format == "text" and not options.dry_run and plan.moved:
            _confirm(plan, f"{target} becomes {asked}:", ask=not yes)
        reason = asked + (f"\n\n{options.reason}" if options.reason else "")
        outcome = move(
            lock,
            repository,
            desired,
            verb="restore",
            reason=reason,
            dry_run=options.dry_run,
            confirmed=options.confirm,
        )
    finish(lock.git, outcome, options.format, store=store)


def _desired(
    repository: Repository, then: Mapping[str, str], target: str, chosen: set[str], asked: str, *, keep: bool
) -> list[DesiredPointer]:
    """What the target must be. Raises `EdgitError` where there was nothing to go back to."""
    chosen = {known(repository, name) for name in chosen}
    if not then:
        raise EdgitError(
            f"nothing was live in {asked}",
            hint="look where the history begins: edgit history",
        )
    if missing := chosen - set(then):
        raise EdgitError(f"{listed(missing)} had nothing live in {asked}")
    wanted = {name: version for name, version in sorted(then.items()) if not chosen or name in chosen}
    desired = [DesiredPointer(name, target, version) for name, version in wanted.items()]
    if not chosen and not keep:
        extra = {name for name, found in repository.state.pointers.items() if target in found} - set(then)
        desired += [DesiredPointer(name, target, None) for name in sorted(extra)]
    return desired


def _confirm(plan: ChangeOutcome, heading: str, *, ask: bool) -> None:
    """Show the plan, and ask somebody at a terminal. Raises `Refused`."""
    terminal.note(heading)
    for each in plan.moved:
        click.echo(f"  {each.component}: {each.before or 'none'} -> {each.after or 'none'}", err=True)
    pointers = "1 pointer" if len(plan.moved) == 1 else f"{len(plan.moved)} pointers"
    if at_terminal() and ask and not click.confirm(f"Move {pointers}?", err=True):
        raise Refused("not confirmed; nothing was moved")
