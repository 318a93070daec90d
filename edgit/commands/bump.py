"""`edgit tag bump`: the next version, whichever it is."""

from __future__ import annotations

import click

from edgit.commands.context import open_git
from edgit.commands.options import ChangeOptions, argument_component, change_options
from edgit.commands.versions import tag, tag_create
from edgit.errors import EdgitError
from edgit.repository.catalog import known, versions_of
from edgit.repository.reading import read_repository


@tag.command("bump")
@argument_component("component")
@click.argument("part", type=click.Choice(["major", "minor", "patch"]))
@click.option("--message", "-m", metavar="TEXT", help="What this version brings; the tag's message.")
@change_options
@click.pass_context
def tag_bump(ctx: click.Context, component: str, part: str, message: str | None, options: ChangeOptions) -> None:
    """Make the version of COMPONENT that comes next after its highest, as `edgit tag create` does.

    \b
    edgit tag bump my-prompt minor -m "shorter answers"
    """
    repository = read_repository(open_git())
    component = known(repository, component)
    versions = versions_of(repository, component)
    if not versions:
        raise EdgitError(
            f"{component} has no version that another could come after",
            hint=f"next: edgit tag create {component} v1.0.0",
        )
    version = next_version(versions[0], part)
    ctx.invoke(
        tag_create,
        component=component,
        version=version,
        revision=None,
        message=message,
        dry_run=options.dry_run,
        format=options.format,
    )


def next_version(highest: str, part: str) -> str:
    """The version after one. A pre-release comes before its release, which may be the next one itself."""
    core, dash, _ = highest.partition("+")[0].removeprefix("v").partition("-")
    major, minor, patch = map(int, core.split("."))
    if part == "patch":
        return f"v{major}.{minor}.{patch if dash else patch + 1}"
    if part == "minor":
        return f"v{major}.{minor if dash and patch == 0 else minor + 1}.0"
    return f"v{major if dash and minor == patch == 0 else major + 1}.0.0"
