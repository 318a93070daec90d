"""What requests ran, and since when, as far as git has it on record.

Rules:

- the KV that counts is the one that is named, else `edgit.kv`, else the only one that has a record;
- what was live at an instant is what was published then. Where no record reaches back so far, what was set in git
  counts, and that is told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgit.git.process import Git
from edgit.kv.record import record_name, setting_here
from edgit.ledger.published import PUBLISHED, PublishedPast, read_published
from edgit.repository.reading import Repository, read_past_pointers
from resolver.instant import format_instant


def find_published(git: Git, target: str | None = None, environment: Mapping[str, str] | None = None) -> str | None:
    """The ref of the record that counts; None where nothing is on record."""
    known = git.refs(PUBLISHED.rstrip("/"))
    given = os.environ if environment is None else environment
    setting = None if target else git.config("edgit.kv")
    named = target or (setting and setting_here(setting, git.root, Path.cwd(), given))
    if named is None:
        return next(iter(known)) if len(known) == 1 else None
    name = record_name(named, given, Path.cwd())
    if name is not None:
        return PUBLISHED + name if PUBLISHED + name in known else None
    # The variables that would say which namespace are not set here: the only one there is.
    others = [ref for ref in known if ref.startswith(f"{PUBLISHED}{named}/")]
    return others[0] if len(others) == 1 else None


def read_published_past(git: Git, target: str | None = None) -> PublishedPast | None:
    """What was published, by the record that counts; None where nothing is on record."""
    ref = find_published(git, target)
    return read_published(git, ref) if ref else None


@dataclass(frozen=True, slots=True)
class PastPointers:
    """Component → environment → version at an instant; `note` says so where it is what was set, and not what ran."""

    pointers: Mapping[str, Mapping[str, str]]
    note: str | None = None


def read_pointers_at(
    repository: Repository, moment: datetime, *, as_set: bool = False, target: str | None = None
) -> PastPointers:
    """What requests ran at an instant, or `as_set` what was set in git then."""
    if as_set:
        return PastPointers(read_past_pointers(repository, moment))
    past = read_published_past(repository.git, target)
    if past is not None and past.knows(moment):
        return PastPointers(past.pointers_at(moment))
    begins = f"no publish before {format_instant(past.begin)} is on record" if past else "no publish is on record here"
    return PastPointers(read_past_pointers(repository, moment), f"{begins}: this is what was set in git")
