"""After a change: push and publish where that is wanted, tell what was done, and say what comes next.

What only publishing needs is imported by it: a script that asks for one version must not wait for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from edgit import terminal
from edgit.commands import shapes
from edgit.commands.context import at_terminal, is_offline, kv_to_publish, locked_up_to_date, open_git
from edgit.commands.options import ChangeOptions
from edgit.commands.served import find_served, tell_served
from edgit.errors import EdgitError, NotReached, Refused, Stopped
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER, instant
from edgit.ledger.history import published_pointers
from edgit.ledger.published import read_last_published, record_published
from edgit.remote.differences import unchosen_remotes
from edgit.remote.freshness import forget
from edgit.remote.push import share
from edgit.repository.changes import ChangeOutcome, DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move
from edgit.repository.reading import Repository
from resolver.errors import listed
from resolver.instant import format_instant

if TYPE_CHECKING:
    from edgit.kv.conductor import Layout
    from edgit.kv.publish import Progress, PublishReport
    from edgit.kv.store import Kv
    from resolver.snapshot import Pointers


#: How long the edge is asked whether it answers what was published, in seconds: KV's own delay and some more.
EDGE_WAIT = 120.0


@dataclass(frozen=True, slots=True)
class AfterMove:
    """What comes after a move besides: `share` pushes also without `edgit.autoPush`; `edge` is asked until it answers
    what was published. Of the versions that were `left` it is told what serves them still, and how long it took since
    `started` (by `time.monotonic`)."""

    share: bool = False
    edge: str | None = None
    left: Mapping[str, str] = field(default_factory=dict)
    started: float | None = None


#: How many pointers that are held back a command names.
_HELD_BACK_SHOWN = 20


def move_pointers(
    options: ChangeOptions,
    verb: str,
    desire: Callable[[Repository], Sequence[DesiredPointer]],
    tell: Callable[[Repository, ChangeOutcome], None] = lambda _repository, _outcome: None,
    after: Callable[[ChangeOutcome], AfterMove] = lambda _outcome: AfterMove(),
) -> None:
    """Move what `desire` says of the repository, all or nothing, and tell it. `tell` has more to say about it, and
    `after` says what comes then."""
    lock = RepositoryLock(open_git())
    store = kv_to_publish(lock.git, options.publish, options.kv)
    with locked_up_to_date(lock) as repository:
        desired = desire(repository)
        outcome = move(
            lock,
            repository,
            desired,
            verb=verb,
            reason=options.reason,
            dry_run=options.dry_run,
            confirmed=options.confirm,
            tell=None if options.dry_run or not at_terminal() else _ask,
        )
        tell(repository, outcome)
        then = after(outcome)
    finish(lock.git, outcome, options.format, store=store, then=then)


def _ask(caution: str) -> None:
    """Ask somebody at a terminal whether to go on. Raises `Refused`."""
    if not click.confirm(f"{caution}. Make it live all the same?", err=True):
        raise Refused("not confirmed; nothing was moved")


def finish(
    git: Git, outcome: ChangeOutcome, format: str, *, store: Kv | None = None, then: AfterMove | None = None
) -> None:
    """Tell what a change did, publish and push where that is wanted, and say what comes next.

    What was moved is told before any network is waited for. KV comes first, since production runs it, then the edge,
    then the remote: each is tried whatever became of the one before, and the first failure is the error.
    """
    then = then or AfterMove()
    show, acted = format == "text", bool(outcome.entries) and not outcome.dry_run
    if show:
        tell_notes(outcome.notes)
        _tell_moves(outcome)
    done = _Done(git, store is not None, then.share or git.flag("edgit.autoPush"))
    failed: list[EdgitError] = []
    if not outcome.dry_run:
        with done.left_told():
            if store is not None:
                _attempt(failed, lambda: done.publish(store, show=show))
            if then.edge and done.report:
                _attempt(failed, lambda: done.wait(str(then.edge), show=show))
            if acted or then.share:
                _attempt(failed, lambda: done.push(outcome, show=show))
    served = find_served(git, then.left, store) if then.left and not outcome.dry_run else []
    if show:
        tell_served(served)
        if then.started is not None and not outcome.dry_run:
            terminal.note(f"done in {time.monotonic() - then.started:.1f} s")
    else:
        document = shapes.of_outcome(outcome, done.pushed, done.report)
        terminal.document(
            {**document, "still_served": shapes.plain(served)} if then.left and not outcome.dry_run else document
        )
    if acted and outcome.moved:
        _tell_webhooks(git, outcome, done)
    for error in failed[1:]:
        terminal.warn(error.detail)
    if failed:
        raise failed[0]
    if show and acted:
        _tell_next(git, outcome, done.pushed, published=done.report is not None)
    fail_if_held_back(done.report)


def _tell_webhooks(git: Git, outcome: ChangeOutcome, done: _Done) -> None:
    from edgit.webhooks import tell  # noqa: PLC0415

    last = outcome.entries[-1]
    said = {
        **shapes.of_outcome(outcome, done.pushed, done.report),
        "actor": last.actor,
        "at": format_instant(last.at),
        "summary": last.summary,
        "reason": last.reason,
    }
    for warning in tell(git, "rollback" if last.summary.startswith("rollback:") else "move", said):
        terminal.warn(warning)


def _attempt(failed: list[EdgitError], step: Callable[[], None]) -> None:
    try:
        step()
    except EdgitError as error:
        failed.append(error)


@dataclass
class _Done:
    """The steps after a move, and how far they have come."""

    git: Git
    publishes: bool
    pushes: bool
    report: PublishReport | None = None
    pushed: bool = False
    seen: bool = False

    def publish(self, store: Kv, *, show: bool) -> None:
        if show and store.name.startswith("Cloudflare"):
            terminal.note(f"publishing to {store.name}")
        try:
            self.report = publish_ledger(self.git, store, show=show)
        except EdgitError as error:
            hint = f"next: edgit publish, once {store.name} answers" if isinstance(error, NotReached) else error.hint
            raise type(error)(f"moved here, and not published: {error.detail}", hint=hint) from None
        if show:
            tell_published(self.report)

    def wait(self, url: str, *, show: bool) -> None:
        from edgit import edge  # noqa: PLC0415

        assert self.report is not None
        if show:
            terminal.note(f"asking {url} until it answers from generation {self.report.generation}")
        with edge.connect(url) as client:
            took = edge.wait_until_published(client, self.report.generation, self.report.revision, timeout=EDGE_WAIT)
        self.seen = True
        if show:
            terminal.lines([f"{url} answers from generation {self.report.generation} (after {took:.1f} s)"])

    def push(self, outcome: ChangeOutcome, *, show: bool) -> None:
        if not self.pushes:
            return
        self.pushed = push_after(self.git, wanted=True)
        if show and self.pushed:
            generation = f"generation {outcome.generation}, " if outcome.generation else ""
            terminal.note(f"{generation}pushed to {self.git.remote()}")

    @contextmanager
    def left_told(self) -> Iterator[None]:
        """Ctrl-C says what was done, and what is left to do."""
        try:
            yield
        except KeyboardInterrupt:
            left = ["edgit publish"] if self.publishes and self.report is None else []
            left += ["edgit push"] if self.pushes and not self.pushed and self.git.remote() else []
            state = "published" if self.report else "not published"
            next_step = f"next: {', then '.join(left)}" if left else None
            raise Stopped(f"stopped: moved here, {state}", hint=next_step) from None


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
    if canaries and not published:
        terminal.note(f"a canary starts at 0 %, but for a percentage for all: edgit canary set {canaries[0]} 1")
    if git.remote() and not pushed:
        terminal.next_step("edgit push")
    elif not published:
        publish_next(git)


def tell_notes(notes: Sequence[str]) -> None:
    """What was done besides."""
    for text in notes:
        terminal.note(text)


# Pushing


def push_after(git: Git, *, wanted: bool = False) -> bool:
    """Push what was just moved, where that is wanted or `edgit.autoPush` says so. Whether there was something to
    push."""
    if is_offline() or not (wanted or git.flag("edgit.autoPush")):
        return False
    if git.remote() is None:
        if (several := unchosen_remotes(git)) and git.flag("edgit.autoPush"):
            terminal.warn(f"not pushed, though edgit.autoPush is on: {several}. Next: git config edgit.remote NAME")
        return False
    try:
        lock = RepositoryLock(git)
        pushed = share(lock)
        forget(git)
        tell_notes(lock.notes)
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
        report = publish(
            source,
            kv,
            progress=progress,
            dry_run=dry_run,
            replace=replace,
            full=full,
            announcer=announcer_for(url) if url else None,
            layout=_layout(layout or git.config("edgit.layout")),
            now=lambda: _clock(git),
            recorded=read_last_published(git, kv.record),
        )
    if report.change is not None:
        record_published(git, kv.record, kv.name, report.change)
    if report.changed and not dry_run:
        _tell_canaries(kv, report, published_pointers(source.state), show=show)
    return report


def _clock(git: Git) -> datetime:
    """Now, by the clock that dates the moves: what was published and what was set are told in one order."""
    try:
        return instant(git.identity()[2])
    except EdgitError:
        return datetime.now(UTC)


def _tell_canaries(kv: Kv, report: PublishReport, pointers: Pointers, *, show: bool) -> None:
    """End the percentages of canaries that have gone. What goes wrong here keeps nothing from being published."""
    from edgit.kv.rollout import after_publish  # noqa: PLC0415

    try:
        said = after_publish(kv, report.changed, pointers)
    except EdgitError as error:
        terminal.warn(f"the canaries' percentages could not be looked at: {error.detail}")
        return
    if show:
        tell_notes(said)


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


def _tell_held_back(report: PublishReport) -> None:
    from edgit.kv.quarantine import WAY_OUT  # noqa: PLC0415

    for each in report.held_back[:_HELD_BACK_SHOWN]:
        terminal.warn(str(each))
    if len(report.held_back) > _HELD_BACK_SHOWN:
        terminal.warn(f"and {len(report.held_back) - _HELD_BACK_SHOWN} more pointers are held back")
    if report.held_back:
        terminal.next_step(WAY_OUT)


def fail_if_held_back(report: PublishReport | None) -> None:
    """Exit 1 where a pointer was held back, after all else was done and told."""
    if report and report.held_back:
        raise click.exceptions.Exit(1)


def tell_published(report: PublishReport) -> None:
    """What a publish did, and when the edge shows it."""
    for text in report.warnings:
        terminal.warn(text)
    _tell_held_back(report)
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
