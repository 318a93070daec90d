"""`edgit push` and `edgit pull`: the ledger and the tags, shared by a remote."""

from __future__ import annotations

import click

from edgit import terminal
from edgit.commands.context import open_git
from edgit.commands.options import option_format
from edgit.commands.results import publish_next, start_workflow, tell_notes
from edgit.git.process import LONG_TRANSFER
from edgit.remote.freshness import forget
from edgit.remote.pull import pull as pull_moves
from edgit.remote.push import share
from edgit.repository.lock import RepositoryLock


@click.command()
@option_format("text", "json")
def push(format: str) -> None:
    """Bring the ledger and the tags to the remote: all of it, or nothing.

    Moves that the remote has and this clone has not come before yours. Where both have moved one pointer to different
    versions nothing is changed, and both are shown.

    \b
    edgit push
    """
    lock = RepositoryLock(open_git())
    pushed = share(lock, bound=LONG_TRANSFER)
    forget(lock.git)
    told = start_workflow(lock.git) if not pushed.nothing else None
    if format == "json":
        terminal.document({"remote": pushed.remote, "moves": pushed.entries, "tags": pushed.tags, "workflow": told})
        return
    tell_notes(lock.notes)
    if pushed.nothing:
        terminal.lines([f"{pushed.remote} has everything"])
        return
    moves, tags = terminal.many(pushed.entries, "move"), terminal.many(pushed.tags, "tag")
    terminal.lines([f"pushed {moves} and {tags} to {pushed.remote}"])
    if told:
        terminal.note(told)
    else:
        publish_next(lock.git)


@click.command()
@option_format("text", "json")
@click.option(
    "--keep",
    type=click.Choice(["theirs", "ours"]),
    help="Which stays, where both have moved one pointer to different versions.",
)
def pull(keep: str | None, format: str) -> None:
    """Bring the remote's moves here; moves made here meanwhile come after them, and nothing is lost.

    Where both have moved one pointer to different versions nothing is changed, and both are shown: --keep decides.

    \b
    edgit pull
    edgit pull --keep theirs
    """
    lock = RepositoryLock(open_git())
    with lock.locked(from_tags=False) as repository:
        pulled = pull_moves(lock, repository, keep=keep, bound=LONG_TRANSFER)
    forget(lock.git)
    received, replayed, dropped = len(pulled.received), len(pulled.replayed), len(pulled.dropped)
    if format == "json":
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
    tell_notes(pulled.notes)
    if not received and not pulled.versions:
        terminal.lines([f"nothing new at {pulled.remote}"])
    else:
        moves, tags = terminal.many(received, "move"), terminal.many(pulled.versions, "tag")
        terminal.lines([f"received {moves} and {tags} from {pulled.remote}"])
    if replayed:
        terminal.lines(
            [f"{terminal.many(replayed, 'move')} of yours {'comes' if replayed == 1 else 'come'} after them"]
        )
        terminal.next_step("edgit push")
    if dropped:
        terminal.note(f"{terminal.many(dropped, 'move')} of yours said what is live already")
