"""`edgit components`: what there is, and what is live."""

from __future__ import annotations

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import open_repository
from edgit.commands.groups import Group
from edgit.commands.options import option_environment, option_format, option_offline
from edgit.components.files import read_unusable_files
from edgit.repository.catalog import read_catalog


@click.group(cls=Group)
def components() -> None:
    """What there is, and what is live."""


@components.command("list")
@option_environment("--from", help="Only what is live in this environment.")
@option_format("tree", "table", "json", default="tree")
@option_offline
def components_list(environment: str | None, format: str) -> None:
    """List every component with its versions and what is live where.

    The JSON has one component a line and the shape of `edgit history --date … --format json`, so that `diff` of the two
    shows which components changed.

    \b
    edgit components list
    edgit components list --format json
    edgit components list --from prod
    """
    repository = open_repository()
    catalog = read_catalog(repository)
    for path, why in read_unusable_files(repository.git):
        terminal.warn(f"{path}: {why}")
    if format == "json":
        if environment is None:
            terminal.rows(shapes.of_components(catalog.types, catalog.names, repository.state.pointers))
            return
        live = {name: found.get(environment) for name, found in sorted(repository.state.pointers.items())}
        terminal.rows(
            {"name": n, "type": catalog.types[n], "version": version} for n, version in live.items() if version
        )
        return
    empty = "there are no components yet; one is a file such as components/prompts/my-prompt.md"
    if environment:
        empty = f"nothing is live in {environment}"
    found = [
        (name, catalog.types[name], versions, repository.environments(name))
        for name, versions in sorted(catalog.versions.items())
        if environment is None or environment in repository.environments(name)
    ]
    if format == "tree":
        terminal.component_tree(found, empty, repository.state.withdrawn)
        return
    rows = []
    for name, type, versions, environments in found:
        where = ", ".join(f"{environment} {version}" for environment, version in environments.items())
        passed_over = repository.state.withdrawn.get(name, {})
        latest = next((version for version in versions if version not in passed_over), "none")
        rows.append((name, type or "", latest, str(len(versions)), where))
    terminal.table(("component", "type", "latest", "versions", "live"), rows, empty)
