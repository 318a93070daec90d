"""`edgit history`: every move, what was live at an instant, and the whole record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import open_repository
from edgit.commands.options import (
    Instant,
    argument_component,
    option_environment,
    option_format,
    option_offline,
    option_set,
)
from edgit.commands.record import tell_record
from edgit.ledger.history import LedgerMove, moves_of
from edgit.repository.catalog import known, read_types
from edgit.repository.published import read_pointers_at
from edgit.repository.reading import Repository, read_past
from resolver.instant import format_instant


@click.command()
@argument_component("component", required=False)
@click.option("--date", "date", type=Instant(), help="What was live at this instant: 2024-11-12T14:47:00Z.")
@option_environment("--from", help="Only this environment.")
@option_set
@click.option("--all", "whole", is_flag=True, help="New versions too, and the generation and the reason of each.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, the newest.")
@option_format("text", "json")
@option_offline
def history(
    component: str | None,
    date: datetime | None,
    environment: str | None,
    as_set: bool,
    whole: bool,
    limit: int | None,
    format: str,
) -> None:
    """Every move of COMPONENT, or of all, the newest first; with --date what requests ran at that instant.

    \b
    edgit history my-prompt
    edgit history --all --limit 20
    edgit history --date 2024-11-12T14:47:00Z
    edgit history my-prompt --date 2024-11-12T14:47:00Z --from staging
    """
    repository = open_repository()
    component = component and known(repository, component)
    if date is not None:
        _history_at(repository, component, date, environment, format, as_set=as_set)
        return
    if whole:
        tell_record(repository, component, environment, limit, format)
        return
    if whole:
        tell_record(repository, component, environment, limit, format)
        return
    moves = moves_of(read_past(repository), component, environment)[::-1]
    if format == "json":
        terminal.document(shapes.of_moves(moves[:limit]))
    elif moves:
        terminal.lines(_lines(moves, named=component is None)[:limit])
    else:
        terminal.note("nothing has been deployed" + (f" to {environment}" if environment else "") + " yet")


def _lines(moves: Sequence[LedgerMove], *, named: bool) -> list[str]:
    """A line for each move, the newest first; `named` where they are of several components."""
    seen: set[tuple[str, str]] = set()
    text = []
    for move in moves:
        pointer = (move.component, move.environment)
        current = "  current" if pointer not in seen and move.version else ""
        seen.add(pointer)
        name = f"{move.component} " if named else ""
        did = "deployed" if move.version else "removed"
        why = f"  {move.reason.splitlines()[0]}" if move.reason else ""
        version = move.version or f"none, was {move.before}"
        done = f"{did} {terminal.when(move.at)} by {terminal.who(move.actor)}"
        text.append(f"{name}{move.environment}: {version} ({done}){current}{why}")
    return text


def _history_at(
    repository: Repository,
    component: str | None,
    date: datetime,
    environment: str | None,
    format: str,
    *,
    as_set: bool,
) -> None:
    past = read_pointers_at(repository, date, as_set=as_set)
    then = past.pointers
    if past.note:
        terminal.note(past.note)
    if format == "json":
        versioned = {
            created.component for entry in read_past(repository) for created, at, _ in entry.creations if at <= date
        }
        existed = versioned | set(then)
        names = {component} & existed if component else existed
        terminal.rows(shapes.of_components(read_types(repository, names), names, then, environment))
        return
    where = environment or "prod"
    live = {name: found[where] for name, found in sorted(then.items()) if where in found}
    if component:
        terminal.lines([live[component]] if component in live else [])
        return
    terminal.lines(f"{name}: {version}" for name, version in live.items())
    if not live:
        first = next(iter(moves_of(read_past(repository), environment=where)), None)
        began = f"; the first move there was at {format_instant(first.at)}" if first else ""
        terminal.note(f"nothing was live in {where} at {format_instant(date)}{began}")
