"""The canary's percentage in KV: set, get, clear. The edge reads it there; git has no part in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import needed_kv, open_git
from edgit.commands.groups import Group
from edgit.commands.options import (
    ChangeOptions,
    argument_component,
    change_options,
    complete,
    option_environment,
    option_format,
    option_kv,
)
from edgit.commands.results import shown_when
from edgit.components.keys import find_key
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.kv import rollout
from edgit.kv.comparison import read_map
from edgit.kv.store import Kv, KvValue
from edgit.kv.targets import open_kv
from edgit.repository.catalog import read_catalog
from edgit.repository.reading import read_live, read_repository
from resolver.documents import VERSION_MAP
from resolver.errors import InvalidPercentage, InvalidReference, listed, nearest
from resolver.reference import parse_name
from resolver.rollout import Percentage, parse_entry, parse_percentage

_SUFFIX = "-canary"


class Percent(click.ParamType[Percentage]):
    """A percentage: 10, 12.5, 10%."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Percentage:
        try:
            return parse_percentage(str(value))
        except InvalidPercentage as error:
            self.fail(error.detail, param, ctx)


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary pointer in KV's version map, what it is a canary of, and the percentage that is in force for it."""

    component: str
    environment: str
    stable: str | None
    version: str
    percentage: Percentage
    entry: str | None


def _shapes(canaries: Iterable[Canary]) -> list[shapes.Shape]:
    return [
        {
            "component": each.component,
            "environment": each.environment,
            "stable": each.stable,
            "canary": each.version,
            "percentage": str(each.percentage),
            "entry": each.entry,
        }
        for each in canaries
    ]


@click.group(cls=Group)
def canary() -> None:
    """How many requests the canary of an environment takes; held in KV, in force within seconds.

    The canary of prod is what is live in prod-canary. An entry is for all components (`*`), for one, or for one in one
    environment; the most specific one counts.
    """


@canary.command("set")
@click.argument("words", nargs=-1, required=True, metavar="[NAME[@ENV]] PERCENT", shell_complete=complete("component"))
@option_kv()
@click.option("--replace", is_flag=True, help="Begin the table anew where it cannot be read.")
@change_options
def canary_set(words: tuple[str, ...], kv: str | None, replace: bool, options: ChangeOptions) -> None:
    """Give the canary PERCENT of the requests: of NAME, of NAME in ENV, or of all components.

    \b
    edgit canary set my-prompt 10
    edgit canary set my-prompt@prod-eu 2.5 --kv cloudflare
    edgit canary set 50
    """
    if len(words) > 2:
        raise click.UsageError("it takes a name and a percentage, or a percentage alone")
    percentage = Percent().convert(words[-1], None, click.get_current_context())
    written = _entry(words[0] if len(words) == 2 else None)
    git, store = _where(kv)
    known = _types(git, store)
    entry = _by_key(written, known)
    _check_known(store, entry, known)
    change = rollout.set_percentage(store, entry, percentage, _actor(git), replace=replace, dry_run=options.dry_run)
    _tell(git, store, change, options.format)


@canary.command("clear")
@click.argument("name", required=False, metavar="[NAME[@ENV]]", shell_complete=complete("component"))
@option_kv()
@change_options
def canary_clear(name: str | None, kv: str | None, options: ChangeOptions) -> None:
    """Take an entry away, so that a less specific one counts, or none. Without NAME that for all components.

    To end a canary at once: edgit canary set NAME 0, or edgit deploy unset NAME --from prod-canary.

    \b
    edgit canary clear my-prompt
    """
    written = _entry(name)
    git, store = _where(kv)
    entry = _by_key(written, _types(git, store))
    change = rollout.set_percentage(store, entry, None, _actor(git), dry_run=options.dry_run)
    _tell(git, store, change, options.format)


@canary.command("get")
@argument_component("component", required=False)
@option_environment("--from", help="Only this environment.")
@option_kv()
@option_format("text", "json")
def canary_get(component: str | None, environment: str | None, kv: str | None, format: str) -> None:
    """Show which percentage is in force for every canary, and by which entry of the table.

    \b
    edgit canary get
    edgit canary get my-prompt --from prod
    """
    _, store = _where(kv)
    table = rollout.get_percentages(store)
    pointers = _pointers(store)
    if component and component not in pointers:
        raise EdgitError(
            f"{store.name} has no component `{component}`."
            + (nearest(component, pointers) or f" It has {listed(pointers)}."),
            hint="what git has and KV has not: edgit status",
        )
    found = [
        canary
        for canary in _canaries(table, pointers)
        if component in (None, canary.component) and environment in (None, canary.environment)
    ]
    if format == "json":
        terminal.document({"target": store.name, **shapes.of_percentages(table), "canaries": _shapes(found)})
        return
    where = " ".join(filter(None, (component and f"of {component}", environment and f"in {environment}")))
    terminal.table(
        ("component", "environment", "stable", "canary", "percent", "by entry"),
        (
            (c.component, c.environment, c.stable or "none", c.version, f"{c.percentage} %", c.entry or "none")
            for c in found
        ),
        f"{store.name} has no canary {where}".rstrip()
        + "; one begins with: edgit deploy set NAME VERSION --to prod-canary",
    )
    in_force = {canary.entry for canary in found}
    for name, percentage in sorted(table.table.entries.items()):
        if environment is None and name not in in_force and component in (None, name.partition("@")[0]):
            terminal.note(f"the entry `{name}`, {percentage} %, is in force for no canary")
    for problem in table.problems:
        terminal.warn(f"an entry that cannot be read, and is 0 for an edge that starts now: {problem}")


def _where(kv: str | None) -> tuple[Git | None, Kv]:
    """The repository, if there is one, and the KV. Without a repository the KV must be named."""
    try:
        git = open_git()
    except EdgitError:
        if kv is None:
            raise
        return None, open_kv(kv)
    return git, open_kv(needed_kv(git, kv))


def _actor(git: Git | None) -> str:
    if git is None:
        raise EdgitError(
            "this folder is in no git repository, and git says who changes a percentage",
            hint="next: cd to the repository of the components",
        )
    name, address, _, _ = git.identity()
    return f"{name} <{address}>"


def _entry(name: str | None) -> str:
    """The entry of the table that `NAME`, `NAME@ENV`, `*` or nothing means."""
    try:
        return parse_entry(name or "*")
    except InvalidReference as error:
        raise click.UsageError(f"`{name}`: {error.detail}") from None


def _types(git: Git | None, store: Kv) -> dict[str, str | None]:
    """The components that KV and git have, with their types as far as these are known."""
    held = read_map(store.get_many([VERSION_MAP])[VERSION_MAP])
    found: dict[str, str | None] = {name: held.types.get(name) for name in held.pointers} if held else {}
    return {**found, **(read_catalog(read_repository(git)).types if git else {})}


def _by_key(entry: str, known: Mapping[str, str | None]) -> str:
    """The entry by the component's key, which has a type only where two types share a name."""
    name, at, environment = entry.partition("@")
    asked = None if name == "*" else parse_name(name)
    key = find_key(asked.name, asked.type, known, known) if asked else None
    return f"{key}{at}{environment}" if key else entry


def _check_known(store: Kv, entry: str, known: Collection[str]) -> None:
    """Raise `EdgitError` for a component that neither git nor KV has: a canary is not stopped by a slip of the pen."""
    name = entry.partition("@")[0]
    if name != "*" and known and name not in known:
        raise EdgitError(
            f"neither git nor {store.name} has a component `{name}`."
            + (nearest(name, known) or f" There are {listed(sorted(known))}."),
            hint="no percentage was changed; which are in force: edgit canary get",
        )


def _pointers(kv: Kv) -> Mapping[str, Mapping[str, str]]:
    held = read_map(kv.get_many([VERSION_MAP])[VERSION_MAP])
    return held.pointers if held else {}


def _canaries(table: rollout.PercentageTable, pointers: Mapping[str, Mapping[str, str]]) -> Iterator[Canary]:
    """Every canary pointer, with the percentage that decides for it."""
    for component, found in sorted(pointers.items()):
        for pointer, version in sorted(found.items()):
            environment = pointer.removesuffix(_SUFFIX)
            if environment != pointer and environment:
                entry, percentage = table.in_force(component, environment)
                yield Canary(component, environment, found.get(environment), version, percentage, entry)


def _tell(git: Git | None, store: Kv, change: rollout.PercentageChange, format: str) -> None:
    """What was changed, which canaries take how much now, and what comes next."""
    table = rollout.read_percentages(KvValue(change.text))
    component, _, environment = change.entry.partition("@")
    concerned = [
        canary
        for canary in _canaries(table, _pointers(store))
        if component in ("*", canary.component) and environment in ("", canary.environment)
    ]
    if format == "json":
        terminal.document({**shapes.of_percentage_change(change), "canaries": _shapes(concerned)})
        return
    subject = "all components" if component == "*" else change.entry
    before, after = (f"{value} %" if value is not None else "none" for value in (change.before, change.after))
    would = "would set: " if change.dry_run else ""
    terminal.lines([f"{subject}: {after} already" if change.nothing else f"{would}{subject}: {before} -> {after}"])
    verb = "would take" if change.dry_run else "takes"
    terminal.lines(
        f"  {c.component} {c.environment}: the canary {c.version} {verb} {c.percentage} %, "
        f"{c.stable or 'nothing'} the rest"
        + ("" if c.entry == change.entry else f" (by the entry `{c.entry}`)" if c.entry else " (by no entry)")
        for c in concerned
    )
    for text in change.notes:
        terminal.note(text)
    if change.dry_run:
        return
    if not change.nothing:
        terminal.note(shown_when(store.name))
    if change.after is not None and change.after.threshold and not concerned:
        if waiting := _unpublished(git, component, environment):
            terminal.note(f"git has {waiting}, which is not published yet")
            terminal.next_step("edgit publish")
            return
        name = "NAME" if component == "*" else component
        terminal.next_step(f"edgit deploy set {name} VERSION --to {environment or 'prod'}{_SUFFIX}, then edgit publish")


def _unpublished(git: Git | None, component: str, environment: str) -> str | None:
    """A canary that git has for an entry that concerns none in KV, as it is told; None where it has none either."""
    if git is None:
        return None
    for name, found in sorted(read_live(git).pointers.items()):
        for pointer, version in sorted(found.items()):
            here = pointer.endswith(_SUFFIX) and environment in ("", pointer.removesuffix(_SUFFIX))
            if here and component in ("*", name):
                return f"{name} {pointer} {version}"
    return None
