"""After a change: push and publish where that is wanted, tell what was done, and say what comes next.

What only publishing needs is imported by it: a script that asks for one version must not wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import kv_to_publish, open_git
from edgit.commands.options import ChangeOptions
from edgit.errors import EdgitError, NotReached
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER
from edgit.remote.push import push
from edgit.repository.changes import ChangeOutcome, DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move
from edgit.repository.reading import Repository, read_repository
from resolver.errors import listed

if TYPE_CHECKING:
    from edgit.kv.conductor import Layout
    from edgit.kv.publish import Progress, PublishReport
    from edgit.kv.store import Kv


def move_pointers(
    options: ChangeOptions,
    verb: str,
    desire: Callable[[Repository], Sequence[DesiredPointer]],
    tell: Callable[[Repository, ChangeOutcome], None] = lambda _repository, _outcome: None,
) -> None:
    """Move what `desire` says of the repository, all or nothing, and tell it. `tell` has more to say about it."""
    lock = RepositoryLock(open_git())
    store = kv_to_publish(lock.git, options.publish, options.kv)
    with lock.locked() as repository:
        desired = desire(repository)
        outcome = move(lock, repository, desired, verb=verb, reason=options.reason, dry_run=options.dry_run)
        tell(repository, outcome)
    finish(lock.git, outcome, options.format, store=store)


def finish(git: Git, outcome: ChangeOutcome, format: str, *, store: Kv | None = None) -> None:
    """Tell what a change did, push and publish where that is wanted, and say what comes next.

    A remote that is away keeps nothing from KV where publishing was asked for: that is what production runs. It is the
    error all the same.
    """
    acted = bool(outcome.entries) and not outcome.dry_run
    pushed, away = False, None
    try:
        pushed = push_after(git) if acted else False
    except NotReached as error:
        if store is None:
            raise
        away = error
    if format == "text":
        tell_notes(outcome.notes)
        _tell_moves(outcome)
        if pushed:
            terminal.note(f"generation {outcome.generation}, pushed to {git.remote()}")
    report = None if store is None or outcome.dry_run else _publish_after(git, store, pushed, show=format == "text")
    if format == "json":
        terminal.document(shapes.of_outcome(outcome, pushed, report))
    elif report:
        tell_published(report)
    if away:
        raise away
    if acted and format == "text":
        _tell_next(git, outcome, pushed, published=report is not None)


def _tell_moves(outcome: ChangeOutcome) -> None:
    """One line for each pointer."""
    would = "would move: " if outcome.dry_run else ""
    text = [
        f"{would}{move.component} {move.environment}: {move.before or 'none'} -> {move.after or 'none'}"
        for move in outcome.moved
    ]
    text += [f"{each.component} {each.environment}: {each.version or 'none'} already" for each in outcome.unchanged]
    terminal.lines(text)


def _tell_next(git: Git, outcome: ChangeOutcome, pushed: bool, *, published: bool) -> None:
    canaries = [each.component for each in outcome.moved if each.environment.endswith("-canary") and each.after]
    if canaries:
        terminal.note(f"how many requests the canary takes is said in KV: edgit canary get {canaries[0]}")
    if git.remote() and not pushed:
        terminal.next_step("edgit push")
    elif not published:
        publish_next(git)


def tell_notes(notes: Sequence[str]) -> None:
    """What was done besides."""
    for text in notes:
        terminal.note(text)


# Pushing


def push_after(git: Git) -> bool:
    """Push what was just moved, where `edgit.autoPush` says so. Whether there was something to push."""
    if not git.flag("edgit.autoPush") or git.remote() is None:
        return False
    try:
        pushed = push(read_repository(git, from_tags=False))
    except EdgitError as error:
        hint = f"next: edgit push, once {git.remote()} answers" if isinstance(error, NotReached) else error.hint
        raise type(error)(f"moved here, and not pushed: {error.detail}", hint=hint) from None
    if not pushed.nothing and (told := start_workflow(git)):
        terminal.note(told)
    return not pushed.nothing


def start_workflow(git: Git) -> str | None:
    """Start the workflow that publishes, where `edgit.workflow` names one; what to say about it."""
    if git.config("edgit.workflow") is None:
        return None
    from edgit.remote import workflow  # noqa: PLC0415

    return workflow.dispatch(git)


# Publishing


def publish_next(git: Git) -> None:
    """Say how what was moved comes to the edge."""
    if git.config("edgit.workflow"):
        return
    target = git.config("edgit.kv")
    terminal.next_step(f"edgit publish --kv {target or 'local|cloudflare'}, or let the workflow do it")


def _publish_after(git: Git, store: Kv, pushed: bool, *, show: bool) -> PublishReport:
    try:
        return publish_ledger(git, store, show=show)
    except EdgitError as error:
        moved = "moved here and pushed" if pushed else "moved here"
        raise type(error)(f"{moved}, and not published: {error.detail}", hint=error.hint) from None


def publish_ledger(
    git: Git,
    kv: Kv,
    *,
    replace: bool = False,
    full: bool = False,
    dry_run: bool = False,
    show: bool = True,
    announce: str | None = None,
    layout: str | None = None,
) -> PublishReport:
    """Publish the ledger, with a bar at a terminal, and announce it at the URL. The settings edgit.announce and
    edgit.layout count where these are not given."""
    from edgit.kv.publish import publish  # noqa: PLC0415
    from edgit.kv.source import read_ledger_source  # noqa: PLC0415

    url = announce or git.config("edgit.announce")
    if url:
        from edgit.kv.announce import announcer_for  # noqa: PLC0415
    source = read_ledger_source(git, git.ref(LEDGER))
    with _progress_bar(show=show) as progress:
        return publish(
            source,
            kv,
            progress=progress,
            dry_run=dry_run,
            replace=replace,
            full=full,
            announcer=announcer_for(url) if url else None,
            layout=_layout(layout or git.config("edgit.layout")),
        )


def _layout(named: str | None) -> Layout | None:
    from edgit.kv.conductor import LAYOUTS  # noqa: PLC0415

    if named is not None and named not in LAYOUTS:
        raise EdgitError(f"edgit.layout is `{named}`; there are {listed(LAYOUTS)}", hint="git config edgit.layout NAME")
    return next((layout for layout in LAYOUTS if layout == named), None)


@contextmanager
def _progress_bar(*, show: bool) -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not (show and sys.stderr.isatty()),
    ) as bar:
        task = bar.add_task("publishing", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


def tell_published(report: PublishReport) -> None:
    """What a publish did, and when the edge shows it."""
    for text in report.warnings:
        terminal.warn(text)
    if report.nothing:
        terminal.lines([f"{report.target} has generation {report.generation} already; nothing to publish"])
        if report.announced:
            terminal.note(f"it was not announced yet at {report.announced}, and is now")
        return
    written = ", ".join(_count(number, kind) for kind, number in report.written.items() if number)
    verb = "would write" if report.dry_run else "published"
    terminal.lines([f"{verb} generation {report.generation} to {report.target}: {written} ({report.seconds:.1f} s)"])
    if report.announced:
        terminal.note(f"announced at {report.announced}: busy isolates show it within two seconds or so")
    elif not report.dry_run:
        terminal.note(shown_when(report.target))


_ONE = {"contents": "content", "indexes": "index", "histories": "history"}


def _count(number: int, kind: str) -> str:
    if kind == "slots":
        return f"{number:,} of Conductor's keys"
    return "the map" if kind == "map" else f"{number:,} {_ONE.get(kind, kind) if number == 1 else kind}"


def shown_when(name: str) -> str:
    """When the edge shows what was just written to a KV of this name."""
    if name.startswith("Cloudflare"):
        return "busy isolates show it 5 s after KV does, which takes up to a minute; quiet ones a request or two later"
    return "a busy edge shows it within 5 s, a quiet one at its next request or the one after"
