"""`edgit freeze` and `edgit unfreeze`: until when an environment is not moved, and why. Kept in `.edgit/config`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from edgit import terminal, webhooks
from edgit.commands.context import open_git
from edgit.commands.options import Environment, complete, option_format
from edgit.commands.relative import read_ahead
from edgit.errors import EdgitError
from edgit.git.process import SETTINGS, Git
from edgit.repository.protection import Freeze
from resolver.errors import InvalidInstant
from resolver.instant import format_instant, parse_instant


class Later(click.ParamType[datetime]):
    """An instant that has not come yet: `2030-12-27T08:00:00Z`, or from now, `3d`."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            ahead = read_ahead(str(value), datetime.now(UTC))
            found = ahead or parse_instant(str(value))
        except InvalidInstant as error:
            self.fail(error.detail, param, ctx)
        if ahead:
            terminal.note(format_instant(ahead))
        if found.timestamp() <= time.time():
            self.fail(f"`{value}` is past", param, ctx)
        return found


argument_environment = click.argument(
    "environment", type=Environment(), metavar="ENV", shell_complete=complete("environment")
)


@click.command()
@argument_environment
@click.option("--until", type=Later(), required=True, metavar="INSTANT", help="When it ends by itself.")
@click.option("--reason", "-m", required=True, metavar="TEXT", help="Why; everybody who is stopped reads it.")
@option_format("text", "json")
def freeze(environment: str, until: datetime, reason: str, format: str) -> None:
    """Keep an environment as it is: nothing moves it but a rollback, the guard, and the end of a canary.

    It counts here at once, and for others when they have the commit of .edgit/config.

    \b
    edgit freeze prod --until 3d --reason "the holidays"
    """
    git = _with_settings()
    name, address, _, _ = git.identity()
    frozen = Freeze(environment, until.astimezone(UTC), f"{name} <{address}>", reason)
    why = {"actor": frozen.by, "reason": reason}
    for setting, value in (
        ("frozenUntil", format_instant(frozen.until)),
        ("frozenBy", str(frozen.by)),
        ("frozenReason", reason),
    ):
        git.run("config", "--file", SETTINGS, f"environment.{environment}.{setting}", value)
    for warning in webhooks.tell(git, "freeze", {"environment": environment, "until": format_instant(until), **why}):
        terminal.warn(warning)
    _tell(str(frozen), f"Freeze {environment}", {"environment": environment, "until": format_instant(until)}, format)


@click.command()
@argument_environment
@option_format("text", "json")
def unfreeze(environment: str, format: str) -> None:
    """End a freeze.

    \b
    edgit unfreeze prod
    """
    git = _with_settings()
    found = [
        setting
        for setting in ("frozenUntil", "frozenBy", "frozenReason")
        if git.attempt("config", "--file", SETTINGS, "--unset", f"environment.{environment}.{setting}").returncode == 0
    ]
    said = f"{environment} is not frozen any more" if found else f"{environment} is not frozen"
    _tell(said, f"Unfreeze {environment}" if found else None, {"environment": environment, "until": None}, format)


def _with_settings() -> Git:
    git = open_git()
    if git.bare:
        raise EdgitError(f"{SETTINGS} is a file of a work tree, and this repository has none")
    (git.root / SETTINGS).parent.mkdir(exist_ok=True)
    return git


def _tell(said: str, commit: str | None, shape: dict[str, str | None], format: str) -> None:
    if format == "json":
        terminal.document(shape)
        return
    terminal.lines([said])
    if commit is not None:
        terminal.next_step(f"git add {SETTINGS} && git commit -m '{commit}' {SETTINGS} && git push")
