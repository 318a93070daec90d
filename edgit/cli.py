"""`edgit`: the operator's command. Each command's help has examples; docs/operator.md has them in one place.

A command's module is imported when the command is used: a script that asks for one version must not wait for
Cloudflare's SDK.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from edgit import VERSION, terminal
from edgit.commands.groups import WORDS, LazyGroup
from edgit.commands.options import option_offline
from edgit.entry import STOPPED, stop_at_once
from edgit.errors import EdgitError, NotUnderstood
from resolver.errors import ResolverError

#: Heading → command → the module and the name in it, and what it does in a few words; in the order of their use.
COMMANDS = {
    "Versions, and what is live": {
        "init": ("init:init", "prepare a repository"),
        "tag": ("bump:tag", "make, bump and list versions; bring a lost one back"),
        "deploy": ("live:deploy", "set, get, list and unset what is live in an environment"),
        "rollback": ("rollback:rollback", "go back to the last good version"),
        "restore": ("restore:restore", "make an environment what one was at an instant"),
        "promote": ("deploy:promote", "from staging, or a canary, to prod"),
        "withdraw": ("withdraw:withdraw", "let `latest`, `stable` and ranges pass a version over"),
        "reinstate": ("withdraw:reinstate", "take that back"),
        "canary": ("canary:canary", "how many requests a canary takes"),
        "freeze": ("freeze:freeze", "keep an environment as it is, until an instant"),
        "unfreeze": ("freeze:unfreeze", "end a freeze"),
    },
    "Questions": {
        "show": ("show:show", "one component or version: content, who, when, where it is live"),
        "components": ("components:components", "what there is, and what is live where"),
        "history": ("history:history", "every move, who made it and why; what was live at an instant"),
        "diff": ("diff:diff", "what changed between two versions, or two instants"),
        "check": ("check:check", "whether the ensembles' references lead to versions"),
        "status": ("status:status", "how git, the remote and KV stand to each other"),
    },
    "Sharing and publishing": {
        "push": ("share:push", "bring your moves to the remote"),
        "pull": ("share:pull", "bring the remote's moves here"),
        "adopt": ("adopt:adopt", "put on record what other tools have tagged"),
        "publish": ("publish:publish", "bring KV to what git says"),
        "snapshot": ("publish:snapshot", "a file of what is published, for a deployment to carry"),
    },
    "Watching": {
        "guard": ("guard:guard", "watch the error rate after a move, and roll back"),
        "drill": ("drill:drill", "practise a rollback, and time it"),
    },
}
#: Commands that went, and what has taken their place.
_FORMER = {"log": "edgit history --all"}
_PLACES = {name: place for commands in COMMANDS.values() for name, (place, _) in commands.items()}

#: The exit code that shells have for a command that SIGPIPE ended.
NOT_READ = 141


class Commands(LazyGroup):
    """The commands, imported one by one. What goes wrong in one is told, not traced, and is its exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command that the arguments name, and exit."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                # A name that the terminal's encoding lacks must not end a command in the middle.
                stream.reconfigure(errors="backslashreplace")
        extra["standalone_mode"] = False
        given = extra.get("args", args[0] if args else None)
        as_json = _wants_json(sys.argv[1:] if given is None else given)
        before = terminal.Printed.documents
        try:
            code = super().main(*args, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except (EdgitError, ResolverError, click.ClickException, click.Abort, OSError) as error:
            detail, hint, code = _explain(error)
            # What was set right before it went wrong.
            for said in getattr(error, "__notes__", ()):
                terminal.note(said)
            terminal.fail(detail, hint)
            # A program that has been answered already reads one document, and the exit code.
            if as_json and terminal.Printed.documents == before:
                terminal.document({"error": {"detail": detail, "hint": hint, "code": code}})
        sys.exit(code if isinstance(code, int) else 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = [*args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read this has seen enough. What is left in the buffers goes nowhere, quietly.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(nowhere, descriptor)
            return NOT_READ

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        # What is imported is imported: from here on a command may have something to say about what it has done.
        if signal.getsignal(signal.SIGINT) is stop_at_once:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _FORMER and not ctx.resilient_parsing:
            hint = " ".join([f"next: {_FORMER[args[0]]}", *args[1:]])
            raise NotUnderstood(f"there is no command `{args[0]}`; history has it", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, words) for name, (_, words) in commands.items()])


def _tell_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    click.echo(f"edgit, version {VERSION}")
    ctx.exit()


def _wants_json(given: Sequence[str]) -> bool:
    """Whether a program asks, also where the rest of the command is not understood."""
    return "--format=json" in given or ("--format", "json") in itertools.pairwise(given)


def _explain(error: BaseException) -> tuple[str, str | None, int]:
    """What was wrong, what to do about it, and the exit code."""
    if isinstance(error, EdgitError):
        return error.detail, error.hint, error.exit_code
    if isinstance(error, click.UsageError) and error.ctx is not None:
        usage = " ".join(error.ctx.command.collect_usage_pieces(error.ctx))
        path = error.ctx.command_path
        return error.format_message(), f"usage: {path} {usage}\nmore:  {path} --help", error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), None, error.exit_code
    if isinstance(error, click.Abort):
        return "stopped", None, STOPPED
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error), None, 1
    return str(error), None, 1


@click.group(
    cls=Commands,
    places=_PLACES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
    Each command has examples: edgit deploy set --help
    \b
    Exit codes: 0 done; 1 something was wrong; 2 the command was not understood;
    3 refused, so that nothing is lost; 4 a remote or KV did not answer;
    130 stopped with Ctrl-C. edgit guard has its own.
    \b
    Completion: eval "$(_EDGIT_COMPLETE=bash_source edgit)"; also zsh_source, fish_source
    """,
)
@option_offline
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_tell_version,
    help="Say which it is, and end.",
)
def main() -> None:
    """Version every prompt, config, query and script by itself, as git tags; deploy, roll back, travel in time.

    \b
    edgit tag create my-prompt v1.1.0          make a version of a file
    edgit deploy set my-prompt v1.1.0 --to prod
    edgit rollback my-prompt                   back to the last good version
    edgit history --date 2024-11-12T14:47:00Z  what ran at that moment
    """


if __name__ == "__main__":
    main()
