"""All that git says KV should hold, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from resolver.documents import Move, Release
from resolver.snapshot import Pointers

VersionKey = tuple[str, str]
"""A component and one of its versions."""


#: The pointers that no move moves: they follow the versions.
DERIVED = ("latest", "stable")


@dataclass(frozen=True, slots=True)
class Content:
    """One version's file: its type, the commit it was tagged at, its object's id, and since which generation it is."""

    type: str | None
    commit: str | None
    blob: str
    generation: int


@dataclass(frozen=True, slots=True)
class Publication:
    """All that git says KV should hold, as of one commit of the ledger.

    `types` are those of the components whose type is known. `pointers` hold `latest` and `stable` too. `moves` are
    oldest first, with their generation and without `published_at`.
    """

    generation: int
    revision: str
    pointers: Pointers
    moves: Mapping[str, tuple[Move, ...]] = field(default_factory=dict)
    releases: Mapping[str, tuple[Release, ...]] = field(default_factory=dict)
    contents: Mapping[VersionKey, Content] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    #: Component → the generation of the last change of what is withdrawn of it.
    withdrawals: Mapping[str, int] = field(default_factory=dict)
    #: The digest of the pointers that are held back; None where none is.
    held_back: str | None = None


class PublicationSource(Protocol):
    """Git, as far as publishing asks it."""

    @property
    def generation(self) -> int:
        """That of the ledger's tip."""

    @property
    def revision(self) -> str:
        """The commit id of the ledger's tip."""

    def pointers_at(self, revision: str) -> Pointers | None:
        """The version map as of a commit of the ledger; None where it is not the tip or an ancestor of it."""

    def publication(self) -> Publication:
        """All that should be in KV; reads the whole ledger."""

    def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """Files by object id; one that git has not is left out."""
