"""What a component is called everywhere: its key.

Rules:

- a component is a type and a name. Its key is the bare name (`answer`) for the type that had the name first, and
  `<types>/<name>` (`schemas/answer`) for any other type of the same name;
- a key that is tagged or on record stays what it is;
- of what has no version yet, the registry's file has the bare name, then one below components/, then one at the root;
  among these the order of the types decides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from resolver.directories import DIRECTORIES, TYPES

if TYPE_CHECKING:
    from edgit.components.discovery import Component


def typed_key(type: str, name: str) -> str:
    """The key of a component whose bare name another type has."""
    return f"{DIRECTORIES[type]}/{name}"


def split_key(key: str) -> tuple[str | None, str]:
    """The type that a key states, and the name. A bare key states none."""
    first, _, rest = key.partition("/")
    return (TYPES[first], rest) if rest and first in TYPES else (None, key)


def key_to_make(key: str, known: Container[str]) -> str:
    """The key that a new version has: the first type that is tagged has the bare name, whatever else is there."""
    type, name = split_key(key)
    return name if type and key not in known and name not in known else key


class KnownTypes(Mapping[str, "str | None"]):
    """The keys that are tagged or on record, each with its type; None where nothing states it.

    The types are read when the first one is asked for: most commands need none.
    """

    def __init__(
        self, keys: Collection[str] = (), read: Callable[[], Mapping[str, str | None]] = dict[str, "str | None"]
    ) -> None:
        self._keys = keys
        self._read = read

    @functools.cached_property
    def _types(self) -> Mapping[str, str | None]:
        return self._read()

    def __getitem__(self, key: str) -> str | None:
        if key not in self._keys:
            raise KeyError(key)
        return split_key(key)[0] or self._types.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def by_key(components: Iterable[Component], known: Mapping[str, str | None]) -> dict[str, Component]:
    """Files as components by their keys. They come in the order in which they claim a bare name."""
    found: dict[str, Component] = {}
    for component in components:
        found[_key(component, known, found)] = component
    return found


def _key(component: Component, known: Mapping[str, str | None], taken: Mapping[str, Component]) -> str:
    name, type = component.name, component.type
    if type is None:
        return name
    typed = typed_key(type, name)
    if typed in known or name in taken or (name in known and known[name] not in (None, type)):
        return typed
    return name


def find_key(name: str, type: str | None, keys: Container[str], types: Mapping[str, str | None]) -> str | None:
    """The key of a name, of a type if one is asked for; None where there is none."""
    if type is not None and typed_key(type, name) in keys:
        return typed_key(type, name)
    return name if name in keys and (type is None or types.get(name) in (None, type)) else None


def pick(components: Sequence[Component], key: str, known: Mapping[str, str | None]) -> Component | None:
    """The file of a key among those of a commit. Where nothing states the type of a bare name, no type counts that has
    a key of its own."""
    type, name = split_key(key)
    named = [component for component in components if component.name == name]
    if type is None and len({component.type for component in named}) > 1:
        type = known.get(name)
        own = [each for each in named if each.type is None or typed_key(each.type, name) not in known]
        named = named if type else own or named
    return next((each for each in named if type in (None, each.type)), None)
