"""The order of versions, for many at once."""

from __future__ import annotations

from collections.abc import Iterable

from resolver.version import precedence


def by_precedence(versions: Iterable[str]) -> dict[str, int]:
    """Version → its place in the order of `resolver.version`.

    Give it all versions at once: components mostly share their versions, and to compare two of them is slow.
    """
    return {version: place for place, version in enumerate(sorted(set(versions), key=precedence))}


def highest_first(versions: Iterable[str]) -> list[str]:
    """The versions from the highest down."""
    return list(by_precedence(versions))[::-1]
