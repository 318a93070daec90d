"""`edgit adopt`: put on record what other tools have tagged."""

from __future__ import annotations

import click

from edgit import terminal
from edgit.commands.context import locked_up_to_date, open_git
from edgit.commands.options import ChangeOptions, argument_component, change_options
from edgit.commands.results import finish, tell_notes
from edgit.repository.adoption import adopt as adopt_tags
from edgit.repository.catalog import known
from edgit.repository.lock import RepositoryLock
from edgit.repository.problems import read_problems


@click.command()
@argument_component("components", nargs=-1)
@change_options
def adopt(components: tuple[str, ...], options: ChangeOptions) -> None:
    """Put on record what other tools have tagged: pointers that they moved, versions that they made.

    \b
    edgit adopt --dry-run
    edgit adopt my-prompt
    """
    lock = RepositoryLock(open_git())
    with locked_up_to_date(lock) as repository:
        keys = [known(repository, name) for name in components]
        outcome = adopt_tags(lock, repository, keys, dry_run=options.dry_run)
        for problem in read_problems(repository):
            terminal.warn(problem)
    if options.format == "text" and not outcome.entries:
        tell_notes(outcome.notes)
        terminal.lines(["nothing to adopt: the ledger has every version and every move"])
        return
    if options.format == "text":
        count = sum(len(entry.changes) for entry in outcome.entries)
        would = "would put" if options.dry_run else "put"
        terminal.lines([f"{would} {count} {'tag' if count == 1 else 'tags'} on record"])
    finish(lock.git, outcome, options.format)
