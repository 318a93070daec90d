"""The registry, `.edgit/components.json`: the components whose files lie elsewhere.

Rules:

- it goes before discovery: `{"components": {"<name>": {"path": "…", "type": "…"}}}`. Without `components` the document
  itself is that object, and its own fields, a version or a date, are passed over;
- a name may state its type (`schemas/x`), where another type has the name too;
- an error names the line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from edgit.components.discovery import Component, is_tag, is_unambiguous, read_path
from edgit.components.keys import split_key
from edgit.errors import EdgitError
from resolver.directories import DIRECTORIES, TYPES
from resolver.reference import is_name

REGISTRY = ".edgit/components.json"
#: How a registry may write a type: by itself, in the plural, or as Edgit's own registry has it.
_TYPES = {**{kind: kind for kind in DIRECTORIES}, **TYPES, "agent-definition": "agent"}


def read_registry(text: bytes, where: str = REGISTRY) -> dict[str, Component]:
    """The components that the registry names. Raises `EdgitError` that says which entry is wrong, and its line."""
    document = _read_json(text, where)
    if not isinstance(document, _Object):
        raise EdgitError(f'{where} must be an object: {{"components": {{"<name>": {{"path": "…"}}}}}}')
    entries = dict(document).get("components", document)
    if not isinstance(entries, _Object):
        raise EdgitError(f"{where}: `components` must be an object name → {{path, type}}")
    found: dict[str, Component] = {}
    for name, entry in entries:
        if entries is document and not (isinstance(entry, _Object) or (isinstance(entry, str) and "/" in entry)):
            continue  # The document's own fields: a version, a date.
        if name in found:
            raise EdgitError(f"{_place(where, text, name, last=True)}: `{name}` stands there twice")
        try:
            made = _entry(name, dict(entry) if isinstance(entry, _Object) else {"path": entry})
        except ValueError as error:
            raise EdgitError(f"{_place(where, text, name)}: {error}") from None
        if twice := [other for other, each in found.items() if (each.name, each.type) == (made.name, made.type)]:
            raise EdgitError(f"{_place(where, text, name, last=True)}: `{twice[0]}` and `{name}` are one component")
        found[name] = made
    return found


class _Object(tuple[tuple[str, Any], ...]):
    """A JSON object with everything that stands in it, names that stand there twice as well."""


def _read_json(text: bytes, where: str) -> object:
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        raise EdgitError(f"{where}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise EdgitError(f"{where}: not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise EdgitError(f"{where}: nested too deeply") from None


def _place(where: str, text: bytes, name: str, *, last: bool = False) -> str:
    """Where a name stands, as `file:line`."""
    written = json.dumps(name, ensure_ascii=False).encode(errors="replace")
    at = text.rfind(written) if last else text.find(written)
    return where if at < 0 else f"{where}:{text.count(bytes([10]), 0, at) + 1}"


def _entry(name: str, fields: Mapping[str, object]) -> Component:
    """Raises `ValueError` that says what is wrong."""
    path, stated = fields.get("path"), fields.get("type")
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"`{name}` needs a `path` below the repository's root, such as prompts/x.md")
    if not path.isprintable():
        raise ValueError(f"the path of `{name}` holds characters that cannot be printed")
    if not is_name(name):
        raise ValueError(f"`{name}` is not a component name: letters, digits, `-`, `_`, `.` and `/`")
    if not is_tag(name):
        raise ValueError(f"`{name}` cannot be a git tag: no `..`, and nothing that ends with `.` or `.lock`")
    said, bare = split_key(name)
    if not is_unambiguous(bare):
        raise ValueError(f"a name has one type's folder before it: `{bare}` instead of `{name}`")
    path = str(PurePosixPath(path))
    by_path = read_path(path)
    kind = (_TYPES.get(str(stated)) if stated else None) or said or (by_path.type if by_path else None)
    if said not in (None, kind):
        raise ValueError(f"`{name}` says {said}, and its `type` {kind}")
    return Component(bare, path, kind)
