"""`edgit status`: how git, the remote and KV stand to each other."""

from __future__ import annotations

from dataclasses import dataclass

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import kv_target, open_repository
from edgit.commands.options import option_format, option_kv, option_offline
from edgit.commands.publish import tell_unrecorded
from edgit.git.process import Git
from edgit.git.tags import commits_of
from edgit.kv.comparison import shown
from edgit.kv.source import LedgerSource, read_ledger_source
from edgit.kv.status import KvStatus
from edgit.kv.status import status as read_kv_status
from edgit.kv.targets import open_kv
from edgit.ledger.entries import LedgerEntry
from edgit.ledger.published import read_last_published
from edgit.ledger.reading import read_index, read_last_entry
from edgit.remote.differences import count_unpushed
from edgit.repository.problems import read_problems, unclear_tags
from edgit.repository.reading import Repository
from edgit.repository.records import by_component, locate_tagged
from resolver.errors import listed

#: How many moves and versions `status` names before it counts the rest.
_SHOWN = 20

_COMPARED = {
    "empty": "nothing is published yet",
    "current": "as git has it",
    "behind": "behind git",
    "edited": "changed by hand since it was published",
    "by hand": "written by hand",
    "replayed": "published from here, before a pull put that after others",
    "diverged": "of a ledger that is not this one",
    "ahead": "ahead of this clone: edgit pull",
    "unreadable": "and the map cannot be read",
}


@dataclass(frozen=True, slots=True)
class GitStatus:
    """What git says by itself, before KV is asked."""

    repository: Repository
    last: LedgerEntry | None
    remote: str | None
    unpushed: int
    #: Versions of the ledger whose tag is gone, and those whose tag is at another file now.
    deleted: tuple[tuple[str, str], ...]
    moved: tuple[tuple[str, str], ...]


@click.command()
@option_kv()
@option_format("text", "json")
@option_offline
def status(kv: str | None, format: str) -> None:
    """Where git, the remote and KV stand: what is published, what not yet, what only KV has.

    The remote is as it was last seen; `edgit pull` asks it.

    \b
    edgit status
    edgit status --kv cloudflare
    """
    repository = open_repository()
    target = kv_target(repository.git, kv)
    here = _read_git_status(repository)
    if format == "text":
        # What git knows is told at once: a KV that is away is waited for, and may never answer.
        terminal.lines(_lines_of_git(here))
    source = read_ledger_source(repository.git, repository.tip) if target and repository.tip else None
    found = _read_kv(repository.git, source, target) if target and source else None
    if format == "json":
        terminal.document(_as_json(here, found))
        return
    terminal.lines(_lines_of_kv(found, target))
    _tell_problems(here)
    _tell_next(here, found, target)


def _read_kv(git: Git, source: LedgerSource, target: str) -> KvStatus:
    store = open_kv(target)
    return read_kv_status(source, store, read_last_published(git, store.record))


def _read_git_status(repository: Repository) -> GitStatus:
    git = repository.git
    remote = git.remote()
    unpushed = count_unpushed(repository, remote) if remote else 0
    deleted, moved = _read_changed_versions(repository)
    last = read_last_entry(git, repository.tip) if repository.tip else None
    return GitStatus(repository, last, remote, unpushed, deleted, moved)


def _read_changed_versions(
    repository: Repository,
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The versions of the ledger whose tag is gone, and those whose tag is at another file now."""
    if repository.tip is None:
        return (), ()
    created = read_index(repository.git, repository.tip).created
    deleted, other = [], {}
    for name, versions in sorted(repository.state.versions.items()):
        for version in versions:
            tag = repository.tags.versions.get(name, {}).get(version)
            made = created.get((name, version))
            if tag is None:
                deleted.append((name, version))
            elif made is None or made.tag != tag.id:
                other[name, version] = tag
    commits = commits_of(repository.git, (tag.id for tag in other.values()))
    files = locate_tagged(repository.git, by_component(other.items()), repository.types, commits)
    moved = [
        (name, version)
        for name, version in other
        if (file := files.get((name, version))) and file.blob != repository.state.versions[name][version]
    ]
    return tuple(deleted), tuple(moved)


def _as_json(here: GitStatus, found: KvStatus | None) -> dict[str, object]:
    repository = here.repository
    return {
        "generation": here.last.generation if here.last else None,
        "revision": repository.tip,
        "remote": here.remote,
        "unpushed_moves": here.unpushed,
        "moved_by_other_tools": [
            {
                "component": each.component,
                "environment": each.environment,
                "ledger": each.recorded,
                "tag": each.meaning.version,
            }
            for each in repository.drift.unrecorded_moves
        ],
        "versions_not_on_record": shapes.of_versions(
            (name, version) for name, versions in repository.unrecorded_versions().items() for version in versions
        ),
        "versions_deleted": shapes.of_versions(here.deleted),
        "versions_moved": shapes.of_versions(here.moved),
        "unclear_tags": [
            {"component": name, "environment": environment, "problem": problem}
            for name, environment, problem in unclear_tags(repository)
        ],
        "doubts": read_problems(repository),
        "kv": shapes.of_kv_status(found) if found else None,
    }


def _lines_of_git(here: GitStatus) -> list[str]:
    remote = here.remote
    if here.last is None:
        there = f"{remote}: not asked for its ledger yet: edgit pull" if remote else "none"
        return ["git     no ledger yet", f"remote  {there}"]
    there = f"{terminal.many(here.unpushed, 'move')} not pushed" if here.unpushed else "as last seen, has everything"
    return [
        f"git     generation {here.last.generation} ({here.last.id[:7]})",
        f"remote  {remote}: {there}" if remote else "remote  none",
    ]


def _lines_of_kv(found: KvStatus | None, target: str | None) -> list[str]:
    if found is None:
        why = "there is no ledger to hold against it" if target else "name it with --kv, or git config edgit.kv"
        return [f"KV      not asked: {why}"]
    held = shown(found.kv_generation, found.kv_revision) if found.kind != "empty" else "empty"
    text = [f"KV      {found.target}: {held}, {_COMPARED[found.kind]}"]
    text += [
        f"        not yet: {name} {move.environment} -> {move.version or 'none'} (generation {move.generation})"
        for name, move in found.moves[-_SHOWN:]
    ]
    if len(found.moves) > _SHOWN:
        text.append(f"        and {len(found.moves) - _SHOWN} moves before those")
    text += [f"        not yet: version {name} {version}" for name, version in found.versions[:_SHOWN]]
    if len(found.versions) > _SHOWN:
        text.append(f"        and {len(found.versions) - _SHOWN} more versions")
    text += [
        f"        held back: {each.component} {each.environment} shows {each.kv or 'nothing'}, git has {each.git}, "
        "which could not be published; why: edgit publish --dry-run"
        for each in found.held_back[:_SHOWN]
    ]
    if found.kind not in ("behind", "empty", "current"):
        text += [f"        {difference}" for difference in found.differences]
    return text


def _tell_problems(here: GitStatus) -> None:
    for problem in read_problems(here.repository):
        terminal.warn(problem)
    for name, version in here.moved[:_SHOWN]:
        terminal.warn(
            f"the tag of {name} {version} was moved to another file; the ledger has the one that was released. "
            f"Next: edgit tag restore {name} {version}"
        )
    if here.deleted:
        terminal.warn(
            f"deleted here, and still in the ledger: {listed(' '.join(each) for each in here.deleted)}; "
            f"next: edgit tag restore {' '.join(here.deleted[0])}"
        )
    if here.last or not here.remote:
        tell_unrecorded(here.repository)


def _tell_next(here: GitStatus, found: KvStatus | None, target: str | None) -> None:
    if here.unpushed:
        terminal.next_step("edgit push")
    elif here.remote and here.last is None:
        first = "; where nobody has begun a ledger yet: edgit adopt" if here.repository.unrecorded_versions() else ""
        terminal.next_step(f"edgit pull{first}")
    elif here.remote and found is not None and found.kind == "ahead":
        terminal.next_step("edgit pull")
    elif here.remote and found is not None and found.kind == "diverged":
        # Also what was published and not pushed, and then came after somebody else's move.
        terminal.next_step(f"edgit pull; if that brings nothing: edgit publish --kv {target} --replace")
    elif found is not None and found.kind in ("behind", "empty", "replayed"):
        terminal.next_step(f"edgit publish --kv {target}")
