"""The numbers that README.md states are those that the benchmarks wrote."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# By its path: the benchmarks are no package that is installed.
QUOTE = runpy.run_path(str(ROOT / "benchmarks" / "quote.py"))
names, quoted = QUOTE["names"], QUOTE["quoted"]
README = (ROOT / "README.md").read_text("utf-8")
FIGURES = json.loads((ROOT / "benchmarks" / "figures.json").read_text("utf-8"))


def test_the_readme_states_what_was_measured() -> None:
    assert len(names(README)) >= 3
    assert quoted(README, FIGURES) == README, "`make bench` brings README.md up to date"
    # A marker that is misspelled would be no figure, and never be held.
    assert len(names(README)) == len(re.findall(r"<!--\s*figure", README)) == len(re.findall(r"<!--\s*/figure", README))


def test_the_tables_are_of_the_same_run() -> None:
    tables = (ROOT / "benchmarks" / "results.md").read_text("utf-8")
    for name, digits in (("decision_to_floor", 2), ("http_to_constant", 2), ("expression_slowest_us", 2)):
        assert f"{FIGURES[name]:.{digits}f}" in tables.split("## A request", 1)[0], name


def test_figures_are_written_with_the_digits_that_stand_there() -> None:
    one, two = "<!-- figure:one -->9.9<!-- /figure -->", "<!-- figure:two -->0<!-- /figure -->"
    text = f"a {one} b {two} c {one}"
    wanted = text.replace("9.9", "1.2").replace(">0<", ">2,345<")
    assert quoted(text, {"one": 1.24, "two": 2345.4}) == wanted
    assert names(text) == ["one", "two", "one"]
    with pytest.raises(LookupError, match="`one`"):
        quoted(text, {"two": 1.0})
