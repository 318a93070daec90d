"""`edgit rollback`: the one command of an incident.

It moves, publishes, sees it at the edge, pushes, and says what still serves the version that was bad.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import click

from edgit import terminal
from edgit.commands.completion import complete_reference
from edgit.commands.context import kv_target, open_git
from edgit.commands.deploy import each_once, named_version
from edgit.commands.options import ChangeOptions, Version, move_options, option_environment, option_former
from edgit.commands.results import AfterMove, move_pointers
from edgit.errors import EdgitError, NotUnderstood
from edgit.ledger.published import PublishedPast
from edgit.repository.catalog import known
from edgit.repository.changes import ChangeOutcome, DesiredPointer
from edgit.repository.published import read_published_past
from edgit.repository.reading import Repository
from edgit.repository.rollback import former_release, rollback_goal


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for. `named` are components, each with a version if one is given."""

    named: Sequence[tuple[str, str | None]]
    environment: str
    everywhere: bool = False
    if_current: str | None = None
    release: bool = False
    generation: int | None = None


@click.command()
@click.argument("components", nargs=-1, metavar="[NAME[@VERSION]]...", shell_complete=complete_reference)
@option_environment("--from", default="prod", help="Where.")
@click.option("--everywhere", is_flag=True, help="In every environment that has the version; canaries of it end.")
@click.option("--if-current", type=Version(), help="Only where this version is live: go back from that one.")
@click.option("--release", is_flag=True, help="The whole environment, to before what was published last.")
@click.option("--generation", type=click.IntRange(min=1), help="The whole environment, as it was at a generation.")
@click.option("--url", metavar="URL", help="The edge, which is asked until it answers; the setting edgit.url.")
@option_former("--to")
@move_options
def rollback(
    components: tuple[str, ...],
    environment: str,
    everywhere: bool,
    if_current: str | None,
    release: bool,
    generation: int | None,
    url: str | None,
    former: str | None,
    options: ChangeOptions,
) -> None:
    """Go back to the last good version: the last that requests ran and that was not itself rolled back from.

    Publishes, asks the edge until it answers, pushes, and says what still serves the bad version. To repeat it is safe:
    a rollback that is not published yet is finished, and not begun again.

    \b
    edgit rollback my-prompt
    edgit rollback my-prompt@v1.0.0 --from prod-eu --reason "wrong answers"
    edgit rollback my-prompt --everywhere
    edgit rollback --release
    """
    if former is not None:
        written = " ".join(f"{name}@{former}" for name in components)
        raise NotUnderstood(
            "a version stands beside its component", hint=f"next: edgit rollback {written} --from {environment}"
        )
    named = [named_version(word) for word in dict.fromkeys(components)]
    wish = Wish(named, environment, everywhere, if_current, release, generation)
    _check(wish)
    started = time.monotonic()
    git = open_git()
    target = kv_target(git, options.kv)
    share = options.publish is not False and target is not None
    if options.publish is None:
        options = replace(options, publish=_can_publish(options, target))
    aims = _Aims(wish, target)
    edge = (url or git.config("edgit.url")) if options.publish else None

    def after(_outcome: ChangeOutcome) -> AfterMove:
        return AfterMove(share, edge, aims.bad, started)

    move_pointers(options, "rollback", aims.desired, aims.tell, after)


def _can_publish(options: ChangeOptions, target: str | None) -> bool:
    """Whether a rollback that says nothing of it is published from here. Where only a workflow can, it is moved and
    pushed: that must not wait for variables that this machine never had."""
    if target is None or options.dry_run:
        return False
    from edgit.kv.targets import open_kv  # noqa: PLC0415

    try:
        open_kv(target)
    except EdgitError as error:
        if options.kv:
            raise
        terminal.warn(f"not published from here, but moved and pushed: {error.detail}")
        return False
    return True


def _check(wish: Wish) -> None:
    whole = wish.release or wish.generation is not None
    if whole == bool(wish.named) or (wish.release and wish.generation is not None):
        raise click.UsageError(
            "it takes components, or --release, or --generation N for the whole environment: edgit rollback my-prompt"
        )
    if whole and (wish.everywhere or wish.if_current):
        raise click.UsageError("--everywhere and --if-current are for components, not for a whole environment")
    if wish.everywhere and any(version for _, version in wish.named):
        raise click.UsageError("--everywhere goes back to the last good version of each environment: name none")


@dataclass
class _Aims:
    """Where each pointer goes, found in the repository once the lock is held. `bad` are the versions it goes from."""

    wish: Wish
    target: str | None
    bad: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def desired(self, repository: Repository) -> list[DesiredPointer]:
        published = read_published_past(repository.git, self.target)
        wish = self.wish
        if not wish.named:
            return self._whole(repository, published)
        desired = []
        for name, version in wish.named:
            desired += self._of(repository, published, known(repository, name), version)
        return each_once(desired)

    def tell(self, _repository: Repository, _outcome: ChangeOutcome) -> None:
        for note in self.notes:
            terminal.note(note)

    def _whole(self, repository: Repository, published: PublishedPast | None) -> list[DesiredPointer]:
        where = self.wish.environment
        then = former_release(repository, where, published=published, generation=self.wish.generation)
        live = {name: found[where] for name, found in repository.state.pointers.items() if where in found}
        self.bad |= {name: version for name, version in live.items() if then.get(name) != version}
        return [DesiredPointer(name, where, then.get(name)) for name in sorted({*then, *live})]

    def _of(
        self, repository: Repository, published: PublishedPast | None, component: str, version: str | None
    ) -> list[DesiredPointer]:
        wish, aimed = self.wish, []
        if not wish.everywhere or wish.if_current is None:
            aimed.append(self._goal(repository, published, component, wish.environment, version))
        if not wish.everywhere:
            return aimed
        bad = self.bad.setdefault(component, str(wish.if_current))
        elsewhere = aimed[0].version if aimed else repository.state.version(component, wish.environment)
        for where, live in repository.environments(component).items():
            if live == bad and where not in (each.environment for each in aimed):
                aimed.append(self._elsewhere(repository, published, DesiredPointer(component, where, elsewhere), bad))
        self.notes += [] if aimed else [f"{component} has {bad} live in no environment any more"]
        return aimed

    def _elsewhere(
        self, repository: Repository, published: PublishedPast | None, otherwise: DesiredPointer, bad: str
    ) -> DesiredPointer:
        """Where another environment goes; one that has had no other good version goes where the first one is."""
        try:
            return self._goal(repository, published, otherwise.component, otherwise.environment, None)
        except EdgitError:
            if otherwise.version in (None, bad):
                raise
            return otherwise

    def _goal(
        self,
        repository: Repository,
        published: PublishedPast | None,
        component: str,
        environment: str,
        version: str | None,
    ) -> DesiredPointer:
        """Where one pointer goes; what it goes from is bad."""
        live = repository.state.version(component, environment)
        if version is not None and self.wish.if_current in (None, live):
            self.bad.setdefault(component, live or version)
            return DesiredPointer(component, environment, version)
        goal = rollback_goal(repository, component, environment, published=published, if_current=self.wish.if_current)
        self.notes += [goal.note] if goal.note else []
        self.bad.setdefault(component, goal.bad)
        return DesiredPointer(component, environment, goal.version)
