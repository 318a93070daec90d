"""What all tests share: in CI, properties are tried on the same examples each time; on a desk on new ones.

Files are handed out whole, in the order in which they are collected: those that take longest come first, so that no
processor is left waiting for one in the end.

`make quick` tries a quarter of the examples. No example has a deadline: on a busy machine any takes long once.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

#: The files, or folders, that take longest.
LONG = (
    "test_killed",
    "test_page.py",
    "tests/conductor/",
    "tests/edge/",
    "tests/edgit/",
    "test_local.py",
    "test_expression_node.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((place for place, part in enumerate(LONG) if part in item.path.as_posix()), len(LONG))

    items.sort(key=place)
