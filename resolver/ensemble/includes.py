"""What a content refers to: the fields of an agent's own YAML, and the partials of a text, `{{> template://header}}`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from resolver.ensemble.sites import Site, find_sites
from resolver.ensemble.yaml import read_yaml
from resolver.errors import InvalidEnsemble, InvalidReference
from resolver.reference import find_reference

#: How deep contents may include others.
DEEPEST = 8
#: How long a content may be with all that it includes, in characters.
LONGEST_TEXT = 4 * 1024 * 1024
#: Contents of which it is remembered what they refer to.
_MOST_READ = 512

#: With or without quotes, and with parameters behind it.
_PARTIAL = re.compile(r"""\{\{>\s*(["']?)([^}"'\s]+)\1[^}]*\}\}""")


@functools.lru_cache(_MOST_READ)
def find_included(text: str, file: str, is_agent: bool) -> tuple[Site, ...]:
    """The references of a content, each by its path in it: a field of an agent, or the partial as written.

    Raises `InvalidEnsemble` for an agent that is no YAML, and for a reference that is none.
    """
    if not is_agent:
        return tuple(_partials(text, file))
    source = read_yaml(text, file)
    return tuple(find_sites(source, ())) if isinstance(source.value, dict) else ()


def with_partials(text: str, content_of: Callable[[str], str | None]) -> str:
    """A text with its partials in their places. `content_of` knows what a partial holds; None for any other.

    Raises `InvalidEnsemble` where it would be longer than `LONGEST_TEXT`: a partial may stand in a text many times.
    """
    contents = {written: content_of(written) for _, written in dict.fromkeys(_PARTIAL.findall(text))}
    length = len(text) + sum(len(contents[found[2]] or "") for found in _PARTIAL.finditer(text))
    if length > LONGEST_TEXT:
        raise InvalidEnsemble(f"with what it includes a content is longer than {LONGEST_TEXT:,} characters")

    def part(match: re.Match[str]) -> str:
        content = contents[match[2]]
        return match[0] if content is None else content

    return _PARTIAL.sub(part, text)


def _partials(text: str, file: str) -> Iterator[Site]:
    for _, written in dict.fromkeys(_PARTIAL.findall(text)):
        try:
            found = find_reference(None, written, direct=False)
        except InvalidReference as error:
            raise InvalidEnsemble(f"`{written}`: {error.detail}", file=file) from None
        if found is not None:
            yield Site(written, found)
