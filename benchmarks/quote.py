"""Numbers of figures.json in other texts: `<!-- figure:decision_us -->0.88<!-- /figure -->`.

A figure is written with as many digits behind the point as the text has there already, thousands with a comma where the
number is one of four digits or more. `make bench` writes README.md's anew; tests/test_readme_figures.py holds the two
together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIGURE = re.compile(r"(<!-- figure:([a-z0-9_]+) -->)([0-9.,]*)(<!-- /figure -->)")


def quoted(text: str, figures: Mapping[str, float]) -> str:
    """The text with its figures brought up to date. Raises `LookupError` for one that there is none of."""

    def written(found: re.Match[str]) -> str:
        before, name, shown, after = found.groups()
        if name not in figures:
            raise LookupError(f"there is no figure `{name}`; there are {', '.join(figures)}")
        digits = len(shown.partition(".")[2])
        return f"{before}{figures[name]:,.{digits}f}{after}"

    return _FIGURE.sub(written, text)


def names(text: str) -> list[str]:
    """The figures that a text quotes."""
    return [found[2] for found in _FIGURE.finditer(text)]
