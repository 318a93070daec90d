"""`edgit diff`: what changed between two versions, or between two instants."""

from __future__ import annotations

import difflib
from datetime import datetime

import click

from edgit import terminal
from edgit.commands.context import now, open_repository
from edgit.commands.options import (
    Instant,
    Version,
    argument_component,
    complete,
    option_environment,
    option_format,
    option_offline,
    option_set,
)
from edgit.components.files import locate
from edgit.errors import EdgitError
from edgit.git.tags import commits_of
from edgit.ledger.history import moves_of
from edgit.repository.catalog import known, live_in, needed_version_tag
from edgit.repository.published import read_pointers_at
from edgit.repository.reading import Repository, read_past
from resolver.instant import format_instant


@click.command()
@argument_component("component", required=False)
@click.argument("versions", nargs=-1, type=Version(), shell_complete=complete("version"), metavar="[VERSION [VERSION]]")
@click.option(
    "--date",
    "dates",
    type=Instant(),
    multiple=True,
    help="Given twice: from then to then; once: from then to now.",
)
@option_environment("--from", default="prod", help="The environment that is looked at.")
@option_set
@option_format("text", "json")
@option_offline
def diff(
    component: str | None,
    versions: tuple[str, ...],
    dates: tuple[datetime, ...],
    environment: str,
    as_set: bool,
    format: str,
) -> None:
    """What changed in the file of COMPONENT between two versions, or in an environment between two instants.

    With one VERSION: from that one to the one that is live.

    \b
    edgit diff my-prompt v1.0.0 v1.1.0
    edgit diff my-prompt v1.0.0 --from staging
    edgit diff --date 2024-11-01T09:05:00Z --date 2024-11-12T14:47:00Z
    """
    if bool(versions) == bool(dates) or len(versions) > 2 or len(dates) > 2 or (dates and component):
        raise click.UsageError(
            "it compares two versions of a component, or two dates: NAME VERSION VERSION, or --date --date"
        )
    repository = open_repository()
    if component:
        _diff_versions(repository, known(repository, component), versions, environment, format)
    else:
        _diff_dates(repository, dates, environment, format, as_set=as_set)


def _diff_versions(
    repository: Repository, component: str, versions: tuple[str, ...], environment: str, format: str
) -> None:
    live = repository.state.version(component, environment)
    if len(versions) == 1 and live is None:
        raise EdgitError(f"{component} has nothing live in {environment}; {live_in(repository, component)}")
    before, after = versions[0], versions[1] if len(versions) == 2 else str(live)
    old, new = (
        read_content(repository, component, version).decode(errors="replace").splitlines()
        for version in (before, after)
    )
    found = list(difflib.unified_diff(old, new, f"{component} {before}", f"{component} {after}", lineterm=""))
    if format == "json":
        terminal.document({"component": component, "before": before, "after": after, "diff": found})
        return
    terminal.diff(found)
    if not found:
        terminal.note(
            f"{component} {before} and {after} are the same text"
            if before != after
            else f"{component} {before} is compared with itself"
            + ("" if len(versions) == 2 else f": it is what is live in {environment}")
        )


def read_content(repository: Repository, component: str, version: str) -> bytes:
    """The file of a version: from the ledger, else from its tag's commit."""
    git = repository.git
    blob = repository.state.versions.get(component, {}).get(version)
    if blob is None:
        tag = needed_version_tag(repository, component, version)
        commit = commits_of(git, [tag.id]).get(tag.id)
        file = locate(git, [(component, commit)], repository.types).get((component, commit)) if commit else None
        blob = file.blob if file else None
    found = git.read([blob]).get(blob) if blob else None
    if found is None:
        raise EdgitError(f"{component} {version} has no file in git any more", hint="next: edgit check")
    return found.body


def _diff_dates(
    repository: Repository, dates: tuple[datetime, ...], environment: str, format: str, *, as_set: bool
) -> None:
    first, second = sorted(dates) if len(dates) == 2 else (dates[0], now())
    pasts = [read_pointers_at(repository, date, as_set=as_set) for date in (first, second)]
    for note in dict.fromkeys(past.note for past in pasts if past.note):
        terminal.note(note)
    before, after = (
        {name: found[environment] for name, found in past.pointers.items() if environment in found} for past in pasts
    )
    changed = {
        name: (before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    if format == "json":
        terminal.document([{"component": n, "before": b, "after": a} for n, (b, a) in changed.items()])
        return
    all_moves = moves_of(read_past(repository), environment=environment)
    moves = {move.component: move for move in all_moves if first < move.at <= second}
    rows = [
        (name, b or "none", a or "none", terminal.when(moves[name].at), terminal.who(moves[name].actor))
        if name in moves
        else (name, b or "none", a or "none", "", "")
        for name, (b, a) in changed.items()
    ]
    terminal.table(
        ("component", "before", "after", "last moved", "by"),
        rows,
        f"nothing changed in {environment} between {format_instant(first)} and {format_instant(second)}",
    )
