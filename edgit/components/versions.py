"""What a repository says: its components, its tags, its ledger, and where tags and ledger differ.

Rules:

- this module reads; nothing here changes a ref or a file;
- a command loads the world once and decides on it. What is read lazily (the ledger's past) is read once;
- a repository without a ledger is read as if its tags had begun one: `World.genesis` is that entry, not yet written;
- what tags, files or the registry say that cannot be used is in `World.doubts`, for a person to read, never dropped in
  silence;
- git is asked as often for a thousand components as for one.
"""

from __future__ import annotations

from collections.abc import Iterable

from resolver.version import precedence


def by_precedence(versions: Iterable[str]) -> dict[str, int]:
    """Version → its place by precedence, that of equals by their text. Components share their versions, mostly, and to
    compare two is slow."""
    return {version: place for place, version in enumerate(sorted(set(versions), key=precedence))}
