"""Every component there is: its file of today, its versions, and how it is named in an error.

Rules:

- a component is what has a file, a tag or a place in the ledger;
- what has a tag or a place in the ledger is known, however spoilt the files or the registry are today;
- a text that states a type (`schemas/answer`, `schema://answer`) asks for that type, a bare name for its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgit.components.keys import by_key, find_key, typed_key
from edgit.components.tags import Tag
from edgit.components.versions import by_precedence, highest_first
from edgit.errors import EdgitError
from edgit.repository.reading import Repository
from resolver.errors import InvalidReference, listed, nearest
from resolver.reference import parse_reference

if TYPE_CHECKING:
    from edgit.components.discovery import Component


@dataclass(frozen=True, slots=True)
class Catalog:
    """The components of a repository by their keys, each with its versions, the highest first, and its type."""

    components: Mapping[str, Component]
    versions: Mapping[str, list[str]]
    types: Mapping[str, str | None]

    @property
    def names(self) -> set[str]:
        return set(self.versions)


def read_catalog(repository: Repository) -> Catalog:
    """All components. Raises `EdgitError` where the registry cannot be read."""
    from edgit.components.files import read_files  # noqa: PLC0415

    components = by_key(read_files(repository.git), repository.types)
    tags, recorded = repository.tags, repository.state
    names = {*components, *repository.types}
    found = {name: {*tags.versions.get(name, {}), *recorded.versions.get(name, {})} for name in names}
    places = by_precedence(version for versions in found.values() for version in versions)
    return Catalog(
        components,
        {name: sorted(versions, key=places.__getitem__, reverse=True) for name, versions in found.items()},
        {name: _type(repository, components, name) for name in names},
    )


def read_types(repository: Repository, names: Iterable[str]) -> dict[str, str | None]:
    """The types of these components, as far as they can be told: also where the registry cannot be read."""
    from edgit.components.files import read_files_if_possible  # noqa: PLC0415

    components = by_key(read_files_if_possible(repository.git), repository.types)
    return {name: _type(repository, components, name) for name in names}


def _type(repository: Repository, components: Mapping[str, Component], name: str) -> str | None:
    """A component's type, from the ledger or a tag that states it, else from its file."""
    return repository.types.get(name) or (components[name].type if name in components else None)


def versions_of(repository: Repository, component: str) -> list[str]:
    """A component's versions, highest first: those with a tag and those that the ledger keeps."""
    return highest_first({*repository.tags.versions.get(component, {}), *repository.state.versions.get(component, {})})


def known(repository: Repository, text: str) -> str:
    """The key of the component that a text names. Raises `EdgitError` that says which there are."""
    if text in repository.types:
        return text
    try:
        asked = parse_reference(text)
    except InvalidReference:
        asked = None
    if asked and asked.type and typed_key(asked.type, asked.name) in repository.types:
        return typed_key(asked.type, asked.name)
    types = read_catalog(repository).types
    key = find_key(asked.name, asked.type, types, types) if asked and asked.selector is None else None
    if key is not None:
        return key
    hint = "a component is a file such as components/prompts/<name>.md; .edgit/components.json names others"
    if asked and asked.type and asked.name in types:
        raise EdgitError(
            f"not found: `{asked.name}` is a {types[asked.name]}; there is no {asked.type} `{asked.name}`", hint=hint
        )
    close = nearest(text, types)
    raise EdgitError(
        f"unknown component `{text}`.{close}" if close else f"unknown component `{text}`; there are {listed(types)}",
        hint=hint,
    )


def needed_version_tag(repository: Repository, component: str, version: str) -> Tag:
    """The tag of a version. Raises `EdgitError` that says which versions there are."""
    component = known(repository, component)
    tag = repository.tags.versions.get(component, {}).get(version)
    if tag:
        return tag
    if version in repository.state.versions.get(component, {}):
        raise EdgitError(
            f"the tag of {component} {version} is gone; the ledger still has its file"
            if repository.tip
            else f"the tag of {component} {version} is gone; a tag that pointed at it still has its file",
            hint=f"next: {'' if repository.tip else 'edgit adopt, then '}edgit tag restore {component} {version}",
        )
    there = versions_of(repository, component)
    raise EdgitError(
        f"{component} has no version {version}; it has {', '.join(there[:12]) or 'none'}",
        hint=f"next: edgit tag create {component} {version}, or choose one of: edgit tag list {component}",
    )


def live_in(repository: Repository, component: str) -> str:
    """Where a component is live, for a message."""
    there = repository.environments(component)
    return f"it is live in {listed(there)}" if there else "it is live nowhere"
