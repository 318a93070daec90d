"""Commands that move pointers: `edgit deploy set` and `unset`, and `promote`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from edgit import terminal
from edgit.commands.options import (
    ChangeOptions,
    argument_component,
    complete,
    move_options,
    option_environment,
)
from edgit.commands.results import AfterMove, move_pointers
from edgit.errors import EdgitError
from edgit.repository.catalog import known, live_in
from edgit.repository.changes import ChangeOutcome, DesiredPointer
from edgit.repository.reading import Repository
from resolver.errors import InvalidVersion, listed, nearest
from resolver.version import canonical


@click.command("set")
@click.argument(
    "pairs", nargs=-1, required=True, metavar="NAME VERSION [NAME VERSION]...", shell_complete=complete("pairs")
)
@option_environment("--to", default="prod", help="Where.")
@move_options
def deploy_set(pairs: tuple[str, ...], environment: str, options: ChangeOptions) -> None:
    """Make VERSION of NAME live in an environment. Several are one move, all or nothing.

    \b
    edgit deploy set my-prompt v1.0.0 --to prod
    edgit deploy set my-prompt v1.0.0 my-config v2.1.0 --to prod --reason "incident 42"
    edgit deploy set my-prompt v1.1.0 --to prod-canary
    """
    named = _pairs(pairs)

    def desire(repository: Repository) -> list[DesiredPointer]:
        desired = [DesiredPointer(known(repository, name), environment, version) for name, version in named]
        return each_once(desired)

    move_pointers(options, "deploy", desire, lambda *found: _tell_new(environment, *found))


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """`NAME VERSION NAME VERSION …`, or `NAME@VERSION …`."""
    pairs: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if "@" not in word:
            if not rest:
                raise click.UsageError(f"`{word}` has no version behind it: NAME VERSION, or NAME@VERSION")
            word = f"{word}@{rest.pop(0)}"
        name, version = named_version(word)
        pairs.append((name, str(version)))
    return pairs


def named_version(word: str) -> tuple[str, str | None]:
    """`NAME` or `NAME@VERSION`."""
    name, at, version = word.partition("@")
    try:
        return name, canonical(version) if at else None
    except InvalidVersion as error:
        raise click.UsageError(f"{name}: {error.detail}") from None


def each_once(desired: list[DesiredPointer]) -> list[DesiredPointer]:
    pointers = [each.pointer for each in desired]
    twice = {pointer[0] for pointer in pointers if pointers.count(pointer) > 1}
    if twice:
        raise click.UsageError(f"{listed(twice)} stands there twice")
    return desired


def _tell_new(environment: str, repository: Repository, outcome: ChangeOutcome) -> None:
    """The first move to an environment may be a slip of the keyboard."""
    there = {name for found in repository.state.pointers.values() for name in found}
    if there and environment not in there and outcome.moved:
        terminal.note(f"`{environment}` is a new environment; there are {listed(there)}.{nearest(environment, there)}")


@click.command("unset")
@argument_component("components", nargs=-1, required=True)
@option_environment("--from", default="prod", help="Where.")
@move_options
def deploy_unset(components: tuple[str, ...], environment: str, options: ChangeOptions) -> None:
    """Take components out of an environment, all or nothing: a canary that failed, a drill that is over.

    \b
    edgit deploy unset my-prompt --from prod-canary
    """

    def desire(repository: Repository) -> list[DesiredPointer]:
        return [DesiredPointer(name, environment, None) for name in _keys(repository, components)]

    def tell(repository: Repository, outcome: ChangeOutcome) -> None:
        for each in outcome.unchanged:
            there = live_in(repository, each.component)
            terminal.note(f"nothing of {each.component} was live in {environment}; {there}")

    move_pointers(options, "unset", desire, tell)


def _keys(repository: Repository, names: Sequence[str]) -> dict[str, None]:
    """The components that are named, each once."""
    return dict.fromkeys(known(repository, name) for name in names)


@click.command()
@argument_component("components", nargs=-1, required=True)
@option_environment("--from", "source", required=True, help="The environment that is followed.")
@option_environment("--to", "target", default="prod", help="The environment that is moved.")
@move_options
def promote(components: tuple[str, ...], source: str, target: str, options: ChangeOptions) -> None:
    """Make live in one environment what is live in another; a canary that is promoted ends in the same move.

    \b
    edgit promote my-prompt --from prod-canary
    edgit promote my-prompt --from staging --to prod-eu
    """

    def desire(repository: Repository) -> list[DesiredPointer]:
        desired = []
        for name in _keys(repository, components):
            version = repository.state.version(name, source)
            if version is None:
                raise EdgitError(f"{name} has nothing live in {source}; {live_in(repository, name)}")
            desired.append(DesiredPointer(name, target, version))
            if source == f"{target}-canary":
                desired.append(DesiredPointer(name, source, None))
        return desired

    def after(outcome: ChangeOutcome) -> AfterMove:
        return AfterMove(left={m.component: m.before for m in outcome.moved if m.environment == target and m.before})

    move_pointers(options, "promote", desire, after=after)
