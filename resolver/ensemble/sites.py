"""Where in an agent or a step references stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from resolver.ensemble.yaml import Path, YamlFile, format_path
from resolver.errors import InvalidReference
from resolver.reference import Found, find_reference


@dataclass(frozen=True, slots=True)
class Site:
    """A reference and the path at which it stands."""

    path: str
    found: Found


def find_sites(source: YamlFile, path: Path, skip: Collection[str] = ()) -> Iterator[Site]:
    """The references of the agent or step at `path`, at any depth. Raises `InvalidEnsemble` for one that is none."""
    raw = source.at(path)
    assert isinstance(raw, dict)
    for field, value in raw.items():
        if field == "component" and value is None:
            raise source.error((*path, field), "`component` is empty; name a component, or take the line out")
        if field not in ("name", "id") and field not in skip:
            yield from _search(source, field, value, (*path, field), direct=True)


def _search(source: YamlFile, field: str | None, value: object, path: Path, *, direct: bool = False) -> Iterator[Site]:
    if isinstance(value, str):
        try:
            found = find_reference(field, value, direct=direct)
        except InvalidReference as error:
            raise source.error(path, error) from None
        if found:
            yield Site(format_path(path), found)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _search(source, key, child, (*path, key))
    elif isinstance(value, list):
        for position, child in enumerate(value):
            yield from _search(source, None, child, (*path, position))
