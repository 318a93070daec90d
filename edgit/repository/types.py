"""Which keys there are, and of which type each is.

Rules:

- what the ledger says of a key counts: the type of its last version. Where it says nothing, the tags do;
- where tags say several types of one name, the type of its untyped tags has the bare name, by the file of the oldest;
  without such tags it is the type that was tagged first. Every other type is a key of its own;
- git is asked for types only where a name has several, or somebody wants to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgit.components.keys import KnownTypes, split_key, typed_key
from edgit.components.tags import ComponentTags, read_name
from edgit.git.process import Git
from edgit.git.tags import commits_of, read_dates
from edgit.ledger.entries import LedgerEntry, LedgerState
from edgit.ledger.history import recorded_types
from edgit.ledger.reading import read_entries
from resolver.directories import DIRECTORIES
from resolver.version import is_version


def read_known_types(
    git: Git, tags: ComponentTags, tip: str | None, state: LedgerState, entries: Iterable[LedgerEntry] = ()
) -> KnownTypes:
    """The keys of tags and ledger, with the types that the ledger's entries state, else the tags. `entries` are those
    of a ledger that is not written yet."""

    def read() -> dict[str, str | None]:
        stated: dict[str, str | None] = {}
        for name, found in [*tags.environments.items(), *tags.versions.items()]:
            stated[name] = next((tag.type for tag in found.values() if tag.type), None) or stated.get(name)
        return stated | recorded_types(read_entries(git, tip) if tip else entries)

    return KnownTypes({*tags.components(), *state.pointers, *state.versions}, read)


def read_typed_keys(git: Git, refs: Mapping[str, str], tip: str | None, state: LedgerState, now: int) -> set[str]:
    """The keys with a type that are in use: those of the ledger, and those that the tags of a name make needed."""
    typed = {key for key in (*state.pointers, *state.versions) if split_key(key)[0]}
    versions: dict[str, dict[str | None, list[str]]] = {}
    for ref, id in refs.items():
        if (found := read_name(ref)) and is_version(found.slot):
            versions.setdefault(found.component, {}).setdefault(found.type, []).append(id)
    several = {name: forms for name, forms in versions.items() if len(forms) > 1}
    if not several:
        return typed
    recorded = recorded_types(read_entries(git, tip)) if tip else {}
    for name, forms in several.items():
        first = recorded.get(name) or _first_type(git, name, forms, now)
        if first is not None:
            typed |= {typed_key(type, name) for type in forms if type not in (None, first)}
    return typed


def _first_type(git: Git, name: str, forms: Mapping[str | None, list[str]], now: int) -> str | None:
    """The type that had a name first; None where its untyped tags lead to no file."""
    ids = [id for tags in forms.values() for id in tags]
    at = {id: moment or 0 for id, (_, moment) in read_dates(git, ids, now).items()}
    if None in forms:
        oldest = min(forms[None], key=lambda id: at.get(id, 0))
        commit = commits_of(git, [oldest]).get(oldest)
        from edgit.components.files import locate  # noqa: PLC0415

        known = KnownTypes({typed_key(type, name) for type in forms if type})
        file = locate(git, [(name, commit)], known).get((name, commit)) if commit else None
        return file.type if file else None
    order = list(DIRECTORIES)
    return min(forms, key=lambda type: (min(at.get(id, 0) for id in forms[type]), order.index(str(type))))
