"""Which file is which component.

Rules:

- `components/<types>/<name>.<ext>`, and `<types>/<name>.<ext>` at the root (`prompts/…`, `configs/…`), is a component
  with no registration; folders below belong to the name (`components/templates/mail/header.html` is `mail/header`);
- the registry names others, and goes before;
- a name is one component. Two files that claim it are both named in the error of whoever asks for it;
- no name begins with a type's folder (`prompts/x`): a reference and a tag could not tell it from `x`;
- a path with characters that cannot be printed, a line's end say, or that is not UTF-8, is no component's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from resolver.reference import TYPES, is_name

#: The folders that hold components, as git's pathspecs.
FOLDERS = ("components", *TYPES)


@dataclass(frozen=True, slots=True)
class Component:
    """A file that is versioned; `others` are further files that claim the same name."""

    name: str
    path: str
    type: str | None
    others: tuple[str, ...] = field(default=())


def discover(paths: Iterable[str], registry: Mapping[str, Component]) -> dict[str, Component]:
    """The components among the files of a commit or a folder, with those of the registry."""
    found: dict[str, Component] = dict(registry)
    registered = {component.path for component in registry.values()}
    # Below components/ first: what lies at the root is more often something else.
    for path in sorted(paths, key=lambda path: (not path.startswith("components/"), path)):
        component = read_path(path)
        if component is None or path in registered or component.name in registry:
            continue
        known = found.get(component.name)
        if known is None:
            found[component.name] = component
        elif known.path.startswith("components/") == path.startswith("components/"):
            found[component.name] = Component(known.name, known.path, known.type, (*known.others, path))
    return found


@functools.lru_cache(maxsize=65536)
def read_path(path: str) -> Component | None:
    """The component that a path means by itself; None for any other file."""
    if not path.isprintable():
        return None
    parts = path.split("/")
    if parts[0] == "components":
        parts = parts[1:]
    if len(parts) < 2 or parts[0] not in TYPES or parts[-1].startswith("."):
        return None
    name = "/".join([*parts[1:-1], PurePosixPath(parts[-1]).stem])
    return Component(name, path, TYPES[parts[0]]) if is_unambiguous(name) else None


def is_unambiguous(name: str) -> bool:
    first, below, _ = name.partition("/")
    return is_name(name) and not (below and first in TYPES)
