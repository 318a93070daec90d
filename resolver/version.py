"""Semantic versions and npm-style ranges.

Rules:

- a version is read with or without its `v` and always written with it: `v1.2.3-rc.1+build`;
- precedence is that of Semantic Versioning 2.0.0 (https://semver.org): v1.9.0 < v1.10.0, a pre-release is below its
  release;
- where precedence is equal the build metadata decides, as in npm's `compareBuild`: v1.0.0 < v1.0.0+b2 < v1.0.0+b10.
  None is the lowest, and its parts are compared like those of a pre-release. So no two versions are equal, and which
  one is the highest never depends on how they are listed;
- a range means what npm's `semver` makes of it: `^1.2.0`, `~1.2`, `1.x`, `>=1 <2`, `1.2 - 1.4`, `a || b`, `*`; a
  pre-release matches only where the range names one of the same major.minor.patch. Build metadata in a range is
  ignored. An empty alternative is `*`, and so is the empty range. White space is what JavaScript takes for it;
- order and matching are the `node-semver` package's; this module adds the strict grammar, since that package
  takes the readable beginning of a text and drops the rest in silence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from resolver.errors import InvalidVersion

#: Longest version or range read, in characters. npm's own limit.
LONGEST = 256

_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_TAIL = r"(?:-(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
_BUILD = r"\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?({_NUMBER}\.{_NUMBER}\.{_NUMBER}{_TAIL}(?:{_BUILD})?)")

_ANY = r"[xX*]"
# Only another `x` may follow an `x`: the package drops the 3 of `1.x.3` in silence.
_PARTIAL = (
    rf"v?(?:{_ANY}(?:\.{_ANY}){{0,2}}|{_NUMBER}(?:\.{_ANY}){{0,2}}"
    rf"|{_NUMBER}\.{_NUMBER}(?:\.(?:{_ANY}|{_NUMBER}{_TAIL}))?)"
)
# Each space can be read in only one way. If the spaces before a bare version were optional here too, a text of many
# spaces that is not a range would be tried in exponentially many ways.
_COMPARATOR = rf"(?:(?:\^|~>?|[<>]=?|=) ?)?{_PARTIAL}"
_ALTERNATIVE = re.compile(rf"{_PARTIAL} - {_PARTIAL}|{_COMPARATOR}(?: {_COMPARATOR})*")
#: What JavaScript's `trim` and `\s` take for white space.
_SPACE = re.compile(r"[\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+")
_ANYTHING = re.compile(r"(?:(?:(?:\^|~>?|>=|<=|=) ?)?v?[xX*](?:\.[xX*]){0,2}|>= ?v?0(?:\.[0xX*]){0,2})?")
#: Build metadata behind a version, or behind a part of one.
_METADATA = re.compile(rf"(?<=[0-9A-Za-z*]){_BUILD}(?= |$)")
#: A `v` after an operator is accepted by npm and by nothing else; it is taken off before the package sees it.
_V = re.compile(r"(?<![0-9A-Za-z.+-])v(?=[0-9])")


@functools.lru_cache(maxsize=8192)
def _match(text: str) -> str | None:
    found = _VERSION.fullmatch(text) if len(text) <= LONGEST else None
    return None if found is None else "v" + found[1]


def is_version(text: str) -> bool:
    """Whether `text` is one exact version, with or without its `v`."""
    return _match(text) is not None


def canonical(text: str) -> str:
    """`v1.2.3` for `1.2.3` and `v1.2.3`. Raises `InvalidVersion`."""
    version = _match(text)
    if version is None:
        raise InvalidVersion(f"`{text[:80]}` is not a version such as v1.2.3 or v1.2.3-rc.1", text=text, offset=0)
    return version


@functools.lru_cache(maxsize=8192)
def _parsed(text: str) -> Any:
    # Imported here: the operator's shortest commands never compare two versions. The Worker imports it as it starts.
    import nodesemver  # noqa: PLC0415

    return nodesemver.make_semver(canonical(text)[1:], loose=False)


def is_prerelease(text: str) -> bool:
    """Whether the version has a pre-release part, as v1.2.3-rc.1 has."""
    return bool(_parsed(text).prerelease)


def compare(left: str, right: str) -> int:
    """-1, 0 or 1: by precedence, then by build metadata. 0 is only for one and the same version."""
    order: int = _parsed(left).compare(_parsed(right))
    if order:
        return order
    one, other = _build(left), _build(right)
    return (one > other) - (one < other)


def _build(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """The build metadata in a form to compare: numbers as numbers and below words, then by their text (`1`, `01`)."""
    written = text.partition("+")[2]
    parts = written.split(".") if written else []
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts], written


#: A sort key: `sorted(versions, key=precedence)` is the one order of any list of versions.
precedence = functools.cmp_to_key(compare)


def highest(versions: Iterable[str], *, stable: bool = False) -> str | None:
    """The highest version, without pre-releases if `stable`; None of none."""
    best: str | None = None
    for version in versions:
        if stable and is_prerelease(version):
            continue
        if best is None or compare(version, best) > 0:
            best = version
    return best


@dataclass(frozen=True, slots=True)
class Range:
    """An npm-style range; `text` is as it was written."""

    text: str
    _range: Any = field(repr=False, compare=False, hash=False)

    def matches(self, version: str) -> bool:
        """Whether the version lies in the range."""
        return bool(self._range.test(_parsed(version)))

    def highest(self, versions: Iterable[str]) -> str | None:
        """The highest version that lies in the range; None where none does."""
        return highest(version for version in versions if self.matches(version))


@functools.lru_cache(maxsize=1024)
def parse_range(text: str) -> Range:
    """A range from its text. Raises `InvalidVersion`, which says what a range looks like."""
    alternatives = _alternatives(text)
    if alternatives is None:
        raise InvalidVersion(
            f"`{text[:80]}` is not a version range; ranges are written ^1.2.0, ~1.2, 1.x or >=1.2 <2",
            text=text,
            offset=0,
        )
    # npm lets one `*` among alternatives stand for all of them, which keeps pre-releases out; the package does not.
    plain = "*" if any(map(_ANYTHING.fullmatch, alternatives)) else _V.sub("", " || ".join(alternatives))
    import nodesemver  # noqa: PLC0415

    return Range(text, nodesemver.make_range(plain, loose=False))


def _alternatives(text: str) -> list[str] | None:
    """One part between the `||`, with single blanks and without build metadata; None if it is not a range."""
    if len(text) > LONGEST:
        return None
    found = [_METADATA.sub("", part.strip(" ")) for part in _SPACE.sub(" ", text).split("||")]
    return found if all(not part or _ALTERNATIVE.fullmatch(part) for part in found) else None
