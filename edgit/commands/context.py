"""Where a command works: the repository of the current folder, its settings, and the KV that is meant.

What only publishing needs is imported by it: a script that asks for one version must not wait for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgit import terminal
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.repository.reading import Repository, read_repository

if TYPE_CHECKING:
    from edgit.kv.store import Kv
    from edgit.repository.lock import RepositoryLock

#: Where a command notes that it was given `--offline`.
OFFLINE = "edgit.offline"
#: Of so many tags that differ from the ledger each is told by itself.
_TOLD_AT_MOST = 20


def open_git() -> Git:
    """The repository of the current folder."""
    return Git.open(Path.cwd())


def open_git_or_none() -> Git | None:
    """The repository of the current folder, if there is one."""
    try:
        return open_git()
    except EdgitError:
        return None


def open_repository() -> Repository:
    """The repository as it is, brought up to date with the remote where that is quick, with a word about what may be
    live besides, and about what other tools have moved in it."""
    from edgit.remote.freshness import refresh, told_offline  # noqa: PLC0415

    if is_offline():
        repository = read_repository(open_git())
        warnings, behind = told_offline(repository), False
    else:
        found = refresh(open_git())
        repository, warnings, behind = found.repository, found.warnings, found.behind
        for line in found.notes:
            terminal.note(line)
    for line in warnings:
        terminal.warn(line)
    _tell_drift(repository, behind=behind)
    return repository


@contextmanager
def locked_up_to_date(lock: RepositoryLock) -> Iterator[Repository]:
    """The repository, locked, with the moves that the remote has: what is moved here comes after them."""
    from edgit.remote.freshness import bring_up_to_date  # noqa: PLC0415

    with lock.locked() as repository:
        yield repository if is_offline() else bring_up_to_date(lock, repository)


def is_offline() -> bool:
    """Whether no remote is to be asked: by `--offline`, or by EDGIT_OFFLINE."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(OFFLINE)) or os.environ.get("EDGIT_OFFLINE", "") not in ("", "0")


def _tell_drift(repository: Repository, *, behind: bool) -> None:
    """Say where tags and ledger differ, and which tags mean nothing where there is no ledger yet. A tag that looks
    strange to a clone that is `behind` may be of a move that the remote has."""
    text = []
    for found in repository.drift.unrecorded_moves:
        said = found.meaning.version or f"something unclear: {found.meaning.problem}"
        decide = f"deploy set {found.component} VERSION --to {found.environment}"
        whose = "elsewhere" if behind else "by another tool"
        following = "pull" if behind else "adopt" if found.meaning.version else decide
        text.append(
            f"components/{found.component}/{found.environment} was moved {whose} to {said}; "
            f"the ledger says {found.recorded or 'none'}. Next: edgit {following}"
        )
    for stale in repository.drift.stale_tags:
        removed = f" (if it was to go: edgit deploy unset {stale.component} --from {stale.environment})"
        text.append(
            f"the tag components/{stale.component}/{stale.environment} is behind the ledger, which says "
            f"{stale.version or 'none'}; the next command that moves something, or edgit pull, brings it up"
            + ("" if stale.found else removed)
        )
    if repository.tip is None:
        from edgit.repository.problems import unclear_tags  # noqa: PLC0415

        text += [
            f"the tag components/{component}/{environment} means no version: {problem}. "
            f"Next: edgit deploy set {component} VERSION --to {environment}"
            for component, environment, problem in unclear_tags(repository)
        ]
    for line in text[:_TOLD_AT_MOST]:
        terminal.warn(line)
    if len(text) > _TOLD_AT_MOST:
        terminal.warn(f"and {len(text) - _TOLD_AT_MOST} more such tags")


def now() -> datetime:
    """This machine's clock, in whole seconds as git has them."""
    return datetime.now(UTC).replace(microsecond=0)


def at_terminal() -> bool:
    """Whether somebody is there to be asked."""
    # A stream that is closed is None.
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def kv_target(git: Git, given: str | None) -> str | None:
    """The KV that is meant: as given, else the setting `edgit.kv`, whose path is one in the repository."""
    from edgit.kv.record import setting_here  # noqa: PLC0415

    setting = git.config("edgit.kv")
    return given or (setting and setting_here(setting, git.root, Path.cwd(), os.environ))


def needed_kv(git: Git, given: str | None) -> str:
    """The same. Raises `EdgitError` where none is named."""
    target = kv_target(git, given)
    if target is None:
        raise EdgitError(
            "no KV is named", hint="next: add --kv local or --kv cloudflare, or set it: git config edgit.kv cloudflare"
        )
    return target


def kv_to_publish(git: Git, publish: bool | None, kv: str | None) -> Kv | None:
    """The KV that a move is published to at once; None where that is not asked for. `--kv` asks for it too.

    Opened before anything is moved: what is missing for it is then told while nothing has happened yet.
    """
    if publish is False or not (publish or kv):
        return None
    from edgit.kv.targets import open_kv  # noqa: PLC0415

    return open_kv(needed_kv(git, kv))
