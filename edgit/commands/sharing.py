"""Commands that share what was moved: init, push, pull, publish, status, snapshot, canary."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgit import terminal
from edgit.commands.common import (
    at_terminal,
    complete_kv,
    desk,
    kv_target,
    needed_kv,
    open_git,
    open_world,
    option_dry_run,
    option_format,
    option_kv,
    publish_next,
    publish_world,
    push_after,
    tell_published,
    workflow_after,
)
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.kv.comparison import shown
from edgit.kv.snapshot import snapshot as published_snapshot
from edgit.kv.source import LedgerSource
from edgit.kv.status import status as kv_status
from edgit.kv.targets import open_kv
from edgit.remote.differences import has_ledger
from edgit.remote.differences import unpushed as unpushed_moves
from edgit.remote.pull import pull as pull_moves
from edgit.remote.push import push as push_moves
from edgit.repository.adoption import adopt, take_over
from edgit.repository.changes import ChangeOutcome
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from resolver.documents import decode_map_metadata
from resolver.errors import listed


@click.command()
@click.option(
    "--auto-push/--no-auto-push", "auto_push", default=None, help="Whether moving commands push by themselves."
)
@option_kv
def init(auto_push: bool | None, kv: str | None) -> None:
    """Prepare a repository: begin the ledger, and choose whether moves are pushed at once.

    Without a repository one is made. Nothing is asked off a terminal, where pushing at once is off.

    \b
    edgit init
    edgit init --auto-push --kv local
    """
    here = Path.cwd()
    try:
        git = Git.open(here)
    except EdgitError as error:
        if "is not in a git repository" not in error.detail:
            raise
        Git(here, here / ".git", "sha1").run("init", "--quiet")
        git = Git.open(here)
        terminal.lines([f"made a git repository in {git.root}"])
    if auto_push is None and at_terminal() and git.config("edgit.autoPush") is None:
        auto_push = click.confirm(
            "Push each move at once, so that `git push --tags` has nothing left to do?", default=True
        )
    if auto_push is not None:
        git.run("config", "--type=bool", "edgit.autoPush", str(auto_push).lower())
    if kv is not None:
        open_kv(kv)
        git.run("config", "edgit.kv", kv)
    at = RepositoryLock(git)
    remote = git.remote()
    with at.locked() as world:
        if world.ledger is None and world.tags.components() and remote and has_ledger(git, remote):
            terminal.note(f"{remote} has a ledger already")
            terminal.next_step("edgit pull")
            return
        outcome = adopt(at, world) if world.ledger is None else ChangeOutcome()
    now = Repository(git)
    for text in outcome.notes:
        terminal.note(text)
    pushes = "on" if git.flag("edgit.autoPush") else "off"
    terminal.lines(
        [
            f"ledger: generation {now.ledger.last.generation}"
            if now.ledger
            else "ledger: empty, the first version begins it",
            f"components: {listed(now.names)}",
            f"pushing at once: {pushes} (git config edgit.autoPush)",
            f"remote: {remote or 'none'}",
            f"KV: {git.config('edgit.kv') or 'none yet (git config edgit.kv local or cloudflare)'}",
        ]
    )
    if not now.names:
        terminal.next_step(
            "write a component, such as components/prompts/my-prompt.md, then: edgit tag create my-prompt v1.0.0"
        )
    elif not any(now.versions(name) for name in now.names):
        terminal.next_step(f"edgit tag create {min(now.names)} v1.0.0")


@click.command()
@option_format("text", "json")
def push(format: str) -> None:
    """Bring the ledger and the tags to the remote: all of it, or nothing where the remote has moved on.

    \b
    edgit push
    """
    at = desk()
    with at.locked() as world:
        pushed = push_moves(world)
    told = workflow_after(at.git) if not pushed.nothing else None
    if format == "json":
        terminal.document({"remote": pushed.remote, "moves": pushed.entries, "tags": pushed.tags, "workflow": told})
        return
    for text in at.notes:
        terminal.note(text)
    if pushed.nothing:
        terminal.lines([f"{pushed.remote} has everything"])
        return
    terminal.lines([f"pushed {_count(pushed.entries, 'move')} and {_count(pushed.tags, 'tag')} to {pushed.remote}"])
    if told:
        terminal.note(told)
    else:
        publish_next(at.git)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@click.command()
@option_format("text", "json")
def pull(format: str) -> None:
    """Bring the remote's moves here; moves made here meanwhile come after them, and nothing is lost.

    \b
    edgit pull
    """
    at = desk()
    with at.locked() as world:
        pulled = pull_moves(at, world)
    counts = (len(pulled.received), len(pulled.replayed), len(pulled.dropped))
    if format == "json":
        received, replayed, dropped = counts
        terminal.document(
            {
                "remote": pulled.remote,
                "received": received,
                "replayed": replayed,
                "dropped": dropped,
                "versions": pulled.versions,
                "notes": list(pulled.notes),
            }
        )
        return
    for text in pulled.notes:
        terminal.note(text)
    received, replayed, dropped = counts
    if not received and not pulled.versions:
        terminal.lines([f"nothing new at {pulled.remote}"])
    else:
        terminal.lines(
            [f"received {_count(received, 'move')} and {_count(pulled.versions, 'tag')} from {pulled.remote}"]
        )
    if replayed:
        terminal.lines([f"{_count(replayed, 'move')} of yours {'comes' if replayed == 1 else 'come'} after them"])
        terminal.next_step("edgit push")
    if dropped:
        terminal.note(f"{_count(dropped, 'move')} of yours said what is live already")


@click.command()
@click.option(
    "--to",
    "target",
    metavar="TARGET",
    shell_complete=complete_kv,
    help="local, local=PATH or cloudflare; the setting edgit.kv if not given.",
)
@click.option("--replace", is_flag=True, help="Publish over what KV has and git has not.")
@click.option("--full", is_flag=True, help="Compare everything with KV, not only what changed since.")
@click.option(
    "--announce", metavar="URL", help="Tell isolates at once, there; the setting edgit.announce if not given."
)
@click.option("--wait", metavar="URL", help="Then ask the edge there until it answers from what was published.")
@click.option("--timeout", type=float, default=180.0, show_default=True, help="How long to ask it, in seconds.")
@option_dry_run
@option_format("text", "json")
def publish(
    target: str | None,
    replace: bool,
    full: bool,
    announce: str | None,
    wait: str | None,
    timeout: float,
    dry_run: bool,
    format: str,
) -> None:
    """Bring KV to what git says: contents, lists and history first, the version map last.

    \b
    edgit publish --to local
    edgit publish --to cloudflare
    CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_KV_NAMESPACE_ID and CLOUDFLARE_API_TOKEN say where; announcing wants
    EDGIT_ANNOUNCE_TOKEN and CLOUDFLARE_ZONE_ID too, and fails no publish.
    """
    git = open_git()
    kv = open_kv(needed_kv(git, target))
    if replace and not dry_run:
        held = kv.get_many(["component-versions"])["component-versions"]
        generation = decode_map_metadata(held.metadata).generation if held else None
        at = RepositoryLock(git)
        with at.locked() as world:
            if world.ledger and generation is not None and world.ledger.last.generation <= generation:
                take_over(at, world, generation, f"replaces what {kv.name} held")
                push_after(git)
    world = open_world()
    report = publish_world(
        world, kv, replace=replace, full=full, dry_run=dry_run, show=format == "text", announce=announce
    )
    if format == "text":
        shown = report.changed[:_CHANGES_SHOWN]
        terminal.lines(f"{d.component} {d.environment}: {d.kv or 'none'} -> {d.git or 'none'}" for d in shown)
        if len(report.changed) > len(shown):
            terminal.lines([f"and {len(report.changed) - len(shown)} more pointers"])
        tell_published(report)
        _tell_untold(world)
    took = _wait(wait, report.generation, report.revision, timeout) if wait and not dry_run else None
    if format == "json":
        terminal.document({**report.as_json(), "edge_seconds": None if took is None else round(took, 3)})
    elif took is not None:
        terminal.lines([f"{wait} answers from generation {report.generation} (after {took:.1f} s)"])


def _wait(url: str, generation: int, revision: str, timeout: float) -> float:
    from edgit import edge  # noqa: PLC0415

    with edge.connect(url) as client:
        return edge.wait_until_published(client, generation, revision, timeout=timeout)


#: So many changed pointers a publish names; a first one of a large repository has thousands.
_CHANGES_SHOWN = 40


def _tell_untold(world: Repository) -> None:
    # Of what cannot be put on record, `World.doubts` tells.
    lost = {tag.id for tags in world.fileless.values() for tag in tags}
    names = [
        f"{name} {version}"
        for name, versions in world.untold_versions.items()
        for version, tag in versions.items()
        if tag.id not in lost
    ]
    if names:
        terminal.warn(f"not on record and so not published: {listed(names)}; next: edgit adopt")


@click.command()
@option_kv
@option_format("text", "json")
def status(kv: str | None, format: str) -> None:
    """Where git, the remote and KV stand: what is published, what not yet, what only KV has.

    The remote is as it was last seen; `edgit pull` asks it.

    \b
    edgit status
    edgit status --kv cloudflare
    """
    world = open_world()
    git = world.git
    remote = git.remote()
    unpushed = unpushed_moves(world, remote) if remote else 0
    target = kv_target(git, kv)
    deleted, moved = _changed_versions(world)
    if format == "text":
        # What git knows is told at once: a KV that is away is waited for, and may never answer.
        terminal.lines(_standing_of_git(world, remote, unpushed))
    found = kv_status(LedgerSource(world), open_kv(target)) if target and world.ledger else None
    if format == "json":
        foreign, _ = world.differences
        terminal.document(
            {
                "generation": world.ledger.last.generation if world.ledger else None,
                "revision": world.ledger.tip if world.ledger else None,
                "remote": remote,
                "unpushed_moves": unpushed,
                "moved_by_other_tools": [
                    {
                        "component": f.component,
                        "environment": f.environment,
                        "ledger": f.recorded,
                        "tag": f.meaning.version,
                    }
                    for f in foreign
                ],
                "versions_not_on_record": [
                    {"component": name, "version": version}
                    for name, versions in world.untold_versions.items()
                    for version in versions
                ],
                "versions_deleted": [{"component": name, "version": version} for name, version in deleted],
                "versions_moved": [{"component": name, "version": version} for name, version in moved],
                "unclear_tags": [
                    {"component": name, "environment": environment, "problem": problem}
                    for name, environment, problem in world.unclear
                ],
                "doubts": world.doubts,
                "kv": found.as_json() if found else None,
            }
        )
        return
    text = []
    if found is None:
        why = "there is no ledger to hold against it" if target else "name it with --kv, or git config edgit.kv"
        text.append(f"KV      not asked: {why}")
    else:
        held = shown(found.kv_generation, found.kv_revision) if found.kind != "empty" else "empty"
        text.append(f"KV      {found.target}: {held}, {_STANDING[found.kind]}")
        text += [
            f"        not yet: {name} {move.environment} -> {move.version or 'none'} (generation {move.generation})"
            for name, move in found.moves[-_SHOWN:]
        ]
        if len(found.moves) > _SHOWN:
            text.append(f"        and {len(found.moves) - _SHOWN} moves before those")
        text += [f"        not yet: version {name} {version}" for name, version in found.versions[:_SHOWN]]
        if len(found.versions) > _SHOWN:
            text.append(f"        and {len(found.versions) - _SHOWN} more versions")
        if found.kind not in ("behind", "empty", "current"):
            text += [f"        {difference}" for difference in found.differences]
    terminal.lines(text)
    for doubt in world.doubts:
        terminal.warn(doubt)
    for name, version in moved[:_SHOWN]:
        terminal.warn(
            f"the tag of {name} {version} was moved to another file; the ledger has the one that was released. "
            f"Next: edgit tag restore {name} {version}"
        )
    if deleted:
        terminal.warn(
            f"deleted here, and still in the ledger: {listed(' '.join(each) for each in deleted)}; "
            f"next: edgit tag restore {' '.join(deleted[0])}"
        )
    if world.ledger or not remote:
        _tell_untold(world)
    if unpushed:
        terminal.next_step("edgit push")
    elif remote and world.ledger is None:
        first = "; where nobody has begun a ledger yet: edgit adopt" if world.untold_versions else ""
        terminal.next_step(f"edgit pull{first}")
    elif remote and found is not None and found.kind == "ahead":
        terminal.next_step("edgit pull")
    elif remote and found is not None and found.kind == "diverged":
        # Also what was published and not pushed, and then came after somebody else's move.
        terminal.next_step(f"edgit pull; if that brings nothing: edgit publish --to {target} --replace")
    elif found is not None and found.kind in ("behind", "empty"):
        terminal.next_step(f"edgit publish --to {target}")


def _standing_of_git(world: Repository, remote: str | None, unpushed: int) -> list[str]:
    if world.ledger is None:
        there = f"{remote}: not asked for its ledger yet: edgit pull" if remote else "none"
        return ["git     no ledger yet", f"remote  {there}"]
    there = f"{_count(unpushed, 'move')} not pushed" if unpushed else "as last seen, has everything"
    return [
        f"git     generation {world.ledger.last.generation} ({world.ledger.tip[:7]})",
        f"remote  {remote}: {there}" if remote else "remote  none",
    ]


def _changed_versions(world: Repository) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The versions of the ledger whose tag is gone, and those whose tag is at another file now."""
    if world.ledger is None:
        return [], []
    deleted, other = [], {}
    for name, versions in sorted(world.state.versions.items()):
        for version in versions:
            tag = world.tags.versions.get(name, {}).get(version)
            made = world.ledger.made.get((name, version))
            if tag is None:
                deleted.append((name, version))
            elif made is None or made.tag != tag.id:
                other[name, version] = tag
    commits = world.commits_of(tag.id for tag in other.values())
    files = world.files_at((name, commits[tag.id]) for (name, _), tag in other.items() if tag.id in commits)
    blobs = {key: files.get((key[0], commits.get(tag.id, ""))) for key, tag in other.items()}
    return deleted, [
        (name, version)
        for (name, version), file in blobs.items()
        if file and file.blob != world.state.versions[name][version]
    ]


#: How many moves and versions `status` names before it counts the rest.
_SHOWN = 20

_STANDING = {
    "empty": "nothing is published yet",
    "current": "as git has it",
    "behind": "behind git",
    "edited": "changed by hand since it was published",
    "by hand": "written by hand",
    "diverged": "of a ledger that is not this one",
    "ahead": "ahead of this clone: edgit pull",
    "unreadable": "and the map cannot be read",
}


@click.command()
@click.option(
    "--from",
    "target",
    metavar="TARGET",
    shell_complete=complete_kv,
    help="local, local=PATH or cloudflare; the setting edgit.kv if not given.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("snapshot.json"),
    show_default=True,
    help="The file to write.",
)
def snapshot(target: str | None, output: Path) -> None:
    """Write what is published to a file that a deployment of the Worker carries, for isolates that start without KV.

    \b
    edgit snapshot --from local --output snapshot.json
    """
    git = open_git_or_none()
    named = target or (git.config("edgit.kv") if git else None)
    if named is None:
        raise EdgitError("no KV is named", hint="next: edgit snapshot --from local or --from cloudflare")
    found = published_snapshot(open_kv(named))
    temporary = output.with_name(output.name + ".new")
    temporary.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    temporary.replace(output)
    terminal.lines([f"wrote {output}: generation {found['generation']}, revision {found['revision']}"])


def open_git_or_none() -> Git | None:
    """The repository of the current folder, if there is one."""
    try:
        return open_git()
    except EdgitError:
        return None
