"""Protected and frozen environments: what is asked before one of them is moved.

`.edgit/config`, which is committed, says which they are, in git's own form:

    [environment "prod"]
        protected = true
        frozenUntil = 2024-12-24T08:00:00Z
        frozenBy = Ada <ada@example.com>
        frozenReason = the sale

Rules:

- a move of a protected environment has to name it once more (`--confirm prod`). Its canary and its regions' canaries
  are other pointers of the same users: `prod-canary` counts as `prod`;
- a frozen one is not moved until the freeze is over or taken away;
- what makes an environment safe is never stopped: a rollback, the guard's too, and the end of a canary. Of a frozen one
  it is said;
- only pointers that would move count, so that to repeat a command stays safe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from edgit.errors import EdgitError, NotConfirmed, Refused
from edgit.git.process import SETTINGS, Git
from edgit.ledger.entries import Moved
from resolver.errors import InvalidInstant, listed
from resolver.instant import format_instant, parse_instant

#: The verbs of what makes an environment safe.
_SAFE = ("rollback", "guard")
_CANARY = "-canary"
_TRUE = ("true", "yes", "on", "1", "")


@dataclass(frozen=True, slots=True)
class Freeze:
    """Until when an environment is not moved, who said so, and why."""

    environment: str
    until: datetime
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        by = f" by {self.by.partition(' <')[0]}" if self.by else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.environment} is frozen until {format_instant(self.until)}{by}{why}"


@dataclass(frozen=True, slots=True)
class Protection:
    """What is asked before environments are moved."""

    protected: frozenset[str] = frozenset()
    freezes: tuple[Freeze, ...] = ()

    def in_force(self, now: float) -> list[Freeze]:
        """The freezes that are not over."""
        return [each for each in self.freezes if each.until.timestamp() > now]


def read_protection(git: Git) -> Protection:
    """What is committed about environments. Raises `EdgitError` for a freeze whose end cannot be read."""
    if (place := git.committed) is None:
        return Protection()
    done = git.attempt("config", *place, "-z", "--get-regexp", r"^environment\..*")
    if done.returncode not in (0, 1):
        raise EdgitError(f"{SETTINGS} cannot be read: {done.stderr.decode(errors='replace').strip()}")
    found: dict[str, dict[str, str]] = {}
    for line in done.stdout.decode(errors="replace").split("\0"):
        key, _, value = line.partition("\n")
        name, _, setting = key.removeprefix("environment.").rpartition(".")
        if name:
            found.setdefault(name, {})[setting] = value
    protected = {name for name, said in found.items() if said.get("protected", "false").lower() in _TRUE}
    freezes = (_freeze(name, said) for name, said in sorted(found.items()) if "frozenuntil" in said)
    return Protection(frozenset(protected), tuple(freezes))


def _freeze(environment: str, said: dict[str, str]) -> Freeze:
    try:
        until = parse_instant(said["frozenuntil"])
    except InvalidInstant as error:
        raise EdgitError(
            f"{SETTINGS} says until when {environment} is frozen, and it cannot be read: {error.detail}",
            hint=f"next: edgit unfreeze {environment}",
        ) from None
    return Freeze(environment, until, said.get("frozenby"), said.get("frozenreason"))


def check_protection(git: Git, moved: Iterable[Moved], verb: str, confirmed: Collection[str], now: int) -> list[str]:
    """What is to be known of a move that may be made. Raises `Refused` for one that may not."""
    moved = list(moved)
    try:
        protection = read_protection(git) if moved else Protection()
    except EdgitError as error:
        if verb not in _SAFE:
            raise
        return [error.detail]
    risky = {
        each.environment.removesuffix(_CANARY)
        for each in moved
        if verb not in _SAFE and not (each.after is None and each.environment.endswith(_CANARY))
    }
    touched = {each.environment.removesuffix(_CANARY) for each in moved}
    frozen = [each for each in protection.in_force(now) if each.environment in touched]
    for freeze in frozen:
        if freeze.environment in risky:
            raise Refused(
                f"{freeze}; nothing was moved",
                hint=f"to end the freeze: edgit unfreeze {freeze.environment}; a rollback is not stopped by it",
            )
    if missing := (risky & protection.protected) - {name.removesuffix(_CANARY) for name in confirmed}:
        raise NotConfirmed(f"{listed(missing)} is protected ({SETTINGS}); nothing was moved", sorted(missing))
    return [f"{freeze}; this makes it safe, and is done" for freeze in frozen]
