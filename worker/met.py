"""What was bad in the documents that no snapshot holds: histories, and lists of versions that pins are looked up in.

They are read by single requests, so their problems are kept here for `/health`. Rules:

- a document's problems are those of its last reading: one that is read without fault has none;
- documents and problems are bounded in number. The document that was read longest ago goes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from resolver.documents import Decoded, Problem
from resolver.errors import InvalidDocument

T = TypeVar("T")

MOST_DOCUMENTS = 50
#: Problems that are named of one document.
MOST_OF_ONE = 20


class MetProblems:
    """The problems that this isolate has met in documents outside of its snapshot."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Problem, ...]] = {}

    def __iter__(self) -> Iterator[Problem]:
        return itertools.chain.from_iterable(self._found.values())

    def decoded(self, key: str, decode: Callable[[], Decoded[T]]) -> T:
        """What the document says; its problems are kept. Raises `InvalidDocument`."""
        try:
            found = decode()
        except InvalidDocument as error:
            self.keep([key], [Problem(key, "", error.detail)])
            raise
        self.keep([key], found.problems)
        return found.value

    def keep(self, read: Iterable[str], problems: Iterable[Problem]) -> None:
        """These documents were read, or are not there any more, and this is all that was bad in them."""
        problems = list(problems)
        for key in read:
            self._found.pop(key, None)
            if of_it := tuple(problem for problem in problems if problem.document == key):
                more = len(of_it) - MOST_OF_ONE
                rest = [Problem(key, "", f"{more} more entries are as bad")] if more > 0 else []
                self._found[key] = (*of_it[:MOST_OF_ONE], *rest)
        while len(self._found) > MOST_DOCUMENTS:
            del self._found[next(iter(self._found))]
