"""Groups of commands: in the order of their use, and with the nearest name for one that is misspelt."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import click

#: Where a context keeps the words of the command line.
WORDS = "edgit.words"


class Group(click.Group):
    """A group of commands."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """In the order in which they were added, which is that of their use."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each does, whole: click would cut it at the line's end."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in self._known(ctx)])

    def _known(self, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
        for name in self.list_commands(ctx):
            if (found := self.get_command(ctx, name)) is not None:
                yield name, found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named; one that is misspelt is told with the nearest."""
        from resolver.errors import nearest  # noqa: PLC0415

        names = self.list_commands(ctx)
        if not ctx.resilient_parsing and args[0] not in names and not args[0].startswith("-"):
            ctx.fail(
                f"there is no command `{args[0]}`." + (nearest(args[0], names) or f" There are {', '.join(names)}.")
            )
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group whose commands are imported one by one: `places` has the module and the name in it of each."""

    def __init__(self, *args: Any, places: Mapping[str, str], **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.places = places

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.places)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.places:
            return None
        module, _, name = self.places[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(f"edgit.commands.{module}"), name)
        return found
