"""The contents of components: immutable, read from KV once, and kept within a budget.

Rules:

- missing contents are one bulk get, in the layout that `edgit publish` writes. A second get looks in the layouts of
  other writers;
- the content that was unused for the longest time goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from resolver.directories import DIRECTORIES, TYPES
from resolver.documents import decode_content_metadata
from resolver.errors import NotFound
from resolver.plan import ResolvedReference
from resolver.reference import MEDIA_TYPES, Reference
from resolver.snapshot import Choice, Pin
from worker.kv import Entry, Store, read
from worker.settings import Settings

#: Memory for contents, in bytes of text.
CONTENT_BUDGET = 16 * 1024 * 1024


class Content(NamedTuple):
    """A component's text, and the type that its publisher gave it."""

    text: str
    type: str | None


class Wanted(NamedTuple):
    """A version of a component whose content is wanted, and the component's type where that is known."""

    component: str
    version: str
    type: str | None = None


class ContentCache:
    """Contents by name and version, within a budget in bytes; the least recently used goes first."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._contents: OrderedDict[tuple[str, str], tuple[Content, int]] = OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0

    def get(self, name: str, version: str) -> Content | None:
        """The content, if it is in memory."""
        found = self._contents.get((name, version))
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._contents.move_to_end((name, version))
        return found[0]

    def put(self, name: str, version: str, content: Content) -> None:
        """Keep a content, if it fits into the budget at all."""
        size = len(content.text.encode(errors="surrogatepass"))
        if size > self._budget or (name, version) in self._contents:
            return
        self._contents[name, version] = (content, size)
        self.size += size
        while self.size > self._budget:
            _, (_, dropped) = self._contents.popitem(last=False)
            self.size -= dropped


class Contents:
    """The contents that an isolate has, and where it looks for others."""

    def __init__(self, settings: Settings) -> None:
        self.kept = ContentCache(CONTENT_BUDGET)
        self._layouts = settings.layouts
        self._timeout = settings.kv_timeout

    async def find(self, wanted: Iterable[Wanted], store: Store) -> dict[Pin, Content]:
        """The contents that there are, by component and version. Raises `KvFailed`."""
        contents: dict[Pin, Content] = {}
        missing: dict[Pin, Wanted] = {}
        for each in wanted:
            pin = (each.component, each.version)
            kept = self.kept.get(*pin)
            if kept is not None:
                contents[pin] = kept
            else:
                missing.setdefault(pin, each)
        for layouts in (self._layouts[:1], self._layouts[1:]):
            keys = {pin: _content_keys(each, layouts) for pin, each in missing.items()}
            every = [key for found in keys.values() for key in found]
            if not every:
                continue
            entries = await read(store, every, self._timeout)
            for pin, content in _found(keys, entries):
                self.kept.put(*pin, content)
                contents[pin] = content
                del missing[pin]
        return contents


def _found(keys: Mapping[Pin, Sequence[str]], entries: Mapping[str, Entry | None]) -> list[tuple[Pin, Content]]:
    found = []
    for pin, candidates in keys.items():
        entry = next((entry for key in candidates if (entry := entries[key]) is not None), None)
        if entry is not None:
            found.append((pin, Content(entry.value, decode_content_metadata(entry.metadata).type)))
    return found


def _content_keys(wanted: Wanted, layouts: Sequence[str]) -> list[str]:
    """The keys that a content may stand under; where the type is not known, those of every type.

    A component's key may begin with the directory of its type, which a layout that has a `{plural}` writes by itself.
    """
    directory, _, bare = wanted.component.partition("/")
    typed = bool(bare) and directory in TYPES
    plurals = [directory] if typed else [DIRECTORIES[wanted.type]] if wanted.type else list(DIRECTORIES.values())
    keys = (
        layout.format(
            name=bare if typed and "{plural}" in layout else wanted.component,
            version=wanted.version,
            bare=wanted.version[1:],
            plural=plural,
        )
        for layout in layouts
        for plural in plurals
    )
    return list(dict.fromkeys(keys))


def fallback_of(missing: ResolvedReference, stable: Choice) -> Choice:
    """The stable version, with a note of the canary whose content is missing."""
    note = f"the content of the canary `{missing.component}` {missing.version} is missing; the stable version is served"
    return replace(stable, note=note)


def with_content(
    found: ResolvedReference,
    fallback: Choice | None,
    reference: Reference,
    contents: Mapping[Pin, Content],
    absent: Mapping[Pin, str],
) -> ResolvedReference:
    """The reference with its content, or its fallback's. Raises `NotFound` where there is none."""
    version, route, note = str(found.version), found.route, found.note
    if fallback is not None:
        version, route, note = fallback.version, fallback.route, fallback.note
    pin = (found.component, version)
    content = contents.get(pin)
    if content is None:
        why = absent.get(pin) or f"there is no content of `{found.component}` {version} in KV"
        raise NotFound(why, field=found.path)
    # What only the field asks for is not held against a component of which the map knew no type.
    if reference.wanted is None and reference.type and content.type and content.type != reference.type:
        raise NotFound(
            f"`{reference}` asks for a {reference.type}, and `{found.component}` is a {content.type}", field=found.path
        )
    type = content.type or found.type
    return replace(
        found,
        version=version,
        route=route,
        note=note,
        type=type,
        media_type=MEDIA_TYPES.get(type or "", "text/plain"),
        content=content.text,
    )
