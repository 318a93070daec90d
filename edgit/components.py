"""Which file is which component.

Rules:

- `components/<types>/<name>.<ext>`, and `<types>/<name>.<ext>` at the root (`prompts/…`, `configs/…`), is a component
  with no registration; folders below belong to the name (`components/templates/mail/header.html` is `mail/header`);
- `.edgit/components.json` names others, and goes before: `{"components": {"<name>": {"path": "…", "type": "…"}}}`;
- a name is one component. Two files that claim it are both named in the error of whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import msgspec

from edgit.errors import EdgitError
from resolver.reference import DIRECTORIES, TYPES, is_name

REGISTRY = ".edgit/components.json"
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


def read_path(path: str) -> Component | None:
    """The component that a path means by itself; None for any other file."""
    parts = path.split("/")
    if parts[0] == "components":
        parts = parts[1:]
    if len(parts) < 2 or parts[0] not in TYPES or parts[-1].startswith("."):
        return None
    name = "/".join([*parts[1:-1], PurePosixPath(parts[-1]).stem])
    return Component(name, path, TYPES[parts[0]]) if is_name(name) else None


def read_registry(text: bytes, where: str = REGISTRY) -> dict[str, Component]:
    """The components that the registry names. Raises `EdgitError` that says which entry is wrong."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise EdgitError(f"{where} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise EdgitError(f'{where} must be an object: {{"components": {{"<name>": {{"path": "…"}}}}}}')
    entries = document.get("components", document)
    if not isinstance(entries, dict):
        raise EdgitError(f"{where}: `components` must be an object name → {{path, type}}")
    found = {}
    for name, entry in entries.items():
        if entries is document and not (isinstance(entry, dict) or (isinstance(entry, str) and "/" in entry)):
            continue  # The document's own fields: a version, a date.
        fields = {"path": entry} if isinstance(entry, str) else entry
        path = fields.get("path") if isinstance(fields, dict) else None
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            raise EdgitError(f"{where}: `{name}` needs a `path` below the repository's root, such as prompts/x.md")
        if not is_name(name):
            raise EdgitError(f"{where}: `{name}` is not a component name: letters, digits, `-`, `_`, `.` and `/`")
        path = str(PurePosixPath(path))
        by_path = read_path(path)
        type = fields.get("type") or (by_path.type if by_path else None)
        if type is not None and type not in DIRECTORIES:
            type = TYPES.get(str(type))
        found[name] = Component(name, path, type)
    return found
