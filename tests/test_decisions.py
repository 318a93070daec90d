"""The decisions' pages: each has the form that docs/decisions/README.md names, and its line in the table there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_when_what_and_why(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()
    date = re.match(r"\d{4}-\d\d-\d\d(?=-)", page.name)
    assert date
    assert lines[0].startswith("# ")
    assert lines[2].startswith(f"- Date: {date[0]}")
    assert lines[3].startswith("- Status: ")
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"]


def test_the_table_names_every_page_by_its_title() -> None:
    found = re.findall(r"^\| (\S+) \| \[(.+)\]\((\S+)\) \|$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    titles = [(page.name[:10], page.read_text("utf-8").splitlines()[0].removeprefix("# "), page.name) for page in PAGES]
    assert found == titles
