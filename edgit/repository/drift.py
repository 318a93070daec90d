"""Where tags and ledger differ.

Rules:

- a tag that says something else than the ledger was moved by another tool, unless it is one that this pointer had
  before: then a command was cut short, or a fetch brought it, and it follows the ledger;
- the ledger's past is read only where something differs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgit.components.meaning import TagMeaning
from edgit.components.tags import PREFIX, ComponentTags, Tag, read_name
from edgit.git.objects import Object
from edgit.git.process import Git
from edgit.git.tags import read_tag_object
from edgit.ledger.entries import LedgerState
from edgit.ledger.history import LedgerIndex
from edgit.ledger.reading import read_index
from edgit.repository.environments import EnvironmentTag


@dataclass(frozen=True, slots=True)
class UnrecordedMove:
    """A pointer whose tag says something else than the ledger: another tool moved it."""

    component: str
    environment: str
    #: The version that the ledger says.
    recorded: str | None
    tag: Tag
    meaning: TagMeaning

    @property
    def pointer(self) -> tuple[str, str]:
        return self.component, self.environment


@dataclass(frozen=True, slots=True)
class StaleTag:
    """A pointer whose tag has not followed the ledger yet."""

    component: str
    environment: str
    ref: str
    #: The object that the ref names now; None where it is missing.
    found: str | None
    #: The object that it must name; None where the ledger has none.
    expected: str | None
    #: The version that the ledger says.
    version: str | None


@dataclass(frozen=True, slots=True)
class Drift:
    """Where tags and ledger differ, sorted by component and environment."""

    unrecorded_moves: tuple[UnrecordedMove, ...] = ()
    stale_tags: tuple[StaleTag, ...] = ()


def read_drift(
    git: Git,
    refs: Mapping[str, str],
    tags: ComponentTags,
    tip: str,
    state: LedgerState,
    environment_tags: Sequence[EnvironmentTag],
) -> Drift:
    """Hold the tags that count against the ledger."""
    tagged = {each.pointer: each for each in environment_tags if each.counts}
    recorded = {(name, slot): version for name, found in state.pointers.items() for slot, version in found.items()}
    differing = [
        pointer
        for pointer in sorted({*recorded, *tagged})
        if pointer not in tagged
        or tagged[pointer].meaning.version is None
        or tagged[pointer].meaning.version != recorded.get(pointer)
    ]
    if not differing:
        return Drift()
    index = read_index(git, tip)
    unfinished = _read_unfinished(git)
    moves: list[UnrecordedMove] = []
    stale: list[tuple[str, str]] = []
    for pointer in differing:
        each, last = tagged.get(pointer), index.last_moves.get(pointer)
        if each is None or (last and last.tag != each.tag.id and _was_before(index, unfinished, each)):
            stale.append(pointer)
        elif last is None or last.tag != each.tag.id:
            moves.append(UnrecordedMove(*pointer, recorded.get(pointer), each.tag, each.meaning))
    expected = {pointer: last.tag for pointer in stale if (last := index.last_moves.get(pointer))}
    objects = git.read(id for id in expected.values() if id)
    return Drift(
        tuple(moves),
        tuple(
            _stale(pointer, tagged.get(pointer), expected.get(pointer), recorded.get(pointer), refs, tags, objects)
            for pointer in stale
        ),
    )


def _was_before(index: LedgerIndex, unfinished: Mapping[str, str | None], each: EnvironmentTag) -> bool:
    """Whether a tag is one that this pointer has had before, made for it and for one moment: such a one is back since a
    command was cut short, or a fetch brought it from where the moves are not yet. It is no new move."""
    if unfinished.get(each.tag.ref) == each.tag.id:
        return True
    if each.stated_name is None:
        return False
    named = read_name(PREFIX + each.stated_name)
    own = named is not None and named.may_be(*each.pointer)
    return own and each.tag.id in index.known_tags.get(each.pointer, ())


def _read_unfinished(git: Git) -> dict[str, str | None]:
    """Ref → where a command that was cut short, or is at work now, moves it from, by what `RepositoryLock` has written
    down."""
    try:
        return {ref: old for ref, _, old in json.loads((git.folder / "edgit/pending.json").read_bytes())}
    except (OSError, ValueError, TypeError):
        return {}


def _stale(
    pointer: tuple[str, str],
    each: EnvironmentTag | None,
    expected: str | None,
    version: str | None,
    refs: Mapping[str, str],
    tags: ComponentTags,
    objects: Mapping[str, Object],
) -> StaleTag:
    ref, found = (each.tag.ref, each.tag.id) if each else (tags.ref(*pointer), None)
    own = objects.get(expected or "")
    if own is not None and own.kind == "tag":
        # The name that the ledger's own tag stands under, and none of the environment's other tags.
        stated = PREFIX + read_tag_object(own.body).name
        named = read_name(stated)
        if named and named.may_be(*pointer):
            ref, found = stated, refs.get(stated)
    return StaleTag(*pointer, ref, found, expected, version)
