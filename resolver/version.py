"""Semantic versions and npm-style ranges.

Rules:

- a version is read with or without its `v` and always written with it: `v1.2.3-rc.1+build`;
- precedence is that of Semantic Versioning 2.0.0 (https://semver.org): v1.9.0 < v1.10.0, a pre-release is below its
  release, build metadata is kept in the text and never ranked;
- a range means what npm's `semver` makes of it: `^1.2.0`, `~1.2`, `1.x`, `>=1 <2`, `1.2 - 1.4`, `a || b`, `*`; a
  pre-release matches only where the range names one of the same major.minor.patch;
- order and matching are the `node-semver` package's; this module adds the strict grammar, since that package takes
  the readable beginning of a text and drops the rest in silence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import nodesemver

from resolver.errors import InvalidVersion

#: Longest version or range read, in characters. npm's own limit.
LONGEST = 256

_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_TAIL = r"(?:-(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
_BUILD = r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_VERSION = re.compile(rf"v?({_NUMBER}\.{_NUMBER}\.{_NUMBER}{_TAIL}{_BUILD})")

_ANY = r"[xX*]"
# Only another `x` may follow an `x`: the package drops the 3 of `1.x.3` in silence.
_PARTIAL = (
    rf"v?(?:{_ANY}(?:\.{_ANY}){{0,2}}|{_NUMBER}(?:\.{_ANY}){{0,2}}"
    rf"|{_NUMBER}\.{_NUMBER}(?:\.(?:{_ANY}|{_NUMBER}{_TAIL}{_BUILD}))?)"
)
# Each space can be read in one way alone: were those before a bare version optional here too, a text of many spaces
# that is no range would be tried in exponentially many ways.
_COMPARATOR = rf"(?:(?:\^|~>?|[<>]=?|=)[ ]*)?{_PARTIAL}"
_ALTERNATIVE = rf"(?:{_PARTIAL}[ ]+-[ ]+{_PARTIAL}|{_COMPARATOR}(?:[ ]+{_COMPARATOR})*)"
_RANGE = re.compile(rf"[ ]*{_ALTERNATIVE}[ ]*(?:\|\|[ ]*{_ALTERNATIVE}[ ]*)*")
_ANYTHING = re.compile(r"(?:(?:\^|~>?|>=|<=|=)[ ]*)?v?[xX*](?:\.[xX*]){0,2}|>=[ ]*v?0(?:\.[0xX*]){0,2}")
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
    return nodesemver.make_semver(canonical(text)[1:], loose=False)


def is_prerelease(text: str) -> bool:
    """Whether the version has a pre-release part, as v1.2.3-rc.1 has."""
    return bool(_parsed(text).prerelease)


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 by precedence; versions that differ in build metadata alone are equal (0)."""
    order: int = _parsed(left).compare(_parsed(right))
    return order


#: A sort key by precedence: `sorted(versions, key=precedence)`.
precedence = functools.cmp_to_key(compare)


def highest(versions: Iterable[str], *, stable: bool = False) -> str | None:
    """The highest version, without pre-releases if `stable`; the last listed of equals; None of none."""
    best: str | None = None
    for version in versions:
        if stable and is_prerelease(version):
            continue
        if best is None or compare(version, best) >= 0:
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
        """The highest of the versions that lies in the range; None where none does."""
        return highest(version for version in versions if self.matches(version))


@functools.lru_cache(maxsize=1024)
def parse_range(text: str) -> Range:
    """A range from its text. Raises `InvalidVersion`, which says what a range looks like."""
    if len(text) > LONGEST or _RANGE.fullmatch(text) is None:
        raise InvalidVersion(
            f"`{text[:80]}` is not a version range; ranges are written ^1.2.0, ~1.2, 1.x or >=1.2 <2",
            text=text,
            offset=0,
        )
    alternatives = [alternative.strip() for alternative in text.split("||")]
    # npm lets one `*` among alternatives stand for all of them, which keeps pre-releases out; the package does not.
    plain = "*" if any(_ANYTHING.fullmatch(a) for a in alternatives) else _V.sub("", text)
    return Range(text, nodesemver.make_range(plain, loose=False))
