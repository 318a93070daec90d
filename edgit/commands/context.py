"""Where a command works: the repository of the current folder, its settings, and the KV that is meant.

What only publishing needs is imported by it: a script that asks for one version must not wait for it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgit import terminal
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.repository.reading import Repository, read_repository

if TYPE_CHECKING:
    from edgit.kv.store import Kv

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
    """The repository as it is, with a word about what other tools have moved in it."""
    repository = read_repository(open_git())
    _tell_drift(repository)
    return repository


def _tell_drift(repository: Repository) -> None:
    """Say where tags and ledger differ, and which tags mean nothing where there is no ledger yet."""
    text = []
    for found in repository.drift.unrecorded_moves:
        said = found.meaning.version or f"something unclear: {found.meaning.problem}"
        decide = f"deploy set {found.component} VERSION --to {found.environment}"
        text.append(
            f"components/{found.component}/{found.environment} was moved by another tool to {said}; "
            f"the ledger says {found.recorded or 'none'}. Next: edgit {'adopt' if found.meaning.version else decide}"
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
    if repository.tip is None and repository.git.remote() and not repository.tags.components():
        terminal.note("this clone has neither ledger nor tags; if others move components here: edgit pull")


def now() -> datetime:
    """This machine's clock, in whole seconds as git has them."""
    return datetime.now(UTC).replace(microsecond=0)


def at_terminal() -> bool:
    """Whether somebody is there to be asked."""
    # A stream that is closed is None.
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def kv_target(git: Git, given: str | None) -> str | None:
    """The KV that is meant: as given, else the setting `edgit.kv`."""
    return given or git.config("edgit.kv")


def needed_kv(git: Git, given: str | None) -> str:
    """The same. Raises `EdgitError` where none is named."""
    target = kv_target(git, given)
    if target is None:
        raise EdgitError(
            "no KV is named", hint="next: add --kv local or --kv cloudflare, or set it: git config edgit.kv cloudflare"
        )
    return target


def kv_to_publish(git: Git, publish: bool, kv: str | None) -> Kv | None:
    """The KV that a move is published to at once; None where that is not asked for. `--kv` asks for it too.

    Opened before anything is moved: what is missing for it is then told while nothing has happened yet.
    """
    if not (publish or kv):
        return None
    from edgit.kv.targets import open_kv  # noqa: PLC0415

    return open_kv(needed_kv(git, kv))
