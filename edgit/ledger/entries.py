"""The ledger's entries as values: every move of every pointer, every new version, every version that was withdrawn.

    refs/edgit/ledger            a chain of commits, one an entry
      components/<name>/<env>    holds the version that is live there: `v1.0.0`
      versions/<name>/<version>  the version's file
      withdrawn/<name>/<version> why a version is passed over by `latest`, `stable` and ranges

Rules:

- the ledger is the truth. A tag that says something else is behind it, or was moved by another tool;
- a generation is its parent's plus one; an entry is never dated before its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from edgit.components.tags import tag_name

LEDGER = "refs/edgit/ledger"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Moved:
    """A pointer moved. Versions are None where there was, or is, none; `tag` and `version_tag` are object ids.

    `at` and `actor` are stated for what was found when the ledger began, and are the entry's own otherwise.
    """

    component: str
    environment: str
    before: str | None
    after: str | None
    tag_before: str | None = None
    tag: str | None = None
    version_tag: str | None = None
    at: datetime | None = None
    actor: str | None = None

    @property
    def name(self) -> str:
        return tag_name(self.component, self.environment)

    def __str__(self) -> str:
        return f"{self.name} {self.before or NONE} -> {self.after or NONE}"


@dataclass(frozen=True, slots=True)
class Created:
    """A version came to be. `tag` is its tag's object, `commit` where it points, `path` the file there."""

    component: str
    version: str
    tag: str
    commit: str
    type: str | None = None
    path: str | None = None
    at: datetime | None = None
    actor: str | None = None

    @property
    def name(self) -> str:
        return tag_name(self.component, self.version)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A version was withdrawn, or with `withdrawn` false reinstated. The reason is the entry's."""

    component: str
    version: str
    withdrawn: bool
    at: datetime | None = None
    actor: str | None = None

    @property
    def name(self) -> str:
        return tag_name(self.component, self.version)

    def __str__(self) -> str:
        return self.name


LedgerChange = Moved | Created | Withdrawn


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One commit of the ledger. `authored` is when the move was first made, where it was replayed later."""

    id: str
    parent: str | None
    generation: int
    at: datetime
    actor: str
    summary: str
    changes: tuple[LedgerChange, ...]
    reason: str | None = None
    authored: datetime | None = None

    @property
    def moves(self) -> Iterable[tuple[Moved, datetime, str]]:
        """Its moves with when and who."""
        return ((c, c.at or self.at, c.actor or self.actor) for c in self.changes if isinstance(c, Moved))

    @property
    def creations(self) -> Iterable[tuple[Created, datetime, str]]:
        """Its new versions with when and who."""
        return ((c, c.at or self.at, c.actor or self.actor) for c in self.changes if isinstance(c, Created))

    @property
    def withdrawals(self) -> Iterable[tuple[Withdrawn, datetime, str]]:
        """The versions that it withdraws or reinstates, with when and who."""
        return ((c, c.at or self.at, c.actor or self.actor) for c in self.changes if isinstance(c, Withdrawn))


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What is live and what exists: component → environment → version, component → version → the file's object id.

    `withdrawn` has the versions that are passed over: component → version → the object id of why."""

    pointers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    withdrawn: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def version(self, component: str, environment: str) -> str | None:
        """What is live there."""
        return self.pointers.get(component, {}).get(environment)


def seconds(at: datetime) -> int:
    """An instant as git dates a commit."""
    return int(at.timestamp())


def instant(at: int) -> datetime:
    """The instant of a commit's date."""
    return datetime.fromtimestamp(at, UTC)
