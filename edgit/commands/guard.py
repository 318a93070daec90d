"""`edgit guard`: watch a version after a move, and roll back.

Whatever keeps the watch from beginning ends with the exit code `NOT_BEGUN`, and whatever breaks it off with 2. The code
1 says that something was rolled back.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from edgit import terminal, webhooks
from edgit.commands import shapes
from edgit.commands.context import kv_target, needed_kv, open_git, open_repository
from edgit.commands.options import complete, option_environment, option_format, option_kv
from edgit.commands.results import publish_ledger, push_after
from edgit.commands.served import find_served, tell_served
from edgit.errors import EdgitError, NotReached, Refused
from edgit.guard import metrics, watch
from edgit.guard.judgement import Verdict
from edgit.guard.readings import NOT_BEGUN, InvalidWatch, Subject
from edgit.guard.rules import WatchRules, every_of
from edgit.kv.comparison import read_map
from edgit.kv.store import Kv
from edgit.kv.targets import open_kv
from edgit.ledger.history import moves_of
from edgit.remote.pull import pull
from edgit.repository.catalog import known, live_in
from edgit.repository.changes import DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move
from edgit.repository.reading import Repository, read_live, read_past, read_repository
from edgit.repository.rollback import needed_rollback_version
from edgit.repository.serving import Serving
from resolver.documents import VERSION_MAP
from resolver.errors import ResolverError
from resolver.version import canonical


class WatchBroke(EdgitError):
    """The watch broke off and moved nothing: it could not tell."""

    exit_code = int(Verdict.UNKNOWN)


class NotBegun(click.UsageError):
    """A command line that is not understood, and so watches nothing."""

    exit_code = NOT_BEGUN


class Watching(click.Command):
    """A command whose line, where it is not understood, begins no watch either."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise NotBegun(error.format_message(), error.ctx) from None


class Rate(click.ParamType[float]):
    """A rate from 0 to 1: 0.01, or 1%."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number, sign, rest = str(value).strip().partition("%")
        try:
            found = float(number) / (100 if sign else 1)
        except ValueError:
            found = math.nan
        if rest or math.isnan(found):
            self.fail(f"`{value}` is no rate: 0.01, or 1%", param, ctx)
        return found


@dataclass(frozen=True, slots=True)
class GuardPlan:
    """What a guard does on a breach, found before it watches."""

    subject: Subject
    #: The version that a rollback goes to; None to end a canary.
    target: str | None
    #: The command that rolls back by hand.
    by_hand: str
    caution: str | None
    reason: str | None


@click.command(cls=Watching)
@click.argument("reference", metavar="NAME[@VERSION]", shell_complete=complete("reference"))
@option_environment("--from", default="prod", help="Where it is live.")
@click.option(
    "--metrics",
    "url",
    metavar="URL",
    required=True,
    help="Where the figures are; {component}, {environment} and {version} are filled in.",
)
@click.option("--threshold", type=Rate(), required=True, help="The highest error rate that is good: 1% or 0.01.")
@click.option("--window", type=float, default=60.0, show_default=True, help="How long to watch, in seconds.")
@click.option("--min-requests", type=int, default=20, show_default=True, help="Of fewer requests nothing can be told.")
@click.option("--every", type=float, help="Seconds between readings; 5, or less in a short window.")
@click.option("--settle", type=float, default=0.0, show_default=True, help="Seconds to wait before the first reading.")
@click.option(
    "--canary", is_flag=True, help="Watch the canary's version by its own figures, and end the canary on a breach."
)
@click.option("--json-path", metavar="EXPR", help="JSON: where the error rate is.")
@click.option("--errors-path", metavar="EXPR", help="JSON: where the count of errors is.")
@click.option("--requests-path", metavar="EXPR", help="JSON: where the count of requests is.")
@click.option("--errors", metavar="SELECTOR", help="Prometheus: the counters of errors.")
@click.option("--requests", metavar="SELECTOR", help="Prometheus: the counters of requests.")
@click.option("--watch-only", is_flag=True, help="Tell a breach, and move nothing.")
@click.option("--reason", "-m", metavar="TEXT", help="Kept in the ledger if it comes to a rollback.")
@option_kv()
@option_format("text", "json")
def guard(
    reference: str,
    environment: str,
    url: str,
    threshold: float,
    window: float,
    min_requests: int,
    every: float | None,
    settle: float,
    canary: bool,
    watch_only: bool,
    reason: str | None,
    kv: str | None,
    format: str,
    **figures: str | None,
) -> None:
    """Watch a version that was just deployed; on a breach roll back and publish.

    Exits 0 good, 1 breach (rolled back), 2 could not tell, 5 breach and the rollback failed, 6 it could not begin. No
    data is neither good nor bad. docs/guard.md has the formats. With VERSION it begins only if that is what is live.

    \b
    edgit guard my-prompt --metrics https://metrics.example.com/error-rate --threshold 1%
    edgit guard my-prompt@v1.1.0 --canary --threshold 1% --metrics https://prom.example.com/metrics \\
      --errors 'errors_total{version="{version}"}' --requests 'requests_total{version="{version}"}'
    """
    with _told_as(InvalidWatch):
        repository = open_repository()
        name, version = _name_and_version(reference)
        component = known(repository, name)
        subject = _subject(repository, component, environment, version, canary=canary)
        rules = WatchRules(threshold, window, min_requests, every_of(window) if every is None else every, settle)
        source = metrics.source(url, subject, token=os.environ.get("EDGIT_METRICS_TOKEN"), **figures)
        # Asked before the watch: a guard that finds out only then that it cannot publish guards nothing.
        target = kv_target(repository.git, kv) if watch_only else needed_kv(repository.git, kv)
        store = None if target is None else open_kv(target)
        plan = _plan(repository, subject, rules, source, store, reason, watch_only=watch_only)
    for caution in _cautions(plan, store):
        terminal.warn(caution)
    if format == "text":
        terminal.note(f"watching {subject} at {source.shown} for {window:g} s; Ctrl-C ends it and moves nothing")
    with _told_as(WatchBroke), _failure_told(subject):
        outcome = watch.guard(
            subject,
            rules,
            read=lambda: metrics.read(source),
            live=lambda: _read_live_version(subject, store),
            roll_back=None if store is None or watch_only else lambda: _roll_back(plan, store),
            by_hand=plan.by_hand,
            show=lambda step: click.echo(watch.line(step), err=True),
        )
    if outcome.verdict is Verdict.BREACH:
        _tell_breach(subject, outcome.reason, outcome.rolled_back)
    served = find_served(repository.git, {component: subject.version}, store) if outcome.rolled_back else []
    if format == "json":
        terminal.document({**shapes.of_watch(subject, rules, outcome), "still_served": shapes.plain(served)})
    else:
        _tell_outcome(outcome, served, plan.by_hand if watch_only else None)
    raise click.exceptions.Exit(outcome.exit_code)


def _cautions(plan: GuardPlan, store: Kv | None) -> Iterator[str]:
    """What there is to know before the watch."""
    if plan.caution:
        yield plan.caution
    if store is None:
        yield f"no KV is named: whether requests run {plan.subject.version} was not looked at; --kv says where"


def _tell_outcome(outcome: watch.WatchOutcome, served: Sequence[Serving], by_hand: str | None) -> None:
    """What a watch came to; `by_hand` is the command for a breach that was only watched."""
    terminal.lines([outcome.reason, *([outcome.rolled_back] if outcome.rolled_back else [])])
    if outcome.verdict is Verdict.BREACH and by_hand:
        terminal.next_step(by_hand)
    tell_served(served)


@contextmanager
def _failure_told(subject: Subject) -> Iterator[None]:
    """A rollback that failed is what somebody has to hear of now."""
    try:
        yield
    except watch.RollBackFailed as error:
        _tell_breach(subject, error.detail, None)
        raise


def _tell_breach(subject: Subject, reason: str, rolled_back: str | None) -> None:
    said = {
        "component": subject.component,
        "environment": subject.pointer,
        "version": subject.version,
        "reason": reason,
        "rolled_back": rolled_back,
    }
    for warning in webhooks.tell(open_git(), "breach", said):
        terminal.warn(warning)


@contextmanager
def _told_as(kind: type[EdgitError]) -> Iterator[None]:
    """Whatever goes wrong is of this kind, but for a rollback that failed."""
    try:
        yield
    except watch.RollBackFailed:
        raise
    except EdgitError as error:
        raise kind(error.detail, hint=error.hint) from None
    except (ResolverError, OSError) as error:
        raise kind(str(error)) from None


def _name_and_version(reference: str) -> tuple[str, str | None]:
    name, at, version = reference.partition("@")
    return name, canonical(version) if at else None


def _subject(repository: Repository, component: str, environment: str, wanted: str | None, *, canary: bool) -> Subject:
    """The version to watch. Raises `EdgitError` where nothing is live, or another version than is wanted."""
    pointer = f"{environment}-canary" if canary else environment
    version = repository.state.version(component, pointer)
    if version is None:
        raise EdgitError(f"{component} has nothing live in {pointer}; {live_in(repository, component)}")
    if wanted not in (None, version):
        raise EdgitError(f"{component} is at {version} in {pointer}, and not at {wanted}")
    return Subject(component, environment, version, canary)


def _plan(
    repository: Repository,
    subject: Subject,
    rules: WatchRules,
    source: metrics.MetricsSource,
    store: Kv | None,
    reason: str | None,
    *,
    watch_only: bool,
) -> GuardPlan:
    """Everything that can be known before the watch. Raises `EdgitError` where it cannot begin."""
    component, pointer = subject.component, subject.pointer
    undo = "deploy unset" if subject.canary else "rollback"
    by_hand = f"edgit {undo} {component} --from {pointer}"
    if store is not None and (published := _read_live_version(subject, store)) != subject.version:
        raise Refused(
            f"{store.name} has {published or 'nothing'} for {component} {pointer}, and git {subject.version}: "
            "what is watched must be what requests run",
            hint="next: edgit publish, then guard again",
        )
    target = None if subject.canary or watch_only else _needed_target(repository, subject)
    last = next(iter(moves_of(read_past(repository), component, pointer)[::-1]), None)
    moved_ago = (datetime.now(UTC) - last.at).total_seconds() if last else None
    caution = None if moved_ago is None else watch.settling(subject, rules, moved_ago, own=source.own)
    return GuardPlan(subject, target, by_hand, caution, reason)


def _needed_target(repository: Repository, subject: Subject) -> str:
    """Where a rollback would go, found before the watch begins."""
    try:
        return needed_rollback_version(repository, subject.component, subject.environment)
    except EdgitError as error:
        raise EdgitError(error.detail, hint="add --watch-only, which tells a breach and moves nothing") from None


def _read_live_version(subject: Subject, store: Kv | None) -> str | None:
    """The version at the pointer now: this clone's, and KV's where another clone has moved it since."""
    here = read_live(open_git()).version(subject.component, subject.pointer)
    if here != subject.version or store is None:
        return here
    held = read_map(store.get_many([VERSION_MAP])[VERSION_MAP])
    return held.pointers.get(subject.component, {}).get(subject.pointer) if held else None


def _roll_back(plan: GuardPlan, store: Kv) -> str:
    """Move the pointer back, publish, and push where that is set. One sentence that says so."""
    subject, target = plan.subject, plan.target
    pointer = (subject.component, subject.pointer)
    git = open_git()
    lock = RepositoryLock(git)
    with lock.locked() as repository:
        if git.remote():
            # Somebody else may have moved it and not published yet. A remote that is away must not stop a roll-back.
            with suppress(NotReached):
                pull(lock, repository)
        move(
            lock,
            read_repository(git),
            [DesiredPointer(*pointer, target)],
            verb="guard",
            reason=plan.reason or f"error rate over the threshold with {subject.version}",
            expected={pointer: subject.version},
        )
    report = publish_ledger(git, store, show=False)
    for each in report.held_back:
        if (each.component, each.environment) == pointer:
            raise EdgitError(f"it was moved in git, and KV does not take it: {each}")
    unpushed = ""
    try:
        # After KV, which is what production runs.
        push_after(git)
    except NotReached:
        unpushed = f" It is not pushed: {git.remote()} did not answer; next: edgit push."
    except EdgitError as error:
        unpushed = f" It is not pushed: {error.detail}"
    became = f"is back at {target}" if target else "has ended"
    return (
        f"{subject.component} {subject.pointer} {became}, published to {store.name} as generation {report.generation}."
        + unpushed
    )
