"""`edgit`: the operator's command. Each command's help has examples; docs/operator.md has them in one place.

A command's module is imported when the command is used: a script that asks for one version must not wait for
Cloudflare's SDK.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from edgit import render
from edgit.commands.common import Group
from edgit.errors import EdgitError
from resolver.errors import ResolverError

#: Command → the module and the name in it, in the order of their use.
COMMANDS = {
    "init": "sharing:init",
    "tag": "moving:tag",
    "deploy": "moving:deploy",
    "rollback": "moving:rollback",
    "restore": "moving:restore",
    "promote": "moving:promote",
    "canary": "canary:canary",
    "components": "asking:components",
    "history": "asking:history",
    "diff": "asking:diff",
    "log": "asking:log",
    "check": "asking:check_command",
    "push": "sharing:push",
    "pull": "sharing:pull",
    "adopt": "moving:adopt",
    "publish": "sharing:publish",
    "status": "sharing:status",
    "snapshot": "sharing:snapshot",
    "guard": "watching:guard",
    "drill": "watching:drill",
}


#: Exit codes as shells have them: 128 and the number of SIGINT or SIGPIPE.
STOPPED, NOT_READ = 130, 141


class Commands(Group):
    """The commands, imported one by one. What goes wrong in one is told, not traced, and is its exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command that the arguments name, and exit."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                # A name that the terminal's encoding lacks must not end a command in the middle.
                stream.reconfigure(errors="backslashreplace")
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except EdgitError as error:
            render.fail(error.detail, error.hint)
            code = error.exit_code
        except ResolverError as error:
            render.fail(str(error), None)
            code = 1
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.UsageError as error:
            _tell_usage(error)
            code = error.exit_code
        except click.ClickException as error:
            render.fail(error.format_message(), None)
            code = error.exit_code
        except click.Abort:
            render.fail("stopped", None)
            code = STOPPED
        except OSError as error:
            render.fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), None)
            code = 1
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read this has seen enough. What is left in the buffers goes nowhere, quietly.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(nowhere, descriptor)
            return NOT_READ

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(f"edgit.commands.{module}"), name)
        return found


def _tell_usage(error: click.UsageError) -> None:
    if error.ctx is None:
        render.fail(error.format_message(), None)
        return
    usage = " ".join(error.ctx.command.collect_usage_pieces(error.ctx))
    path = error.ctx.command_path
    render.fail(error.format_message(), f"usage: {path} {usage}\nmore:  {path} --help")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 something was wrong, 2 the command was not understood, 3 refused so that nothing is "
    "lost, 4 a remote or KV did not answer, 130 stopped with Ctrl-C. `edgit guard` has its own. Completion for your "
    'shell: eval "$(_EDGIT_COMPLETE=bash_source edgit)"; zsh_source and fish_source likewise.',
)
@click.version_option(package_name="edge-resolver", prog_name="edgit")
def main() -> None:
    """Version every prompt, config, query and script by itself, as git tags; deploy, roll back, travel in time.

    \b
    edgit tag create my-prompt v1.1.0          make a version of a file
    edgit deploy set my-prompt v1.1.0 --to prod
    edgit rollback my-prompt --from prod       back to the last good version
    edgit history --date 2024-11-12T14:47:00Z  what ran at that moment
    """


if __name__ == "__main__":
    main()
