"""The options that commands share, declared once, and the types of their values."""

from __future__ import annotations

import functools
import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from edgit.commands.context import OFFLINE
from edgit.commands.groups import WORDS
from edgit.commands.relative import read_relative
from edgit.errors import NotConfirmed, Refused
from edgit.terminal import note
from resolver.errors import ResolverError
from resolver.instant import format_instant, parse_instant

F = TypeVar("F", bound=Callable[..., Any])

#: How far ahead of this machine's clock an instant may lie, in seconds, before it is taken for a slip.
_AHEAD = 60


_RELATIVE = ", or as 30m, `2h ago`, 3d, 14:47, `yesterday 14:47`"


#: What is an environment's name and nothing like a version's or a range's, and so needs no other look.
_ENVIRONMENT = re.compile(r"[a-uwyz][a-z0-9-]{0,40}")


class Instant(click.ParamType[datetime]):
    """An instant with its offset, such as 2024-11-12T14:47:00Z, or one that is told from now; not in the future."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            relative = read_relative(value, datetime.now(UTC))
            found = relative or parse_instant(value)
        except ResolverError as error:
            self.fail(error.detail + (_RELATIVE if "it is written" in error.detail else ""), param, ctx)
        if relative:
            note(format_instant(relative))
        if found.timestamp() > time.time() + _AHEAD:
            self.fail(f"`{value}` lies in the future", param, ctx)
        return found


class Version(click.ParamType[str]):
    """A version, with or without its `v`."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from resolver.version import canonical  # noqa: PLC0415

        try:
            return canonical(value)
        except ResolverError as error:
            self.fail(error.detail, param, ctx)


class Environment(click.ParamType[str]):
    """The name of an environment."""

    name = "environment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if _ENVIRONMENT.fullmatch(str(value)) and value not in ("latest", "stable"):
            return str(value)
        from resolver.reference import environment_fault  # noqa: PLC0415

        if fault := environment_fault(str(value)):
            self.fail(fault, param, ctx)
        return str(value)


def complete(name: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """A function of edgit.commands.completion, imported when the tab key is pressed."""

    def completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from edgit.commands import completion  # noqa: PLC0415

        found: list[str] = getattr(completion, f"complete_{name}")(ctx, param, incomplete)
        return found

    return completed


argument_component = functools.partial(click.argument, shell_complete=complete("component"))


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
    return click.option(
        flag, name, type=Environment(), required=required, shell_complete=complete("environment"), help=help, **defaults
    )


def option_kv(
    flag: str = "--kv",
    name: str = "kv",
    *,
    help: str = "local, local=PATH or cloudflare; the setting edgit.kv if it is not given.",
) -> Callable[[F], F]:
    """An option that names a KV."""
    return click.option(flag, name, metavar="TARGET", shell_complete=complete("kv"), help=help)


def option_former(flag: str) -> Callable[[F], F]:
    """An option that went, given to the command as `former`: it says what takes its place."""
    return click.option(flag, "former", hidden=True, help="Gone.")


#: Of the past it is asked what was published, unless this is given.
option_set = click.option("--set", "as_set", is_flag=True, help="What was set in git then, published or not.")


def _go_offline(context: click.Context, _parameter: click.Parameter, given: bool) -> None:
    if given:
        context.meta[OFFLINE] = True


#: Of `edgit` itself and of each command that looks at the remote first; `context.is_offline` asks for it.
option_offline = click.option(
    "--offline",
    is_flag=True,
    expose_value=False,
    callback=_go_offline,
    help="Do not look at the remote first; EDGIT_OFFLINE=1 does the same.",
)

option_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """What every command that changes something is told."""

    dry_run: bool
    format: str
    reason: str | None = None
    publish: bool | None = None
    kv: str | None = None
    confirm: tuple[str, ...] = ()


def change_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--dry-run` and `--format`, given to the command as `options`."""
    return _gathered(command, {"dry_run": option_dry_run, "format": option_format("text", "json")})


def move_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--reason`, `--publish`, `--kv`, `--confirm`, `--dry-run` and `--format`, given to the command as `options`."""
    declared = {
        "reason": click.option("--reason", "-m", metavar="TEXT", help="Why; kept in the ledger."),
        "publish": click.option(
            "--publish/--no-publish", default=None, help="Publish at once to the KV that the setting edgit.kv names."
        ),
        "kv": option_kv(help="Publish there: local, local=PATH or cloudflare, instead of edgit.kv."),
        "confirm": click.option(
            "--confirm",
            multiple=True,
            metavar="ENV",
            shell_complete=complete("environment"),
            help="Move this protected environment; .edgit/config says which ones are.",
        ),
        "dry_run": option_dry_run,
        "format": option_format("text", "json"),
    }
    return _gathered(command, declared)


def _gathered(
    command: Callable[..., Any], declared: Mapping[str, Callable[[Callable[..., Any]], Callable[..., Any]]]
) -> Callable[..., Any]:
    """The command with these options, by their names. It gets their values as one `ChangeOptions`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> Any:
        options = ChangeOptions(**{name: values.pop(name) for name in declared})
        try:
            return command(**values, options=options)
        except NotConfirmed as error:
            words = ["edgit", *click.get_current_context().meta[WORDS], *error.confirm]
            raise Refused(error.detail, hint=f"next: {shlex.join(words)}") from None

    found: Callable[..., Any] = option_offline(gathered)
    for option in reversed(list(declared.values())):
        found = option(found)
    return found
