"""Commands that watch: guard a version after a move, and drill the rollback."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import click
import httpx

from edgit import terminal
from edgit.commands.common import (
    argument_component,
    kv_target,
    live_in,
    needed_kv,
    open_git,
    open_world,
    option_environment,
    option_format,
    option_kv,
    publish_world,
    push_after,
)
from edgit.commands.moving import good_version
from edgit.errors import EdgitError, NotReached, Refused
from edgit.guard import metrics, watch
from edgit.guard.judgement import Verdict
from edgit.guard.readings import InvalidWatch, Subject
from edgit.guard.rules import WatchRules, every_of
from edgit.kv.comparison import read_map
from edgit.kv.store import Kv
from edgit.kv.targets import open_kv
from edgit.ledger.history import moves_of
from edgit.remote.pull import pull as pull_moves
from edgit.repository.changes import DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move as move_pointers
from edgit.repository.reading import Repository
from resolver.documents import VERSION_MAP


@click.command()
@argument_component("component")
@option_environment("--from", required=True, help="Where it is live.")
@click.option(
    "--metrics",
    "url",
    metavar="URL",
    required=True,
    help="Where the figures are; {component}, {environment} and {version} are filled in.",
)
@click.option("--threshold", type=float, required=True, help="The highest error rate that is good: 0.01 is 1 %.")
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
@option_kv
@option_format("text", "json")
def guard(
    component: str,
    environment: str,
    url: str,
    threshold: float,
    window: float,
    min_requests: int,
    every: float | None,
    settle: float,
    canary: bool,
    json_path: str | None,
    errors_path: str | None,
    requests_path: str | None,
    errors: str | None,
    requests: str | None,
    watch_only: bool,
    reason: str | None,
    kv: str | None,
    format: str,
) -> None:
    """Watch a version that was just deployed; on a breach roll back and publish.

    Exits 0 good, 1 breach (rolled back), 2 could not tell, 5 breach and the rollback failed. No data is neither good
    nor bad. docs/guard.md has the formats.

    \b
    edgit guard my-prompt --from prod --metrics https://metrics.example.com/error-rate --threshold 0.01
    edgit guard my-prompt --from prod --canary --threshold 0.01 --metrics https://prom.example.com/metrics \\
      --errors 'errors_total{version="{version}"}' --requests 'requests_total{version="{version}"}'
    """
    with _could_not_tell():
        world = open_world()
        world.known(component)
        pointer = f"{environment}-canary" if canary else environment
        version = world.state.version(component, pointer)
        if version is None:
            raise EdgitError(f"{component} has nothing live in {pointer}; {live_in(world, component)}")
        subject = Subject(component, environment, version, canary)
        rules = WatchRules(threshold, window, min_requests, every_of(window) if every is None else every, settle)
        where = metrics.source(
            url,
            subject,
            json_path=json_path,
            requests_path=requests_path,
            errors_path=errors_path,
            errors=errors,
            requests=requests,
            token=os.environ.get("EDGIT_METRICS_TOKEN"),
        )
        git = world.git
        # Asked before the watch: a guard that finds out only then that it cannot publish guards nothing.
        store = None if watch_only else open_kv(needed_kv(git, kv))
        target = None if canary or watch_only else _way_back(world, component, environment)
        by_hand = (
            f"edgit deploy unset {component} --from {pointer}"
            if canary
            else f"edgit rollback {component} --from {pointer}"
        )
        if store is not None and (published := _live(component, pointer, version, store)) != version:
            raise Refused(
                f"{store.name} has {published or 'nothing'} for {component} {pointer}, and git {version}: "
                "what is watched must be what requests run",
                hint="next: edgit publish, then guard again",
            )
        caution = None
        if (moved := _moved_ago(world, component, pointer)) is not None:
            caution = watch.settling(subject, rules, moved, own=where.own)
    if caution:
        terminal.warn(caution)
    if format == "text":
        terminal.note(f"watching {subject} at {where.shown} for {window:g} s; Ctrl-C ends it and moves nothing")
    outcome = watch.guard(
        subject,
        rules,
        read=lambda: metrics.read(where),
        live=lambda: _live(component, pointer, version, store),
        roll_back=None if store is None else lambda: _roll_back(subject, target, store, reason),
        by_hand=by_hand,
        show=lambda step: click.echo(watch.line(step), err=True),
    )
    if format == "json":
        terminal.document(watch.as_json(subject, rules, outcome))
    else:
        terminal.lines([outcome.reason, *([outcome.rolled_back] if outcome.rolled_back else [])])
        if outcome.verdict is Verdict.BREACH and watch_only:
            terminal.next_step(by_hand)
    raise click.exceptions.Exit(outcome.exit_code)


@contextmanager
def _could_not_tell() -> Iterator[None]:
    """Nothing was watched: that must not end with the exit code of a breach, which is 1."""
    try:
        yield
    except EdgitError as error:
        if error.exit_code != Verdict.BREACH:
            raise
        raise InvalidWatch(error.detail, hint=error.hint) from None


def _way_back(world: Repository, component: str, environment: str) -> str:
    """Where a rollback would go, found before the watch begins."""
    try:
        return good_version(world, component, environment)
    except EdgitError as error:
        raise EdgitError(error.detail, hint="add --watch-only, which tells a breach and moves nothing") from None


def _moved_ago(world: Repository, component: str, pointer: str) -> float | None:
    last = next(iter(moves_of(world.entries, component, pointer)[::-1]), None)
    return (datetime.now(UTC) - last.at).total_seconds() if last else None


def _live(component: str, pointer: str, version: str, store: Kv | None) -> str | None:
    """The version at the pointer now: this clone's, and KV's where another clone has moved it since."""
    here = Repository(open_git()).state.version(component, pointer)
    if here != version or store is None:
        return here
    held = read_map(store.get_many([VERSION_MAP])[VERSION_MAP])
    return held.pointers.get(component, {}).get(pointer) if held else None


def _roll_back(subject: Subject, target: str | None, store: Kv, reason: str | None) -> str:
    """Move the pointer back, push where that is set, and publish. One sentence that says so."""
    git = open_git()
    at = RepositoryLock(git)
    with at.locked() as world:
        if git.remote():
            # Somebody else may have moved it and not published yet. A remote that is away must not stop a roll-back.
            with suppress(NotReached):
                pull_moves(at, world)
        move_pointers(
            at,
            Repository(git),
            [DesiredPointer(subject.component, subject.pointer, target)],
            verb="guard",
            reason=reason or f"error rate over the threshold with {subject.version}",
            expected={(subject.component, subject.pointer): subject.version},
        )
    unpushed = ""
    try:
        push_after(git)
    except NotReached:
        unpushed = f" It is not pushed: {git.remote()} did not answer; next: edgit push."
    report = publish_world(Repository(git), store, show=False)
    became = f"is back at {target}" if target else "has ended"
    return (
        f"{subject.component} {subject.pointer} {became}, published to {store.name} as generation {report.generation}."
        + unpushed
    )


@click.command()
@argument_component("component")
@option_environment("--environment", default="prod-drill", help="A throw-away one; it must be empty.")
@click.option("--url", metavar="URL", help="The edge: its /version is asked until it shows each step.")
@click.option(
    "--timeout", type=float, default=180.0, show_default=True, help="How long to wait for the edge, in seconds."
)
@option_kv
@option_format("text", "json")
def drill(component: str, environment: str, url: str | None, timeout: float, kv: str | None, format: str) -> None:
    """Practise a rollback on a throw-away environment, and time it.

    Deploys a good version and a "bad" one there, rolls back, and takes the environment away again. With a KV each step
    is published; with --url the edge is asked until it answers what was published.

    \b
    edgit drill my-prompt
    edgit drill my-prompt --kv local --url http://127.0.0.1:8787
    """
    git = open_git()
    world = open_world()
    world.known(component)
    if world.environments(component).get(environment):
        raise Refused(
            f"{component} has something live in {environment}; a drill wants an environment of its own",
            hint=f"if an earlier drill left it: edgit deploy unset {component} --from {environment}; "
            "otherwise name another with --environment",
        )
    versions = world.versions(component)
    if len(versions) < 2:
        raise EdgitError(
            f"a drill takes two versions, and {component} has {len(versions)}",
            hint=f"next: edgit tag create {component} v999.0.0",
        )
    live = world.state.version(component, "prod")
    good = live or versions[1]
    bad = next(version for version in versions if version != good)
    target = kv_target(git, kv)
    store = open_kv(target) if target else None
    steps: list[tuple[str, float]] = []

    def step(name: str, act: Callable[[RepositoryLock, Repository], object], shows: str | None) -> None:
        started = time.monotonic()
        at = RepositoryLock(git)
        with at.locked() as here:
            act(at, here)
        push_after(git)
        if store:
            publish_world(Repository(git), store, show=False)
        if url and store:
            _wait_for(url, component, environment, shows, timeout)
        steps.append((name, time.monotonic() - started))
        if format == "text":
            terminal.lines([f"{steps[-1][1]:7.2f} s  {name}"])

    def wish(version: str | None) -> Callable[[RepositoryLock, Repository], object]:
        return lambda at, here: move_pointers(at, here, [DesiredPointer(component, environment, version)], verb="drill")

    def back(at: RepositoryLock, here: Repository) -> object:
        found = good_version(here, component, environment)
        return move_pointers(
            at, here, [DesiredPointer(component, environment, found)], verb="drill", reason="roll back"
        )

    try:
        step(f"deployed {good}, the good version, to {environment}", wish(good), good)
        step(f"deployed {bad}, the bad one", wish(bad), bad)
        step(f"rolled back to {good}", back, good)
    except BaseException as error:
        url = None
        try:
            step(f"took {environment} away again", wish(None), None)
        except EdgitError:
            error.add_note(
                f"{environment} may be left somewhere; what takes it away: "
                f"edgit deploy unset {component} --from {environment}, edgit push, edgit publish"
            )
        raise
    step(f"took {environment} away again", wish(None), None)
    took = steps[2][1]
    seen = (
        f", until {url} answered it" if url and store else f", until {store.name} had it" if store else ", in git alone"
    )
    if format == "json":
        terminal.document(
            {
                "component": component,
                "environment": environment,
                "good": good,
                "bad": bad,
                "rollback_seconds": round(took, 3),
                "steps": [{"step": n, "seconds": round(s, 3)} for n, s in steps],
            }
        )
        return
    terminal.lines([f"the rollback took {took:.2f} s{seen}"])


def _wait_for(url: str, component: str, environment: str, version: str | None, timeout: float) -> None:
    """Ask the edge until it shows the version. Raises `NotReached`."""
    token = os.environ.get("RESOLVER_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    deadline = time.monotonic() + timeout
    seen: object = None
    with httpx.Client(base_url=url, headers=headers, timeout=10.0) as client:
        while time.monotonic() < deadline:
            try:
                answer = client.get("/version", params={"environment": environment, "component": component})
                seen = (
                    answer.json().get("components", {}).get(component)
                    if answer.status_code in (200, 404)
                    else answer.text
                )
            except (httpx.HTTPError, ValueError) as error:
                raise NotReached(f"{url} did not answer: {error}") from None
            if seen == version:
                return
            time.sleep(0.1)
    raise NotReached(f"{url} still shows {seen or 'nothing'} for {component} {environment} after {timeout:g} s")
