"""`edgit tag`: make versions, list them, and bring lost ones back."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click

from edgit import terminal
from edgit.commands.context import locked_up_to_date, open_git, open_repository
from edgit.commands.groups import Group
from edgit.commands.options import ChangeOptions, Version, argument_component, change_options, complete, option_format
from edgit.commands.results import finish
from edgit.components.keys import key_to_make
from edgit.errors import EdgitError, Refused
from edgit.git.process import Git
from edgit.ledger.history import Withdrawal
from edgit.repository.catalog import known, read_catalog, versions_of
from edgit.repository.caution import read_withdrawals
from edgit.repository.changes import ChangeOutcome
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository, read_past
from edgit.repository.versions import create_version, refuse_content, restore_version
from resolver.errors import listed
from resolver.instant import format_instant

Row = tuple[str, str, datetime | None, str | None, list[str], Withdrawal | None]
"""A component, a version, when and by whom it was made, where it is live, and whether it is withdrawn."""


@click.group(cls=Group)
def tag() -> None:
    """Make and list versions."""


@tag.command("create")
@argument_component("component")
@click.argument("version", type=Version())
@click.argument("revision", required=False)
@click.option("--message", "-m", metavar="TEXT", help="What this version brings; the tag's message.")
@click.option("--as-is", is_flag=True, help="Also with conflict markers in it, or a pointer of Git LFS.")
@change_options
def tag_create(
    component: str, version: str, revision: str | None, message: str | None, as_is: bool, options: ChangeOptions
) -> None:
    """Make VERSION of COMPONENT, from the file as it is, or as it was at REVISION.

    A file with changes that are not committed yet is committed first, by itself, unless a merge or a rebase is under
    way. A version never changes. A file that KV cannot hold is refused: it must be UTF-8 text of at most 25 MiB.

    \b
    edgit tag create my-prompt v1.1.0 -m "shorter answers"
    edgit tag create my-prompt v1.0.1 HEAD~3
    """
    dry_run = options.dry_run
    lock = RepositoryLock(open_git())
    committed = False
    with locked_up_to_date(lock) as repository:
        component = known(repository, component)
        text = message or f"{component} {version}"
        if revision is None and version not in versions_of(repository, component):
            committed = _commit_file(repository, component, version, text, as_is=as_is, dry_run=dry_run)
        commit = _needed_commit(lock.git, revision)
        outcome = create_version(lock, repository, component, version, commit, text, as_is=as_is, dry_run=dry_run)
        component = key_to_make(component, repository.types)
    if options.format == "text":
        made = "would make" if dry_run else "made"
        done = (
            f"{component} {version} exists already, from the same file"
            if outcome.unchanged
            else f"{made} {component} {version}"
        )
        terminal.lines([f"{done} ({commit[:10]})"])
        outcome = ChangeOutcome(outcome.entries, (), outcome.notes, dry_run)
    finish(lock.git, outcome, options.format)
    branch = lock.git.attempt("symbolic-ref", "--quiet", "--short", "HEAD").stdout.decode().strip()
    if committed and branch and options.format == "text" and (remote := lock.git.remote()):
        # The tag takes its commit along; the branch, which others pull, is the user's own to push.
        terminal.next_step(f"git push {remote} {branch}")


def _needed_commit(git: Git, revision: str | None) -> str:
    commit = git.commit_of(revision or "HEAD")
    if commit is not None:
        return commit
    if revision is not None:
        raise EdgitError(f"git knows no commit `{revision}`")
    raise EdgitError("there is no commit yet", hint="next: git add . && git commit")


def _commit_file(
    repository: Repository, component: str, version: str, message: str, *, as_is: bool, dry_run: bool
) -> bool:
    """Commit a component's file where it has changes, and nothing else with it; whether it was committed. Raises
    `Refused`, with index and files as they were, where the file or the work tree is in the middle of something."""
    git = repository.git
    file = read_catalog(repository).components.get(component)
    if git.bare:
        return False
    if file is None:
        raise EdgitError(
            f"`{component}` has no file here, and a version is made of the file as it is",
            hint=f"next: bring it back, or name a commit that has it: edgit tag create {component} {version} HEAD",
        )
    if file.others:
        raise Refused(
            f"`{component}` is the name of several files: {listed([file.path, *file.others])}",
            hint="name the one that is meant in .edgit/components.json",
        )
    pathspec = f":(top,literal){file.path}"
    changed = git.run("status", "--porcelain", "--", pathspec)
    if not changed:
        return False
    _refuse_unsettled(git, file.path, pathspec, f"edgit tag create {component} {version} HEAD")
    with suppress(OSError):
        refuse_content(file.path, (git.root / file.path).read_bytes(), as_is=as_is)
    if dry_run:
        terminal.note(f"would commit {file.path}, which has changes")
        return False
    git.identity()
    new = changed.startswith(b"??")
    # Git commits no file that it has never heard of. Of one that it knows, this leaves the index as it is.
    git.run("add", "--intent-to-add", "--", pathspec)
    done = git.attempt("commit", "--quiet", "--only", "-m", message, "--", pathspec)
    if done.returncode:
        if new:
            git.attempt("reset", "--quiet", "--", pathspec)
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or "a hook refused it, and said nothing"
        raise EdgitError(
            f"{file.path} has changes, and git does not commit them: {said}\nno version was made",
            hint=f"next: mend that, or commit the file yourself, then: edgit tag create {component} {version}",
        )
    # A hook that reformats the file has added it to the index of the commit, which is not the user's own.
    git.run("reset", "--quiet", "--", pathspec)
    terminal.note(f"committed {file.path}, which had changes, as {git.text('rev-parse', '--short', 'HEAD')}")
    return True


#: What git keeps in its folder while it is in the middle of something.
_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


def _refuse_unsettled(git: Git, path: str, pathspec: str, at_head: str) -> None:
    """Raises `Refused` where a commit of this file would end, or become a part of, something that is under way."""
    otherwise = f"or make the version of what is committed: {at_head}"
    if git.run("ls-files", "--unmerged", "--", pathspec):
        raise Refused(
            f"{path} is in the middle of a merge: git has several versions of it",
            hint=f"next: settle it, then git add {path} and commit; {otherwise}",
        )
    folder = Path(git.text("rev-parse", "--absolute-git-dir"))
    for name, doing in _UNDER_WAY.items():
        if (folder / name).exists():
            raise Refused(
                f"a {doing} is under way, and {path} has changes: a commit now would become a part of it",
                hint=f"next: finish or abort the {doing}; {otherwise}",
            )


@tag.command("list")
@argument_component("component", required=False)
@option_format("text", "json")
def tag_list(component: str | None, format: str) -> None:
    """List the versions of COMPONENT, or of all, the highest first.

    \b
    edgit tag list my-prompt
    edgit tag list --format json
    """
    rows = _rows(open_repository(), component)
    if format == "json":
        terminal.document(
            [
                {
                    "component": name,
                    "version": version,
                    "at": format_instant(at) if at else None,
                    "actor": actor,
                    "environments": environments,
                    "withdrawn": withdrawn
                    and {"at": format_instant(withdrawn.at), "actor": withdrawn.actor, "reason": withdrawn.reason},
                }
                for name, version, at, actor, environments, withdrawn in rows
            ]
        )
        return
    columns = ["component", "version", "made", "by", "live in"]
    shown = [
        [name, version, terminal.when(at), terminal.who(actor), ", ".join(environments)]
        for name, version, at, actor, environments, _ in rows
    ]
    if any(row[-1] for row in rows):
        columns.append("withdrawn")
        for cells, row in zip(shown, rows, strict=True):
            cells.append(str(row[-1]).removeprefix("was withdrawn ") if row[-1] else "")
    first = 1 if component else 0
    terminal.table(columns[first:], [row[first:] for row in shown], f"{component or 'nothing here'} has no version yet")


def _rows(repository: Repository, component: str | None) -> list[Row]:
    if component:
        versions = {known(repository, component): versions_of(repository, component)}
    else:
        versions = dict(sorted(read_catalog(repository).versions.items()))
    born = {
        (created.component, created.version): (at, actor)
        for entry in read_past(repository)
        for created, at, actor in entry.creations
    }
    withdrawn = read_withdrawals(repository)
    rows: list[Row] = []
    for name, found in versions.items():
        live: dict[str, list[str]] = {}
        for environment, version in repository.environments(name).items():
            live.setdefault(version, []).append(environment)
        rows += [
            (name, v, *born.get((name, v), (None, None)), live.get(v, []), withdrawn.get((name, v))) for v in found
        ]
    return rows


@tag.command("restore")
@argument_component("component")
@click.argument("version", type=Version(), shell_complete=complete("version"))
@change_options
def tag_restore(component: str, version: str, options: ChangeOptions) -> None:
    """Bring back the tag of a version that was deleted or moved; the ledger still has its file.

    \b
    edgit tag restore my-prompt v1.0.0
    """
    lock = RepositoryLock(open_git())
    with locked_up_to_date(lock) as repository:
        component = known(repository, component)
        outcome = restore_version(lock, repository, component, version, dry_run=options.dry_run)
    if options.format == "text" and outcome.unchanged:
        terminal.lines([f"{component} {version} is there"])
        return
    finish(lock.git, outcome, options.format)
