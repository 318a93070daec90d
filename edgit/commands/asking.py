"""Commands that only ask: components, history, diff, log, check."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgit import terminal
from edgit.commands.common import (
    Group,
    Instant,
    Version,
    argument_component,
    complete_version,
    live_in,
    now,
    open_world,
    option_environment,
    option_format,
)
from edgit.errors import EdgitError
from edgit.ledger.history import LedgerMove, moves_of
from edgit.repository.reading import Repository, published_pointers
from resolver.history import format_instant

if TYPE_CHECKING:
    from edgit.components.check import KnownComponents


@click.group(cls=Group)
def components() -> None:
    """What there is, and what is live."""


@components.command("list")
@option_format("tree", "table", "json", default="tree")
def components_list(format: str) -> None:
    """List every component with its versions and what is live where.

    The JSON has the shape of `edgit history --date … --format json`, so that `diff` of the two shows what changed.

    \b
    edgit components list
    edgit components list --format json
    """
    world = open_world()
    if format == "json":
        versioned = {name for name in world.names if world.versions(name)}
        terminal.document(_listed(world, versioned, world.state.pointers))
        return
    empty = "there are no components yet; one is a file such as components/prompts/my-prompt.md"
    if format == "tree":
        terminal.component_tree(
            ((name, world.type(name), world.versions(name), world.environments(name)) for name in sorted(world.names)),
            empty,
        )
        return
    rows = []
    for name in sorted(world.names):
        versions = world.versions(name)
        live = ", ".join(f"{environment} {version}" for environment, version in world.environments(name).items())
        rows.append((name, world.type(name) or "", versions[0] if versions else "none", str(len(versions)), live))
    terminal.table(("component", "type", "latest", "versions", "live"), rows, empty)


def _listed(
    world: Repository, names: Iterable[str], pointers: Mapping[str, Mapping[str, str]], environment: str | None = None
) -> list[dict[str, object]]:
    """The one JSON shape of components and what is live of them, sorted."""
    return [
        {
            "name": name,
            "type": world.type(name),
            "environments": {
                where: version
                for where, version in sorted(pointers.get(name, {}).items())
                if environment in (None, where)
            },
        }
        for name in sorted(names)
    ]


@click.command()
@argument_component("component", required=False)
@click.option("--date", "date", type=Instant(), help="What was live at this instant: 2024-11-12T14:47:00Z.")
@option_environment("--from", help="Only this environment.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many moves, the newest.")
@option_format("text", "json")
def history(
    component: str | None, date: datetime | None, environment: str | None, limit: int | None, format: str
) -> None:
    """Every move of COMPONENT, or of all, the newest first; with --date what was live at that instant.

    \b
    edgit history my-prompt
    edgit history --date 2024-11-12T14:47:00Z
    edgit history my-prompt --date 2024-11-12T14:47:00Z --from prod
    """
    world = open_world()
    if component:
        world.known(component)
    if date is not None:
        _history_at(world, component, date, environment, format)
        return
    moves = moves_of(world.entries, component, environment)[::-1]
    if format == "json":
        terminal.document(terminal.moves_as_json(moves[:limit]))
        return
    if not moves:
        terminal.note("nothing has been deployed" + (f" to {environment}" if environment else "") + " yet")
        return
    seen: set[tuple[str, str]] = set()
    text = []
    for move in moves:
        pointer = (move.component, move.environment)
        current = "  current" if pointer not in seen and move.version else ""
        seen.add(pointer)
        name = "" if component else f"{move.component} "
        did = "deployed" if move.version else "removed"
        why = f"  {move.reason.splitlines()[0]}" if move.reason else ""
        version = move.version or f"none, was {move.before}"
        done = f"{did} {terminal.when(move.at)} by {terminal.who(move.actor)}"
        text.append(f"{name}{move.environment}: {version} ({done}){current}{why}")
    terminal.lines(text[:limit])


def _history_at(world: Repository, component: str | None, date: datetime, environment: str | None, format: str) -> None:
    then = world.at(date)
    if format == "json":
        existed = _versioned_at(world, date) | set(then)
        names = {component} & existed if component else existed
        terminal.document(_listed(world, names, then, environment))
        return
    where = environment or "prod"
    live = {name: found[where] for name, found in sorted(then.items()) if where in found}
    if component:
        terminal.lines([live[component]] if component in live else [])
        return
    terminal.lines(f"{name}: {version}" for name, version in live.items())
    if not live:
        first = next(iter(moves_of(world.entries, environment=where)), None)
        began = f"; the first move there was at {format_instant(first.at)}" if first else ""
        terminal.note(f"nothing was live in {where} at {format_instant(date)}{began}")


def _versioned_at(world: Repository, date: datetime) -> set[str]:
    """The components that had a version at an instant."""
    return {created.component for entry in world.entries for created, at, _ in entry.creations if at <= date}


@click.command()
@argument_component("component", required=False)
@click.argument("versions", nargs=-1, type=Version(), shell_complete=complete_version, metavar="[VERSION [VERSION]]")
@click.option(
    "--date",
    "dates",
    type=Instant(),
    multiple=True,
    help="Given twice: from then to then; once: from then to now.",
)
@option_environment("--from", default="prod", help="The environment that is looked at.")
@option_format("text", "json")
def diff(
    component: str | None,
    versions: tuple[str, ...],
    dates: tuple[datetime, ...],
    environment: str,
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
    world = open_world()
    if component:
        _diff_versions(world, world.known(component), versions, environment, format)
    else:
        _diff_dates(world, dates, environment, format)


def _diff_versions(world: Repository, component: str, versions: tuple[str, ...], environment: str, format: str) -> None:
    live = world.state.version(component, environment)
    if len(versions) == 1 and live is None:
        raise EdgitError(f"{component} has nothing live in {environment}; {live_in(world, component)}")
    before, after = versions[0], versions[1] if len(versions) == 2 else str(live)
    old, new = (_file(world, component, version).splitlines() for version in (before, after))
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


def _file(world: Repository, component: str, version: str) -> str:
    """The file of a version, as text: from the ledger, else from its tag's commit."""
    blob = world.state.versions.get(component, {}).get(version)
    if blob is None:
        tag = world.version_tag(component, version)
        commit = world.commits_of([tag.id]).get(tag.id)
        file = world.file_at(component, commit) if commit else None
        blob = file.blob if file else None
    found = world.git.read([blob]).get(blob) if blob else None
    if found is None:
        raise EdgitError(f"{component} {version} has no file in git any more", hint="next: edgit check")
    return found.body.decode(errors="replace")


def _diff_dates(world: Repository, dates: tuple[datetime, ...], environment: str, format: str) -> None:
    first, second = sorted(dates) if len(dates) == 2 else (dates[0], now())
    before, after = (
        {name: found[environment] for name, found in world.at(date).items() if environment in found}
        for date in (first, second)
    )
    changed = {
        name: (before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    if format == "json":
        terminal.document([{"component": n, "before": b, "after": a} for n, (b, a) in changed.items()])
        return
    moves = {
        move.component: move for move in moves_of(world.entries, environment=environment) if first < move.at <= second
    }
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


@click.command()
@argument_component("component", required=False)
@option_environment("--from", help="Only this environment.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, the newest.")
@option_format("text", "json")
def log(component: str | None, environment: str | None, limit: int | None, format: str) -> None:
    """The audit trail: who moved what, when and why, the newest first.

    \b
    edgit log --limit 20
    edgit log my-prompt --from prod
    """
    world = open_world()
    if component:
        world.known(component)
    moves = moves_of(world.entries, component, environment)[::-1][:limit]
    if format == "json":
        terminal.document(terminal.moves_as_json(moves))
        return
    rows = [
        (
            str(move.generation),
            terminal.when(move.at),
            terminal.who(move.actor),
            f"{move.component} {move.environment}: {move.before or 'none'} -> {move.version or 'none'}",
            _why(move),
        )
        for move in moves
    ]
    terminal.table(("gen", "when", "who", "what", "why"), rows, "nothing has been moved yet")


def _why(move: LedgerMove) -> str:
    verb = move.summary.partition(":")[0]
    reason = (move.reason or "").splitlines()
    told = "" if verb in ("deploy", "unset") or " " in verb else f"{verb}: " if reason else verb
    return told + (reason[0] if reason else "")


@click.command("check")
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FILE]...")
@option_environment("--from", default="prod", help="The environment of references that name none.")
@option_format("text", "json")
def check_command(files: tuple[Path, ...], environment: str, format: str) -> None:
    """Hold every reference of every ensemble against what git has: dangling, out of range, unreachable.

    Without FILE: all of ensembles/ and components/ensembles/. Slips are told with what was probably meant, and names
    that nothing in an ensemble has. Exits 1 where something was found but such names.

    \b
    edgit check
    edgit check ensembles/one.yaml --from staging
    """
    from edgit.components.check import APART, WARNING, check  # noqa: PLC0415

    world = open_world()
    root = world.git.root
    chosen = [found for path in files for found in (sorted(_yaml(path)) if path.is_dir() else [path])] or [
        found for folder in ("ensembles", "components/ensembles") for found in sorted(_yaml(root / folder))
    ]
    if not chosen:
        raise EdgitError("there are no ensembles here", hint="name them: edgit check FILE…")
    texts = [(_relative(path, root), path.read_text("utf-8", errors="replace")) for path in chosen]
    findings, count = check(texts, _known(world), environment)
    if format == "json":
        terminal.document(
            [
                {
                    "file": found.file,
                    "line": found.line,
                    "column": found.column,
                    "kind": found.kind,
                    "reference": found.reference,
                    "detail": found.detail,
                }
                for found in findings
            ]
        )
    else:
        terminal.lines(map(str, findings))
        kinds = [found.kind for found in findings]
        bad = sum(kind not in APART for kind in kinds)
        said = (
            f": {bad} of them {'leads' if bad == 1 else 'lead'} nowhere" if bad else ": all of them lead to a version"
        )
        terminal.note(f"{_many(count, 'reference')} in {_many(len(texts), 'ensemble')}{said if count else ''}")
        if unread := kinds.count("invalid"):
            terminal.note(f"{_many(unread, 'ensemble')} could not be read")
        if slips := kinds.count("slip"):
            terminal.note(f"{_many(slips, 'slip')}: what is written is nearly something else")
    if any(found.kind != WARNING for found in findings):
        raise click.exceptions.Exit(1)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _yaml(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file()]


def _relative(path: Path, root: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(root.resolve())) if resolved.is_relative_to(root.resolve()) else str(path)


def _known(world: Repository) -> KnownComponents:
    from edgit.components.check import KnownComponents  # noqa: PLC0415
    from resolver.snapshot import Snapshot  # noqa: PLC0415

    versions = {name: tuple(world.versions(name)) for name in world.names}
    state = world.state
    commits = world.commits_of(tag.id for tags in world.tags.versions.values() for tag in tags.values())

    def reachable(component: str, version: str) -> bool:
        if version in state.versions.get(component, {}):
            return True
        tag = world.tags.versions.get(component, {}).get(version)
        commit = commits.get(tag.id) if tag else None
        return commit is not None and world.file_at(component, commit) is not None

    pointers = published_pointers(state)
    snapshot = Snapshot(pointers=pointers, indexes=versions)
    return KnownComponents(snapshot, versions, {name: world.type(name) for name in world.names}, reachable)
