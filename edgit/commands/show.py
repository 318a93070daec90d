"""`edgit show`: one component, or one version of it, with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.check import read_known, relative_path, yaml_files
from edgit.commands.context import open_repository
from edgit.commands.options import Version, complete, option_environment, option_format
from edgit.components.referrers import Referrer, find_referrers
from edgit.git.tags import read_tag_object
from edgit.ledger.entries import Created
from edgit.repository.catalog import known, needed_version_tag, read_catalog, versions_of
from edgit.repository.caution import read_withdrawals
from edgit.repository.reading import Repository, read_past
from resolver.instant import format_instant


@click.command()
@click.argument("reference", metavar="NAME[@VERSION]", shell_complete=complete("reference"))
@option_environment("--from", default="prod", help="The environment of references that name no version.")
@option_format("text", "json")
def show(reference: str, environment: str, format: str) -> None:
    """One component: its file, its versions, where each is live, and which ensembles refer to it.

    With @VERSION that version: who made it and when, where it is live, what refers to it, and its content.

    \b
    edgit show my-prompt
    edgit show my-prompt@v1.0.0
    """
    name, at, written = reference.partition("@")
    version = Version().convert(written, None, click.get_current_context()) if at else None
    repository = open_repository()
    component = known(repository, name)
    referrers = list(_referrers(repository, component, environment))
    if version is None:
        _show_component(repository, component, referrers, format)
    else:
        _show_version(repository, component, version, [each for each in referrers if each.version == version], format)


def _referrers(repository: Repository, component: str, environment: str) -> Iterator[Referrer]:
    root = repository.git.root
    files = [path for folder in ("ensembles", "components/ensembles") for path in sorted(yaml_files(root / folder))]
    texts = ((relative_path(path, root), path.read_text("utf-8", errors="replace")) for path in files)
    return find_referrers(texts, read_known(repository), component, environment) if files else iter(())


def _show_component(repository: Repository, component: str, referrers: list[Referrer], format: str) -> None:
    catalog = read_catalog(repository)
    file = catalog.components.get(component)
    versions, live = catalog.versions.get(component, []), repository.environments(component)
    if format == "json":
        terminal.document(
            {
                "component": component,
                "type": catalog.types.get(component),
                "path": file.path if file else None,
                "environments": live,
                "versions": versions,
                "references": shapes.plain(referrers),
            }
        )
        return
    path = file.path if file else "none here"
    terminal.component_tree([(component, catalog.types.get(component), versions, live)], "", repository.state.withdrawn)
    terminal.lines([f"file: {path}", *_lines_of_referrers(referrers)])


def _show_version(repository: Repository, component: str, version: str, referrers: list[Referrer], format: str) -> None:
    if version not in versions_of(repository, component):
        needed_version_tag(repository, component, version)
    made = _created(repository, component, version)
    message, text = _message(repository, component, version), _content(repository, component, version)
    live = [where for where, each in repository.environments(component).items() if each == version]
    withdrawn = read_withdrawals(repository).get((component, version))
    created, at, actor = made or (None, None, None)
    if format == "json":
        terminal.document(
            {
                "component": component,
                "version": version,
                "type": read_catalog(repository).types.get(component),
                "at": format_instant(at) if at else None,
                "actor": actor,
                "message": message,
                "commit": created.commit if created else None,
                "path": created.path if created else None,
                "environments": live,
                "withdrawn": str(withdrawn) if withdrawn else None,
                "references": shapes.plain(referrers),
                "content": text,
            }
        )
        return
    said = f": {message}" if message else ""
    found = [f"{component} {version}", f"made: {terminal.when(at)} by {terminal.who(actor)}{said}"]
    if created:
        found.append(f"file: {created.path or 'unknown'} at {created.commit[:10]}")
    found.append(f"live in: {', '.join(live) or 'nowhere'}")
    if withdrawn:
        found.append(f"it {withdrawn}")
    terminal.lines([*found, *_lines_of_referrers(referrers), ""])
    if text is None:
        terminal.note("its content is no UTF-8 text")
    else:
        click.echo(text, nl=not text.endswith("\n"))


def _lines_of_referrers(referrers: list[Referrer]) -> list[str]:
    return [f"referred to by: {each}" for each in referrers] or ["referred to by: no ensemble here"]


def _created(repository: Repository, component: str, version: str) -> tuple[Created, datetime, str] | None:
    for entry in read_past(repository):
        for created, at, actor in entry.creations:
            if (created.component, created.version) == (component, version):
                return created, at, actor
    return None


def _message(repository: Repository, component: str, version: str) -> str | None:
    """What the version's tag says of it."""
    tag = repository.trace_of(component, version)
    found = repository.git.read([tag.id]).get(tag.id) if tag else None
    return read_tag_object(found.body).message if found and found.kind == "tag" else None


def _content(repository: Repository, component: str, version: str) -> str | None:
    from edgit.commands.diff import read_content  # noqa: PLC0415

    try:
        return read_content(repository, component, version).decode()
    except UnicodeDecodeError:
        return None
