"""`edgit check`: whether the references of the ensembles lead to versions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import open_repository
from edgit.commands.options import option_environment, option_format, option_offline
from edgit.components.check import APART, SAME_NAME, UNPUBLISHABLE, WARNING, Finding, KnownComponents
from edgit.components.check import check as check_ensembles
from edgit.components.content import content_doubt, content_fault
from edgit.components.files import read_files, read_unusable_files
from edgit.errors import EdgitError
from edgit.git.tags import commits_of
from edgit.ledger.history import published_pointers
from edgit.repository.catalog import read_catalog
from edgit.repository.caution import read_withdrawals
from edgit.repository.problems import read_naming_problems
from edgit.repository.reading import Repository
from edgit.repository.records import locate_tagged
from resolver.snapshot import Pin, Resolver, Snapshot


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FILE]...")
@option_environment("--from", default="prod", help="The environment of references that name none.")
@option_format("text", "json")
@option_offline
def check(files: tuple[Path, ...], environment: str, format: str) -> None:
    """Hold every reference of every ensemble against what git has: dangling, out of range, unreachable.

    Without FILE: all of ensembles/ and components/ensembles/. Slips are told with what was probably meant, and names
    that nothing in an ensemble has; two files that are one component, files that KV cannot hold, and agents and
    ensembles that say no name, or another one than they are tagged under. Exits 1 where something was found but a
    warning.

    \b
    edgit check
    edgit check ensembles/one.yaml --from staging
    """
    repository = open_repository()
    root = repository.git.root
    chosen = [found for path in files for found in (sorted(yaml_files(path)) if path.is_dir() else [path])] or [
        found for folder in ("ensembles", "components/ensembles") for found in sorted(yaml_files(root / folder))
    ]
    names = list(_check_names(repository))
    if not chosen and not names:
        raise EdgitError("there are no ensembles here", hint="name them: edgit check FILE…")
    texts = [(relative_path(path, root), path.read_text("utf-8", errors="replace")) for path in chosen]
    findings, count = check_ensembles(texts, read_known(repository), environment)
    findings += [found for found in names if not files or found.file in dict(texts)]
    if format == "json":
        terminal.document(shapes.plain(findings))
    else:
        terminal.lines(map(str, findings))
        _tell_counts(findings, count, len(texts))
    if any(found.kind != WARNING for found in findings):
        raise click.exceptions.Exit(1)


def _check_names(repository: Repository) -> Iterator[Finding]:
    """Files that are one component, that are called otherwise than they are tagged, or that do not say their name."""
    for component, problem in read_naming_problems(repository):
        kind = SAME_NAME if component.others else WARNING
        yield Finding(component.path, None, None, kind, component.name, problem)
    for path, why in read_unusable_files(repository.git):
        yield Finding(path, None, None, WARNING, None, why)
    for component in read_files(repository.git):
        if fault := _content_fault(repository, component.path):
            yield fault
        if component.unnamed:
            detail = f"Conductor calls it by its name, edgit by its path, `{component.name}`: {component.unnamed}"
            yield Finding(component.path, None, None, WARNING, component.name, detail)


def _content_fault(repository: Repository, path: str) -> Finding | None:
    """A file of today that cannot be a version, or looks as if it should not be one as it stands."""
    try:
        data = (repository.git.root / path).read_bytes()
    except OSError:
        return None
    if fault := content_fault(data):
        return Finding(path, None, None, UNPUBLISHABLE, None, f"it cannot be a version: {fault}")
    doubt = content_doubt(data)
    return Finding(path, None, None, WARNING, None, doubt) if doubt else None


def _tell_counts(findings: Sequence[Finding], references: int, ensembles: int) -> None:
    kinds = [found.kind for found in findings]
    bad = sum(kind not in APART for kind in kinds)
    said = f": {bad} of them {'leads' if bad == 1 else 'lead'} nowhere" if bad else ": all of them lead to a version"
    references_, ensembles_ = terminal.many(references, "reference"), terminal.many(ensembles, "ensemble")
    terminal.note(f"{references_} in {ensembles_}{said if references else ''}")
    if unread := kinds.count("invalid"):
        terminal.note(f"{terminal.many(unread, 'ensemble')} could not be read")
    if slips := kinds.count("slip"):
        terminal.note(f"{terminal.many(slips, 'slip')}: what is written is nearly something else")


def yaml_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file()]


def relative_path(path: Path, root: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(root.resolve())) if resolved.is_relative_to(root.resolve()) else str(path)


def read_known(repository: Repository) -> KnownComponents:
    """What git has of every component."""
    catalog = read_catalog(repository)
    state = repository.state
    unrecorded = {
        name: {version: tag for version, tag in tags.items() if version not in state.versions.get(name, {})}
        for name, tags in repository.tags.versions.items()
    }
    commits = commits_of(repository.git, (tag.id for tags in unrecorded.values() for tag in tags.values()))
    located = locate_tagged(repository.git, unrecorded, repository.types, commits)
    versions = {name: tuple(found) for name, found in catalog.versions.items()}
    types = {name: type for name, type in catalog.types.items() if type is not None}
    chosen_from = {
        name: tuple(version for version in found if version not in state.withdrawn.get(name, {}))
        for name, found in versions.items()
    }
    snapshot = Snapshot(pointers=published_pointers(state), indexes=chosen_from, types=types)
    withdrawn = {pin: str(each) for pin, each in read_withdrawals(repository).items()}

    def read(pins: Collection[Pin]) -> dict[Pin, str]:
        """One question to git, however many versions there are."""
        recorded = {pin: state.versions.get(pin[0], {}).get(pin[1]) for pin in pins}
        blobs = {pin: located[pin].blob if pin in located else recorded[pin] for pin in pins}
        bodies = repository.git.read({blob for blob in blobs.values() if blob is not None})
        # What is on record is there, though this clone may not have its file.
        return {
            pin: bodies[blob].body.decode(errors="replace") if blob in bodies else ""
            for pin, blob in blobs.items()
            if blob is not None
        }

    return KnownComponents(Resolver(snapshot), versions, read, withdrawn)
