"""Reading error rates from text: a bare number, JSON by a path, or counters in Prometheus' text format.

Rules:

- whatever cannot be read for sure is `NoData` with the reason: a page of HTML, NaN, a negative number, a rate above 1.
  Nothing is read as 0 by default, not a null either (`edgit.guard.operands`);
- a selector that could match nothing for ever by a slip (no such metric, no such label) is `NoData` too, not 0 errors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from edgit.guard.operands import NUMBER, refuse_missing
from edgit.guard.readings import Rate, Reading, Totals, Unreadable, excerpt
from edgit.guard.selectors import Selector
from resolver.errors import listed, nearest
from resolver.expression import UNDEFINED, Expression, Needed, Scope
from resolver.nesting import too_deep

#: Among how many names at most the nearest one is sought, for an answer that has a million.
_MOST_NAMES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Number:
    """An answer that is one number: the error rate."""

    def read(self, text: str) -> Reading:
        """The rate; how many requests it is of is not known."""
        # Stripped once for both: `float` strips fewer characters than `strip` does.
        number = text.strip()
        if not NUMBER.fullmatch(number):
            raise Unreadable(f"the answer is {_kind(text)}")
        return Rate(_rate(float(number), "the answer"))


@dataclass(frozen=True, slots=True)
class JsonRate:
    """A rate in a JSON answer, and the requests that it is of."""

    rate: Expression
    requests: Expression | None = None

    def read(self, text: str) -> Reading:
        """The rate, with the requests if a path to them is given."""
        document = _document(text)
        rate = _rate(_value(self.rate, document), f"`{self.rate.text}`")
        if self.requests is None:
            return Rate(rate)
        return Rate(rate, _count(_value(self.requests, document), f"`{self.requests.text}`"))


@dataclass(frozen=True, slots=True)
class JsonTotals:
    """Two counters in a JSON answer."""

    errors: Expression
    requests: Expression

    def read(self, text: str) -> Reading:
        """Both counters, each as one series that its path names."""
        document = _document(text)
        errors, requests = (_count(_value(path, document), f"`{path.text}`") for path in (self.errors, self.requests))
        return Totals({self.errors.text: errors}, {self.requests.text: requests})


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Two counters in Prometheus' text format."""

    errors: Selector
    requests: Selector

    def read(self, text: str) -> Reading:
        """The series of both. Selected series that are not there yet have counted nothing."""
        if text.lstrip()[:1] in ("{", "["):
            raise Unreadable(f"the answer is {_kind(text)}")
        return Totals(_selected(self.errors, text), _selected(self.requests, text))


Format: TypeAlias = Number | JsonRate | JsonTotals | Prometheus


def _rate(number: float, what: str) -> float:
    if math.isnan(number):
        raise Unreadable(f"{what} is NaN, as the rate of no requests is")
    if number < 0:
        raise Unreadable(f"{what} is {number:g}: a rate is never negative")
    if number > 1:
        raise Unreadable(
            f"{what} is {number:g}: a rate is at most 1 (of a percentage, --json-path 'input / 100' makes one)"
        )
    return number


def _count(number: float, what: str) -> float:
    if not math.isfinite(number) or number < 0:
        raise Unreadable(f"{what} is {number:g}, which counts nothing")
    return number


def _document(text: str) -> object:
    if too_deep(text):
        raise Unreadable("the answer is nested too deep")
    try:
        document = json.loads(text)
    except ValueError:
        raise Unreadable(f"the answer is {_kind(text)}") from None
    _refuse_several(document)
    return document


def _refuse_several(document: object) -> None:
    """Of several series in an answer of Prometheus' own interface, in no order, a path would read one by chance."""
    data = document.get("data") if isinstance(document, dict) else None
    result = data.get("result") if isinstance(data, dict) and data.get("resultType") in ("vector", "matrix") else None
    if isinstance(result, list) and len(result) > 1:
        raise Unreadable(f"the answer holds {len(result)} series, and one is read; let the query add them up: sum(…)")


def _value(path: Expression, document: object) -> float:
    members = document if isinstance(document, dict) else {}
    scope = Scope(input=document, variables=members)
    try:
        value = path.evaluate(scope)
        refuse_missing(path.tree, scope)
    except Needed as missing:
        known = listed(excerpt(name) for name in members)
        hint = nearest(missing.name, islice(members, _MOST_NAMES))
        raise Unreadable(f"the answer has no `{missing.name}`; it has: {known}.{hint}".removesuffix(".")) from None
    if value is UNDEFINED:
        raise Unreadable(f"the answer has nothing at `{path.text}`")
    # Prometheus' own interface writes its numbers as texts.
    if type(value) is str and NUMBER.fullmatch(value.strip()):
        return float(value.strip())
    if type(value) is int or type(value) is float:
        return float(value)
    raise Unreadable(f"`{path.text}` is {excerpt(json.dumps(value, default=str))}, not a number")


def _selected(selector: Selector, text: str) -> dict[str, float]:
    """Each selected series with its value. Fails where nothing could ever be selected."""
    samples = list(_samples(selector.name, text))
    if not samples and not _announced(selector.name, text):
        names = {
            match[1] for match in re.finditer(r"^[ \t]*([a-zA-Z_:][\w:]*)(?=[ \t{])", text, re.MULTILINE | re.ASCII)
        }
        if not names:
            raise Unreadable(f"the answer is {_kind(text)}")
        hint = nearest(selector.name, islice(names, _MOST_NAMES))
        raise Unreadable(f"the answer has no metric `{selector.name}`.{hint}".removesuffix("."))
    labels = {label for labels, _ in samples for label in labels}
    for matcher in selector.matchers if samples else ():
        if matcher.label not in labels and not matcher.matches(""):
            raise Unreadable(
                f"no series of `{selector.name}` has a label `{matcher.label}`; they have: {listed(labels)}"
            )
    return {_series(selector.name, labels): value for labels, value in samples if selector.matches(labels)}


def _samples(name: str, text: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """The samples of one metric. Only its own lines are parsed: an exporter may have a thousand times as many."""
    seen: set[str] = set()
    for match in re.finditer(rf"^[ \t]*{re.escape(name)}(?=[ \t{{]).*$", text, re.MULTILINE):
        line = match[0]
        try:
            samples = [sample for family in text_string_to_metric_families(line) for sample in family.samples]
            values = [(sample.labels, float(sample.value)) for sample in samples]
        except (ValueError, OverflowError):
            raise Unreadable(f"it has a line that cannot be read: {excerpt(line)}") from None
        for labels, value in values:
            series = _series(name, labels)
            if series in seen:
                raise Unreadable(f"it has {excerpt(series)} twice")
            seen.add(series)
            yield labels, _count(value, excerpt(series))


def _announced(name: str, text: str) -> bool:
    """Whether a metric that has no sample yet is described."""
    names = {name, re.sub(r"_(?:total|count|sum|bucket)$", "", name)}
    return any(re.search(rf"^# (?:TYPE|HELP) {re.escape(known)}\s", text, re.MULTILINE) for known in names)


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f"{label}={json.dumps(labels[label], ensure_ascii=False)}" for label in sorted(labels))
    return f"{name}{{{inside}}}" if inside else name


def _kind(text: str) -> str:
    """What an answer is, when it is not what was asked for, and how to read it if there is a way."""
    start = text.lstrip()
    if not start:
        return "empty"
    if NUMBER.fullmatch(start.rstrip()):
        return "a bare number"
    if start[0] == "<":
        return "a page of HTML or XML, perhaps of a log-in or of an error"
    if start[0] in "{[":
        with_path = "JSON; --json-path, or --errors-path and --requests-path, say where its figures are"
        try:
            json.loads(start)
        except (ValueError, RecursionError):
            return f"no whole JSON: {excerpt(start)}"
        return with_path
    if re.match(r"# (?:TYPE|HELP) ", start):
        return "in Prometheus' format; --errors and --requests select its counters"
    return f"not understood: {excerpt(start)}"


def read_text(read_as: Format, text: str) -> Reading:
    """What an answer's text says in this format. Never fails."""
    try:
        return read_as.read(text)
    except Unreadable as nothing:
        return nothing.told()
