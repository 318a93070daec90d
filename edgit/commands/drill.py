"""`edgit drill`: practise a rollback on a throw-away environment, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from edgit import edge, terminal
from edgit.commands.context import kv_target, open_git, open_repository
from edgit.commands.options import argument_component, option_environment, option_format, option_kv
from edgit.commands.results import publish_ledger, push_after
from edgit.errors import EdgitError, Refused
from edgit.git.process import Git
from edgit.kv.store import Kv
from edgit.kv.targets import open_kv
from edgit.repository.catalog import known, versions_of
from edgit.repository.changes import DesiredPointer
from edgit.repository.lock import RepositoryLock
from edgit.repository.moves import move
from edgit.repository.reading import Repository
from edgit.repository.rollback import needed_rollback_version


@dataclass
class Drill:
    """A drill under way: where it works, and how long each step took in seconds."""

    git: Git
    component: str
    environment: str
    store: Kv | None
    #: The edge that is asked until it shows each step.
    url: str | None
    timeout: float
    show: Callable[[str], None]
    steps: list[tuple[str, float]] = field(default_factory=list)

    def step(
        self,
        name: str,
        version: str | None,
        choose: Callable[[Repository], str | None] | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        """Move the pointer, share that, and wait until it is seen; `choose` finds the version once the lock is held."""
        started = time.monotonic()
        lock = RepositoryLock(self.git)
        with lock.locked() as repository:
            to = choose(repository) if choose else version
            desired = [DesiredPointer(self.component, self.environment, to)]
            move(lock, repository, desired, verb="drill", reason=reason)
        push_after(self.git)
        if self.store:
            publish_ledger(self.git, self.store, show=False)
        if self.url and self.store:
            edge.wait_until_live(self.url, self.component, self.environment, version, timeout=self.timeout)
        took = time.monotonic() - started
        self.steps.append((name, took))
        self.show(f"{took:7.2f} s  {name}")

    def run(self, good: str, bad: str) -> None:
        """Deploy the good version and the bad one, roll back, and take the environment away, whatever happens."""
        away = f"took {self.environment} away again"
        try:
            self.step(f"deployed {good}, the good version, to {self.environment}", good)
            self.step(f"deployed {bad}, the bad one", bad)
            self.step(f"rolled back to {good}", good, self._rollback_version, reason="roll back")
        except BaseException as error:
            self.url = None
            try:
                self.step(away, None)
            except EdgitError:
                error.add_note(
                    f"{self.environment} may be left somewhere; what takes it away: "
                    f"edgit deploy unset {self.component} --from {self.environment}, edgit push, edgit publish"
                )
            raise
        self.step(away, None)

    def _rollback_version(self, repository: Repository) -> str:
        return needed_rollback_version(repository, self.component, self.environment)


@click.command()
@argument_component("component")
@option_environment("--environment", default="prod-drill", help="A throw-away one; it must be empty.")
@click.option("--url", metavar="URL", help="The edge: its /version is asked until it shows each step.")
@click.option(
    "--timeout", type=float, default=180.0, show_default=True, help="How long to wait for the edge, in seconds."
)
@option_kv()
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
    repository = open_repository()
    component = known(repository, component)
    good, bad = _choose_versions(repository, component, environment)
    target = kv_target(git, kv)
    store = open_kv(target) if target else None

    def show(line: str) -> None:
        if format == "text":
            terminal.lines([line])

    drill = Drill(git, component, environment, store, url, timeout, show)
    drill.run(good, bad)
    took = drill.steps[2][1]
    if format == "json":
        terminal.document(
            {
                "component": component,
                "environment": environment,
                "good": good,
                "bad": bad,
                "rollback_seconds": round(took, 3),
                "steps": [{"step": name, "seconds": round(seconds, 3)} for name, seconds in drill.steps],
            }
        )
        return
    seen = (
        f", until {url} answered it" if url and store else f", until {store.name} had it" if store else ", in git alone"
    )
    terminal.lines([f"the rollback took {took:.2f} s{seen}"])


def _choose_versions(repository: Repository, component: str, environment: str) -> tuple[str, str]:
    """A good version and a bad one. Raises `EdgitError` where a drill cannot begin."""
    if repository.environments(component).get(environment):
        raise Refused(
            f"{component} has something live in {environment}; a drill wants an environment of its own",
            hint=f"if an earlier drill left it: edgit deploy unset {component} --from {environment}; "
            "otherwise name another with --environment",
        )
    versions = versions_of(repository, component)
    if len(versions) < 2:
        raise EdgitError(
            f"a drill takes two versions, and {component} has {len(versions)}",
            hint=f"next: edgit tag create {component} v999.0.0",
        )
    good = repository.state.version(component, "prod") or versions[1]
    return good, next(version for version in versions if version != good)
