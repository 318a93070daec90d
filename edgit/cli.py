"""`edgit`: the operator's command. Each command's help has examples; docs/operator.md has them in one place."""

from __future__ import annotations

import click

from edgit.commands import asking, moving, sharing, watching
from edgit.commands.common import Group


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 something was wrong, 2 the command was not understood, 3 refused so that nothing is "
    "lost, 4 a remote or KV did not answer. `edgit guard` has its own. Completion for your shell: "
    'eval "$(_EDGIT_COMPLETE=bash_source edgit)"; zsh_source and fish_source likewise.',
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


for command in (
    sharing.init,
    moving.tag,
    moving.deploy,
    moving.rollback,
    moving.restore,
    moving.promote,
    moving.adopt,
    asking.components,
    asking.history,
    asking.diff,
    asking.log,
    asking.check_command,
    sharing.push,
    sharing.pull,
    sharing.publish,
    sharing.status,
    sharing.snapshot,
    watching.guard,
    watching.drill,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
