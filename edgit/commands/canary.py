"""The canary's percentage in KV: set, get, clear. The edge reads it there; git has no part in it.

A percentage that is set for a component is for the canary version that there is. It ends with that: by `promote`,
`deploy unset`, or another canary version.
"""

from __future__ import annotations

import time
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
from edgit.errors import EdgitError, Refused
from edgit.git.process import Git
from edgit.kv import rollout
from edgit.kv.comparison import read_map
from edgit.kv.store import Kv, KvValue
from edgit.kv.targets import open_kv
from edgit.repository.catalog import read_catalog
from edgit.repository.protection import Protection, read_protection
from edgit.repository.reading import read_live, read_repository
from resolver.documents import VERSION_MAP
from resolver.errors import InvalidPercentage, InvalidReference, InvalidVersion, listed, nearest
from resolver.reference import parse_name
from resolver.rollout import NOBODY, Percentage, parse_entry, parse_percentage
from resolver.version import canonical

#: So many canaries that are not published yet are told.
_UNPUBLISHED_SHOWN = 5


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
    #: The version that the entry is for, where it is for one.
    entry_version: str | None

    @property
    def ended(self) -> bool:
        """Whether the entry is for another canary version."""
        return self.entry_version not in (None, self.version)


def _shapes(canaries: Iterable[Canary]) -> list[shapes.Shape]:
    return [
        {
            "component": each.component,
            "environment": each.environment,
            "stable": each.stable,
            "canary": each.version,
            "percentage": str(each.percentage),
            "entry": each.entry,
            "entry_version": each.entry_version,
        }
        for each in canaries
    ]


@click.group(cls=Group)
def canary() -> None:
    """How many requests the canary of an environment takes; held in KV, in force within seconds.

    The canary of prod is what is live in prod-canary. An entry is for all components (`*`), for one, or for one in one
    environment; the most specific one counts. That of a component is for one canary version, and ends with it: the next
    canary starts at 0 %.
    """


@canary.command("set")
@click.argument(
    "words", nargs=-1, required=True, metavar="[NAME[@ENV|@VERSION]] PERCENT", shell_complete=complete("component")
)
@option_kv()
@click.option("--replace", is_flag=True, help="Begin the table anew where it cannot be read.")
@change_options
def canary_set(words: tuple[str, ...], kv: str | None, replace: bool, options: ChangeOptions) -> None:
    """Give the canary PERCENT of the requests: of NAME, of NAME in ENV, or of all components.

    It is for the canary version that KV has, or git where KV has none, or VERSION; for any other it is 0. One for all
    components counts for every canary to come.

    \b
    edgit canary set my-prompt 10
    edgit canary set my-prompt@prod-eu 2.5 --kv cloudflare
    edgit canary set my-prompt@v1.2.0 10
    edgit canary set 50
    """
    if len(words) > 2:
        raise click.UsageError("it takes a name and a percentage, or a percentage alone")
    percentage = Percent().convert(words[-1], None, click.get_current_context())
    name, version = _name_and_version(words[0] if len(words) == 2 else "*")
    written = _entry(name)
    git, store = _where(kv)
    known = _types(git, store)
    entry = _by_key(written, known)
    _check_known(store, entry, known)
    percentage = _for_version(git, store, entry, percentage, version)
    _refuse_frozen(git, store, entry, percentage)
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
    _refuse_frozen(git, store, entry, None)
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
    for canary in found:
        if canary.ended:
            terminal.note(f"{canary.component} {canary.environment}: {_ended(canary)}")
    decides = {canary.entry for canary in found}
    for name, percentage in sorted(table.table.entries.items()):
        if environment is None and name not in decides and component in (None, name.partition("@")[0]):
            terminal.note(f"the entry `{name}`, {_shown(percentage)}, is in force for no canary")
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


def _name_and_version(word: str) -> tuple[str, str | None]:
    """`NAME` and the version behind its `@`, None where there is none there."""
    name, _, version = word.partition("@")
    try:
        found = canonical(version)
    except InvalidVersion:
        return word, None
    if name == "*":
        raise click.UsageError("a percentage for one version is that of one component: NAME@VERSION")
    return name, found


def _for_version(git: Git | None, store: Kv, entry: str, percentage: Percentage, version: str | None) -> Percentage:
    """The percentage for the canary version that is meant.

    It is KV's, since that is what requests face: git may be ahead of it, or behind. What is 0, or for all components,
    is for every version. Raises `Refused` where there is no canary, or several that differ.
    """
    component = entry.partition("@")[0]
    if version is not None:
        return percentage.of(version)
    if component == "*" or not percentage.threshold:
        return percentage
    here = rollout.canaries_of(entry, read_live(git).pointers) if git else {}
    there = rollout.canaries_of(entry, _pointers(store)) or here
    if not there:
        raise Refused(
            f"{entry} has no canary, and a percentage belongs to a canary version",
            hint=f"begin one first: edgit deploy set {component} VERSION --to {_canary_pointer(entry)}\n"
            f"or say for which version it is to count: edgit canary set {component}@VERSION {percentage}",
        )
    if len(set(there.values())) > 1:
        shown = ", ".join(f"{version} in {environment}{rollout.CANARY}" for environment, version in there.items())
        raise Refused(
            f"{component} has several canaries, and a percentage is for one version: {shown}",
            hint=f"set each by itself, such as: edgit canary set {component}@{next(iter(there))} {percentage}",
        )
    return percentage.of(next(iter(there.values())))


def _refuse_frozen(git: Git | None, store: Kv, entry: str, percentage: Percentage | None) -> None:
    """Raise `Refused` for a change that may bring more users to a canary of an environment that is frozen."""
    environment = entry.partition("@")[2]
    protection = read_protection(git) if git else Protection()
    frozen = [each for each in protection.in_force(time.time()) if environment in ("", each.environment)]
    if not frozen:
        return
    before = rollout.get_percentages(store).table.entries.get(entry, NOBODY)
    more = percentage is None or percentage.threshold > before.threshold
    if more or (percentage and percentage.threshold and percentage.version != before.version):
        raise Refused(
            f"{frozen[0]}; no percentage was changed",
            hint=f"to lower it is not stopped; to end the freeze: edgit unfreeze {frozen[0].environment}",
        )


def _canary_pointer(entry: str) -> str:
    return f"{entry.partition('@')[2] or 'prod'}{rollout.CANARY}"


def _shown(percentage: Percentage | None) -> str:
    if percentage is None:
        return "none"
    return f"{percentage} % for {percentage.version}" if percentage.version else f"{percentage} %"


def _ended(canary: Canary) -> str:
    return f"ended: the entry `{canary.entry}` is for {canary.entry_version}, the canary is {canary.version} now"


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
            environment = pointer.removesuffix(rollout.CANARY)
            if environment != pointer and environment:
                entry, percentage = table.in_force(component, environment, version)
                counts_for = table.table.entries[entry].version if entry else None
                yield Canary(component, environment, found.get(environment), version, percentage, entry, counts_for)


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
    before, after = _shown(change.before), _shown(change.after)
    would = "would set: " if change.dry_run else ""
    terminal.lines([f"{subject}: {after} already" if change.nothing else f"{would}{subject}: {before} -> {after}"])
    verb = "would take" if change.dry_run else "takes"
    terminal.lines(
        f"  {c.component} {c.environment}: the canary {c.version} {verb} {c.percentage} %, "
        f"{c.stable or 'nothing'} the rest"
        + ("" if c.entry == change.entry else f" (by the entry `{c.entry}`)" if c.entry else " (by no entry)")
        + (f" ({_ended(c)})" if c.ended else "")
        for c in concerned
    )
    if component == "*" and change.after is not None and change.after.threshold:
        terminal.warn(
            "this counts for every canary to come as well; edgit canary set NAME PERCENT ends with the canary"
        )
    for text in change.notes:
        terminal.note(text)
    if change.dry_run:
        return
    if not change.nothing:
        terminal.note(shown_when(store.name))
    waiting = _unpublished(git, store, change.entry)
    for pointer, version in waiting:
        starts = "" if change.after is None or change.after.version in (None, version) else " and starts at 0 %"
        terminal.note(f"git has {pointer} {version}, which is not published yet{starts}")
    if change.after is not None and change.after.threshold and not concerned:
        if waiting:
            terminal.next_step("edgit publish")
            return
        name = "NAME" if component == "*" else component
        terminal.next_step(f"edgit deploy set {name} VERSION --to {_canary_pointer(change.entry)}, then edgit publish")


def _unpublished(git: Git | None, store: Kv, entry: str) -> list[tuple[str, str]]:
    """The canaries that an entry is for in git and not in KV: the pointer as it is told, and the version."""
    if git is None:
        return []
    here, there = read_live(git).pointers, _pointers(store)
    component, _, environment = entry.partition("@")
    found = []
    for name in sorted(here) if component == "*" else [component]:
        asked = f"{name}@{environment}" if environment else name
        published = rollout.canaries_of(asked, there)
        found += [
            (f"{name} {pointer}{rollout.CANARY}", version)
            for pointer, version in rollout.canaries_of(asked, here).items()
            if published.get(pointer) != version
        ]
    return found[:_UNPUBLISHED_SHOWN]
