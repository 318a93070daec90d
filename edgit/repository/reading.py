"""One reading of a repository: its tags, what its ledger says, and where the two differ.

Rules:

- a command reads the repository once and decides on the values. To read an attribute asks nobody;
- a repository without a ledger is read as if its tags had begun one: `beginning` is that entry, not yet written;
- the ledger's past is no part of it: `read_past` and `read_past_pointers` ask git, where a command needs it;
- nothing here changes a ref or a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edgit.components.keys import KnownTypes
from edgit.components.tags import ComponentTags, Tag, read_tags
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER, LedgerEntry, LedgerState
from edgit.ledger.history import fold
from edgit.ledger.reading import read_entries, read_pointers_at, read_state
from edgit.repository.beginning import read_beginning
from edgit.repository.drift import Drift, read_drift
from edgit.repository.environments import (
    EnvironmentTag,
    choose_latest,
    find_untagged_versions,
    read_environment_tags,
)
from edgit.repository.types import read_known_types, read_typed_keys


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository says at one moment."""

    git: Git
    #: When it was read, in seconds.
    now: int
    #: Ref → object id, of all tags and the ledger.
    refs: Mapping[str, str]
    tags: ComponentTags
    #: The commit that the ledger is at; None where there is no ledger yet.
    tip: str | None
    environment_tags: tuple[EnvironmentTag, ...] = ()
    #: What is live and what exists: by the ledger, or by the tags where there is none.
    state: LedgerState = field(default_factory=LedgerState)
    drift: Drift = field(default_factory=Drift)
    #: The entry that a ledger would begin with; None where there is one, or nothing to begin it from.
    beginning: LedgerEntry | None = None
    #: The keys that are tagged or on record. Their types are read when they are asked for.
    types: KnownTypes = field(default_factory=KnownTypes)

    def environments(self, component: str) -> dict[str, str]:
        """What is live of a component, by environment."""
        return dict(sorted(self.state.pointers.get(component, {}).items()))

    def unrecorded_versions(self) -> dict[str, dict[str, Tag]]:
        """The versions that have a tag and are not in the ledger."""
        recorded = self.state.versions if self.tip else {}
        found = {
            name: {version: tag for version, tag in tags.items() if version not in recorded.get(name, {})}
            for name, tags in self.tags.versions.items()
        }
        return {name: tags for name, tags in found.items() if tags}

    def trace_of(self, component: str, version: str) -> Tag | None:
        """The tag of a version, or what an environment's tag still tells of it."""
        tag = self.tags.versions.get(component, {}).get(version)
        untagged = find_untagged_versions(self.tags, self.environment_tags)
        return tag or untagged.get(component, {}).get(version)


def read_repository(git: Git, *, from_tags: bool = True) -> Repository:
    """The repository as it is. With `from_tags` false a repository without a ledger is read as one where nothing is
    live: what shares the ledger needs no beginning of its own."""
    refs = git.refs("refs/tags", LEDGER)
    tip = refs.get(LEDGER)
    now = int(time.time())
    state = read_state(git, tip) if tip is not None else LedgerState()
    tags = choose_latest(git, read_tags(refs, read_typed_keys(git, refs, tip, state, now)), tip, now)
    types = read_known_types(git, tags, tip, state)
    if tip is None and not from_tags:
        return Repository(git, now, refs, tags, None, types=types)
    environment_tags = read_environment_tags(git, tags)
    if tip is not None:
        drift = read_drift(git, refs, tags, tip, state, environment_tags)
        return Repository(git, now, refs, tags, tip, environment_tags, state, drift, types=types)
    begun = read_beginning(git, tags, environment_tags, types, now)
    if begun is None:
        return Repository(git, now, refs, tags, None, environment_tags, types=types)
    types = read_known_types(git, tags, None, begun.state, (begun.entry,))
    return Repository(git, now, refs, tags, None, environment_tags, begun.state, beginning=begun.entry, types=types)


def read_live(git: Git) -> LedgerState:
    """What is live and what exists, without a look at the tags where there is a ledger."""
    tip = git.ref(LEDGER)
    return read_state(git, tip) if tip else read_repository(git).state


def read_past(repository: Repository) -> tuple[LedgerEntry, ...]:
    """All entries of the ledger, oldest first."""
    if repository.tip is not None:
        return read_entries(repository.git, repository.tip)
    return (repository.beginning,) if repository.beginning else ()


def read_past_pointers(repository: Repository, moment: datetime) -> dict[str, dict[str, str]]:
    """Component → environment → version at an instant."""
    if repository.tip is not None:
        return read_pointers_at(repository.git, repository.tip, moment)
    return fold(read_past(repository), until=moment)
