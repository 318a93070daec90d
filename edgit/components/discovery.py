"""Which file is which component.

Rules:

- `components/<types>/<name>.<ext>`, and `<types>/<name>.<ext>` at the root (`prompts/…`, `configs/…`), is a component
  with no registration; folders below belong to the name (`components/templates/mail/header.html` is `mail/header`);
- an agent and an ensemble are called what their file says (`name:`), wherever it lies, since that is what Conductor
  asks for. One that says nothing is called by its path;
- no component are: a README, an `index` of code, code beside a YAML file of the same name; and below agents/ and
  ensembles/ whatever is neither YAML nor JSON, and any `index`;
- the registry names others, and goes before. What it names without a type is that name in every type;
- a type and a name are one component. Two files that claim it are both named in the error of whoever asks for it;
- no name begins with a type's folder (`prompts/x`): a reference and a tag could not tell it from `x`;
- a path with characters that cannot be printed, a line's end say, or that is not UTF-8, is no component's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from edgit.components.names import stated_name
from resolver.directories import DIRECTORIES, TYPES
from resolver.reference import is_name

#: The folders that hold components, as git's pathspecs.
FOLDERS = ("components", *TYPES)
#: The types whose files say what they are called.
NAMED = ("agent", "ensemble")
_YAML = (".yaml", ".yml")
_CODE = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".py")

Texts = Callable[[Iterable[str]], Mapping[str, str]]
"""The texts of files, by path."""


@dataclass(frozen=True, slots=True)
class Component:
    """A file that is versioned; `others` are further files that claim the same type and name.

    `said` tells that the file says its name itself, `unnamed` why one that should does not.
    """

    name: str
    path: str
    type: str | None
    others: tuple[str, ...] = field(default=())
    said: bool = False
    unnamed: str | None = None


def discover(paths: Iterable[str], registry: Mapping[str, Component], texts: Texts) -> tuple[Component, ...]:
    """The components among the files of a commit or a folder, with those of the registry, in the order in which they
    claim a name that several types have."""
    registered = {component.path for component in registry.values()}
    claimed = {(component.name, component.type) for component in registry.values()}
    found: dict[tuple[str, str | None], Component] = {}
    for component in _read_paths(set(paths) - registered, texts):
        key = (component.name, component.type)
        if key in claimed or (component.name, None) in claimed:
            continue
        known = found.get(key)
        if known is None:
            found[key] = component
        elif _place(known) == _place(component):
            found[key] = replace(known, others=(*known.others, component.path))
    return (*registry.values(), *found.values())


def _read_paths(paths: Iterable[str], texts: Texts) -> list[Component]:
    """The components that paths and files mean by themselves: below components/ first, since what lies at the root is
    more often something else."""
    listed = sorted(paths)
    stems = {path.rpartition(".")[0] for path in listed if path.endswith(_YAML)}
    read = [found for path in listed if (found := _by_path(path)) and not _is_apart(found, stems)]
    said = texts([component.path for component in read if component.type in NAMED])
    named = [call(component, said.get(component.path)) for component in read]
    order = list(DIRECTORIES)
    good = (component for component in named if is_unambiguous(component.name))
    return sorted(good, key=lambda found: (_place(found), order.index(str(found.type)), found.path))


def _place(component: Component) -> bool:
    return not component.path.startswith("components/")


def _is_apart(component: Component, stems: set[str]) -> bool:
    """Whether a file only belongs to components: documentation, code of an agent."""
    path = PurePosixPath(component.path)
    code = path.suffix.lower() in _CODE
    if path.name.startswith("README") or (code and (path.stem == "index" or str(path.with_suffix("")) in stems)):
        return True
    return component.type in NAMED and (path.stem == "index" or path.suffix.lower() not in (*_YAML, ".json"))


def call(component: Component, text: str | None) -> Component:
    """The component by the name that its file says; `text` is None for a file that cannot be read."""
    if component.type not in NAMED:
        return component
    try:
        if text is None:
            raise ValueError("it cannot be read as UTF-8")
        name = stated_name(text, component.path)
        if not is_unambiguous(name):
            raise ValueError(f"its name `{name[:80]}` cannot name a component")
    except ValueError as error:
        return replace(component, unnamed=str(error))
    return replace(component, name=name, said=True)


def says_name(path: str) -> bool:
    """Whether a file of this path may say what it is called."""
    found = _by_path(path)
    return found is not None and found.type in NAMED


def read_path(path: str) -> Component | None:
    """The component that a path alone means, whatever its file says; None for any other file."""
    found = _by_path(path)
    return found if found and is_unambiguous(found.name) else None


@functools.lru_cache(maxsize=65536)
def _by_path(path: str) -> Component | None:
    if not path.isprintable():
        return None
    parts = path.split("/")
    if parts[0] == "components":
        parts = parts[1:]
    if len(parts) < 2 or parts[0] not in TYPES or parts[-1].startswith("."):
        return None
    return Component("/".join([*parts[1:-1], PurePosixPath(parts[-1]).stem]), path, TYPES[parts[0]])


def is_unambiguous(name: str) -> bool:
    first, below, _ = name.partition("/")
    return is_name(name) and is_tag(name) and not (below and first in TYPES)


def is_tag(name: str) -> bool:
    """Whether git takes a name into that of a tag."""
    return ".." not in name and not any(part.endswith((".lock", ".")) for part in name.split("/"))


def unusable_name(path: str) -> str | None:
    """The name that a path means and that no component can have; None for any other path."""
    if path.isprintable():
        found = _by_path(path)
        return found.name if found and not is_unambiguous(found.name) else None
    shown = path.encode(errors="backslashreplace").decode()
    return ascii(shown)[1:-1] if _by_path("".join(c if c.isprintable() else "_" for c in path)) else None
