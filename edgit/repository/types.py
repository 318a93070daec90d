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
from edgit.components.tags import ComponentTags, TagFolder, tag_folders
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
    folders: dict[str, list[TagFolder]] = {}
    for folder in tag_folders(refs):
        folders.setdefault(folder.component, []).append(folder)
    several: dict[str, dict[str | None, list[str]]] = {}
    for name, found in folders.items():
        if len({folder.type for folder in found}) > 1 and len(forms := _version_tags(found)) > 1:
            several[name] = forms
    if not several:
        return typed
    recorded = recorded_types(read_entries(git, tip)) if tip else {}
    for name, forms in several.items():
        first = recorded.get(name) or _first_type(git, name, forms, now)
        if first is not None:
            typed |= {typed_key(type, name) for type in forms if type not in (None, first)}
    return typed


def _version_tags(folders: Iterable[TagFolder]) -> dict[str | None, list[str]]:
    """The ids of the versions' tags of one name, by the type that their names state."""
    forms: dict[str | None, list[str]] = {}
    for folder in folders:
        if ids := [id for text, id in folder.ids.items() if is_version(text)]:
            forms.setdefault(folder.type, []).extend(ids)
    return forms


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
