"""`edgit publish` and `edgit snapshot`: what git says comes to KV, and what KV holds into a file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import kv_target, needed_kv, open_git, open_git_or_none, open_repository
from edgit.commands.options import option_dry_run, option_format, option_former, option_kv
from edgit.commands.results import fail_if_held_back, publish_ledger, push_after, tell_published
from edgit.errors import EdgitError, NotUnderstood
from edgit.git.process import Git
from edgit.kv.conductor import LAYOUTS
from edgit.kv.publish import PublishReport
from edgit.kv.snapshot import snapshot as read_snapshot
from edgit.kv.store import Kv
from edgit.kv.targets import open_kv
from edgit.ledger.reading import read_last_entry
from edgit.repository.adoption import take_over
from edgit.repository.lock import RepositoryLock
from edgit.repository.problems import read_versions_without_file
from edgit.repository.reading import Repository
from resolver.documents import VERSION_MAP, decode_map_metadata
from resolver.errors import listed

#: So many changed pointers a publish names; a first one of a large repository has thousands.
_CHANGES_SHOWN = 40
_TARGETS = "local, local=PATH or cloudflare; the setting edgit.kv if not given."


@click.command()
@option_kv(help=_TARGETS)
@option_former("--to")
@click.option("--replace", is_flag=True, help="Publish over what KV has and git has not.")
@click.option("--full", is_flag=True, help="Compare everything with KV, not only what changed since.")
@click.option(
    "--announce", metavar="URL", help="Tell isolates at once, there; the setting edgit.announce if not given."
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="conductor: also the keys that Conductor itself reads; kept as the setting edgit.layout.",
)
@click.option("--wait", metavar="URL", help="Then ask the edge there until it answers from what was published.")
@click.option("--timeout", type=float, default=180.0, show_default=True, help="How long to ask it, in seconds.")
@option_dry_run
@option_format("text", "json")
def publish(
    kv: str | None,
    former: str | None,
    replace: bool,
    full: bool,
    announce: str | None,
    layout: str | None,
    wait: str | None,
    timeout: float,
    dry_run: bool,
    format: str,
) -> None:
    """Bring KV to what git says: contents, lists and history first, the version map last.

    \b
    edgit publish --kv local
    edgit publish --kv cloudflare
    CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_KV_NAMESPACE_ID and CLOUDFLARE_API_TOKEN say where; announcing wants
    EDGIT_ANNOUNCE_TOKEN and CLOUDFLARE_ZONE_ID too, and fails no publish.
    """
    _check_former("publish", former)
    git = open_git()
    store = open_kv(needed_kv(git, kv))
    if replace and not dry_run:
        _take_over(git, store)
    repository = open_repository()
    report = publish_ledger(
        git, store, replace=replace, full=full, dry_run=dry_run, show=format == "text", announce=announce, layout=layout
    )
    if layout and not dry_run:
        git.run("config", "edgit.layout", layout)
    if not dry_run:
        _share_record(git)
    if format == "text":
        _tell_changed(report)
        tell_published(report)
        tell_unrecorded(repository)
    took = _wait(wait, report, timeout) if wait and not dry_run else None
    if format == "json":
        terminal.document({**shapes.of_report(report), "edge_seconds": None if took is None else round(took, 3)})
    elif took is not None:
        terminal.lines([f"{wait} answers from generation {report.generation} (after {took:.1f} s)"])
    fail_if_held_back(report)


def _check_former(command: str, kv: str | None) -> None:
    if kv is not None:
        raise NotUnderstood("a KV is named with --kv", hint=f"next: edgit {command} --kv {kv}")


def _share_record(git: Git) -> None:
    """Let others know what was published, where moves are pushed at once too. It is published whatever comes of it."""
    try:
        push_after(git)
    except EdgitError as error:
        terminal.warn(f"published, and others do not know it yet: {error.detail}. Next: edgit push")


def _take_over(git: Git, kv: Kv) -> None:
    """Lift the ledger's generation above KV's, where it is not."""
    held = kv.get_many([VERSION_MAP])[VERSION_MAP]
    generation = decode_map_metadata(held.metadata).generation if held else None
    lock = RepositoryLock(git)
    with lock.locked() as repository:
        if repository.tip is None or generation is None:
            return
        if read_last_entry(git, repository.tip).generation <= generation:
            take_over(lock, repository, generation, f"replaces what {kv.name} held")
            push_after(git)


def _tell_changed(report: PublishReport) -> None:
    shown = report.changed[:_CHANGES_SHOWN]
    terminal.lines(
        f"{each.component} {each.environment}: {each.kv or 'none'} -> {each.git or 'none'}" for each in shown
    )
    if len(report.changed) > len(shown):
        terminal.lines([f"and {len(report.changed) - len(shown)} more pointers"])


def _wait(url: str, report: PublishReport, timeout: float) -> float:
    from edgit import edge  # noqa: PLC0415

    with edge.connect(url) as client:
        return edge.wait_until_published(client, report.generation, report.revision, timeout=timeout)


def tell_unrecorded(repository: Repository) -> None:
    """Warn of versions that a publish leaves out since they are not on record."""
    # Of what cannot be put on record, `read_problems` tells.
    without = {tag.id for tags in read_versions_without_file(repository).values() for tag in tags}
    names = [
        f"{name} {version}"
        for name, versions in repository.unrecorded_versions().items()
        for version, tag in versions.items()
        if tag.id not in without
    ]
    if names:
        terminal.warn(f"not on record and so not published: {listed(names)}; next: edgit adopt")


@click.command()
@option_kv(help=_TARGETS)
@option_former("--from")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("snapshot.json"),
    show_default=True,
    help="The file to write.",
)
@option_format("text", "json")
def snapshot(kv: str | None, former: str | None, output: Path, format: str) -> None:
    """Write what is published to a file that a deployment of the Worker carries, for isolates that start without KV.

    \b
    edgit snapshot --kv local --output snapshot.json
    """
    _check_former("snapshot", former)
    git = open_git_or_none()
    named = kv_target(git, kv) if git else kv
    if named is None:
        raise EdgitError("no KV is named", hint="next: edgit snapshot --kv local or --kv cloudflare")
    found = read_snapshot(open_kv(named))
    temporary = output.with_name(output.name + ".new")
    temporary.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    temporary.replace(output)
    if format == "json":
        of = {"generation": found["generation"], "revision": found["revision"]}
        terminal.document({"file": str(output), **of})
        return
    terminal.lines([f"wrote {output}: generation {found['generation']}, revision {found['revision']}"])
