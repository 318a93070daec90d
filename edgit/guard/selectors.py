"""Prometheus selectors, `name{label="value", …}`, as in PromQL. They may hold `{component}`, `{environment}` and
`{version}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgit.guard.readings import InvalidWatch, Subject


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label. A label that is not there has the empty value, as in Prometheus."""

    label: str
    operator: str
    value: str

    def matches(self, value: str) -> bool:
        """Whether a label's value fits; a pattern has to fit the whole of it."""
        match self.operator:
            case "=":
                return value == self.value
            case "!=":
                return value != self.value
            case "=~":
                return re.fullmatch(self.value, value) is not None
            case _:
                return re.fullmatch(self.value, value) is None


@dataclass(frozen=True, slots=True)
class Selector:
    """`name{label="value", …}`: the series of one metric whose labels fit."""

    text: str
    name: str
    matchers: tuple[Matcher, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of this metric is one of these."""
        return all(matcher.matches(labels.get(matcher.label, "")) for matcher in self.matchers)


_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")


_MATCHER = re.compile(
    r"""\s*(?P<label>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(?:,|(?=\}))"""
)


_ESCAPED: Final = {"n": "\n", "t": "\t"}


def parse_selector(text: str, subject: Subject) -> Selector:
    """`name` or `name{label="value", …}` with the operators `=`, `!=`, `=~`, `!~`, as in PromQL.

    A pattern is one of Python's and has to fit the whole value; what a placeholder stands for is taken literally in it.
    Raises `InvalidWatch`.
    """
    name = _NAME.match(text)
    if name is None:
        raise _invalid(text, "it starts with the name of a metric")
    rest = text[name.end() :]
    if not rest:
        return Selector(text, name[1])
    if rest[0] != "{":
        raise _invalid(text, f"`{rest}` is not expected after the name")
    matchers: list[Matcher] = []
    end = 1
    while match := _MATCHER.match(rest, end):
        matchers.append(_matcher(text, match, subject))
        end = match.end()
    if rest[end:].strip() != "}":
        raise _invalid(text, f'`{rest[end:]}` is not understood: labels are written as {{status="500", method!="GET"}}')
    return Selector(text, name[1], tuple(matchers))


def _matcher(text: str, match: re.Match[str], subject: Subject) -> Matcher:
    # In a pattern `\d` is a digit as well as PromQL's `\\d`: a backslash before anything else stays what it is.
    pattern = match["operator"] in ("=~", "!~")
    written = re.sub(
        r"\\([\"'\\])" if pattern else r"\\(.)",
        lambda escape: escape[1] if pattern else _ESCAPED.get(escape[1], escape[1]),
        match["value"][1:-1],
        flags=re.DOTALL,
    )
    value = subject.filled(written, quoted=re.escape if pattern else str)
    if pattern:
        try:
            re.compile(value)
        except re.error as error:
            raise _invalid(text, f"the pattern of `{match['label']}` is malformed: {error}") from None
    return Matcher(match["label"], match["operator"], value)


def _invalid(text: str, why: str) -> InvalidWatch:
    return InvalidWatch(f"The selector `{text}` cannot be read: {why}.")
