"""Reading error rates from an address: a bare number, JSON by a path, or counters in Prometheus' text format.

Rules:

- an answer is a `Rate` over a period that the metrics choose, or `Totals`, counters that only go up, or `NoData`;
- whatever cannot be read for sure is `NoData` with the reason: another status than 200, a redirect, a page of HTML, a
  time-out, an answer too large or cut off, NaN, a negative number, a rate above 1. Nothing is read as 0 by default;
- a selector that could match nothing for ever by a slip (no such metric, no such label) is `NoData` too, not 0 errors;
- the address, the paths and the selectors may hold `{component}`, `{environment}` and `{version}`;
- no message holds the user, the password or the query of an address, or any token; what an answer said is shown short
  and without control characters.

From top to bottom: what a reading is, the subject, the formats, the source, and the request.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar, Final, TypeAlias
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families

from edgit.errors import EdgitError
from resolver.errors import InvalidExpression, listed, nearest
from resolver.expression import UNDEFINED, Expression, Needed, Scope, parse_expression
from resolver.nesting import too_deep

#: How long one reading may take as a whole, in seconds.
TIMEOUT: Final = 10.0
#: The largest answer that is read, in bytes: several times what a busy Prometheus exporter shows.
LARGEST: Final = 16 * 1024 * 1024

#: Among how many names at most the nearest one is sought, for an answer that has a million.
_MOST_NAMES: Final = 2_000
_SCHEMES: Final = ("http", "https")
_ACCEPT: Final = "text/plain;version=0.0.4, application/json;q=0.9, */*;q=0.1"
_PLACEHOLDER: Final = re.compile(r"\{(component|environment|version)\}")
_NUMBER: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|nan)", re.IGNORECASE)


class InvalidWatch(EdgitError):
    """What was asked for cannot be watched. Nothing was read and nothing moved."""

    # That of a wrong command line, and of "could not tell", which it also is.
    exit_code: ClassVar[int] = 2


# What a reading is


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate from 0 to 1, over a period that the metrics choose; `requests` in that period, if they are told."""

    rate: float
    requests: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Errors and requests since each process began, by series. A series that is not there has counted nothing yet."""

    errors: Mapping[str, float]
    requests: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NoData:
    """Nothing could be read; `why` is a clause such as `it answered 503`."""

    why: str


Reading: TypeAlias = Rate | Totals | NoData


class _Nothing(Exception):
    """Inside this module: no data, and why. The formats' `read` raises it, and `read_text` turns it into `NoData`."""

    def told(self) -> NoData:
        """What callers get."""
        return NoData(_printable(str(self)))


# The subject


@dataclass(frozen=True, slots=True)
class Subject:
    """What is watched. With `canary` it is the version at the pointer `<environment>-canary`, and its figures alone."""

    component: str
    environment: str
    version: str
    canary: bool = False

    @property
    def pointer(self) -> str:
        """The environment whose pointer is watched."""
        return f"{self.environment}-canary" if self.canary else self.environment

    def __str__(self) -> str:
        return f"{self.component} {self.version} on {self.pointer}"

    def filled(self, text: str, quoted: Callable[[str], str] = str) -> str:
        """The text with each placeholder replaced by its value, which goes through `quoted` first."""
        values = {"component": self.component, "environment": self.environment, "version": self.version}
        return _PLACEHOLDER.sub(lambda match: quoted(values[match[1]]), text)


# The formats


@dataclass(frozen=True, slots=True)
class Number:
    """An answer that is one number: the error rate."""

    def read(self, text: str) -> Reading:
        """The rate; how many requests it is of is not known."""
        # Stripped once for both: `float` strips fewer characters than `strip` does.
        number = text.strip()
        if not _NUMBER.fullmatch(number):
            raise _Nothing(f"the answer is {_kind(text)}")
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


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Two counters in Prometheus' text format."""

    errors: Selector
    requests: Selector

    def read(self, text: str) -> Reading:
        """The series of both. Selected series that are not there yet have counted nothing."""
        if text.lstrip()[:1] in ("{", "["):
            raise _Nothing(f"the answer is {_kind(text)}")
        return Totals(_selected(self.errors, text), _selected(self.requests, text))


Format: TypeAlias = Number | JsonRate | JsonTotals | Prometheus


def _rate(number: float, what: str) -> float:
    if math.isnan(number):
        raise _Nothing(f"{what} is NaN, as the rate of no requests is")
    if number < 0:
        raise _Nothing(f"{what} is {number:g}: a rate is never negative")
    if number > 1:
        raise _Nothing(
            f"{what} is {number:g}: a rate is at most 1 (of a percentage, --json-path 'input / 100' makes one)"
        )
    return number


def _count(number: float, what: str) -> float:
    if not math.isfinite(number) or number < 0:
        raise _Nothing(f"{what} is {number:g}, which counts nothing")
    return number


def _document(text: str) -> object:
    if too_deep(text):
        raise _Nothing("the answer is nested too deep")
    try:
        return json.loads(text)
    except ValueError:
        raise _Nothing(f"the answer is {_kind(text)}") from None


def _value(path: Expression, document: object) -> float:
    members = document if isinstance(document, dict) else {}
    try:
        value = path.evaluate(Scope(input=document, variables=members))
    except Needed as missing:
        known = listed(_excerpt(name) for name in members)
        hint = nearest(missing.name, islice(members, _MOST_NAMES))
        raise _Nothing(f"the answer has no `{missing.name}`; it has: {known}.{hint}".removesuffix(".")) from None
    if value is UNDEFINED:
        raise _Nothing(f"the answer has nothing at `{path.text}`")
    # Prometheus' own interface writes its numbers as texts.
    if type(value) is str and _NUMBER.fullmatch(value.strip()):
        return float(value.strip())
    if type(value) is int or type(value) is float:
        return float(value)
    raise _Nothing(f"`{path.text}` is {_excerpt(json.dumps(value, default=str))}, not a number")


def _selected(selector: Selector, text: str) -> dict[str, float]:
    """Each selected series with its value. Fails where nothing could ever be selected."""
    samples = list(_samples(selector.name, text))
    if not samples and not _announced(selector.name, text):
        names = {
            match[1] for match in re.finditer(r"^[ \t]*([a-zA-Z_:][\w:]*)(?=[ \t{])", text, re.MULTILINE | re.ASCII)
        }
        if not names:
            raise _Nothing(f"the answer is {_kind(text)}")
        hint = nearest(selector.name, islice(names, _MOST_NAMES))
        raise _Nothing(f"the answer has no metric `{selector.name}`.{hint}".removesuffix("."))
    labels = {label for labels, _ in samples for label in labels}
    for matcher in selector.matchers if samples else ():
        if matcher.label not in labels and not matcher.matches(""):
            raise _Nothing(f"no series of `{selector.name}` has a label `{matcher.label}`; they have: {listed(labels)}")
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
            raise _Nothing(f"it has a line that cannot be read: {_excerpt(line)}") from None
        for labels, value in values:
            series = _series(name, labels)
            if series in seen:
                raise _Nothing(f"it has {_excerpt(series)} twice")
            seen.add(series)
            yield labels, _count(value, _excerpt(series))


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
    if _NUMBER.fullmatch(start.rstrip()):
        return "a bare number"
    if start[0] == "<":
        return "a page of HTML or XML, perhaps of a log-in or of an error"
    if start[0] in "{[":
        with_path = "JSON; --json-path, or --errors-path and --requests-path, say where its figures are"
        try:
            json.loads(start)
        except (ValueError, RecursionError):
            return f"no whole JSON: {_excerpt(start)}"
        return with_path
    if re.match(r"# (?:TYPE|HELP) ", start):
        return "in Prometheus' format; --errors and --requests select its counters"
    return f"not understood: {_excerpt(start)}"


def _excerpt(text: str, most: int = 60) -> str:
    return _printable(text if len(text) <= most else f"{text[:most]}…")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


# The source


@dataclass(frozen=True, slots=True)
class Source:
    """Where the figures are and how to read them; `own` says that they are the watched version's alone.

    The address may hold a password; `shown` is what to show of it.
    """

    url: str = field(repr=False)
    format: Format
    own: bool = False
    token: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """The address without user, password, query and fragment."""
        return _shown(httpx.URL(self.url))


def source(
    url: str,
    subject: Subject,
    *,
    json_path: str | None = None,
    requests_path: str | None = None,
    errors_path: str | None = None,
    errors: str | None = None,
    requests: str | None = None,
    token: str | None = None,
) -> Source:
    """The source that the options describe: none of them for a bare number, paths for JSON, selectors for Prometheus.

    `token` is sent as a bearer token, to this address only: no redirect is followed.

    Raises `InvalidWatch` when they do not go together or cannot be parsed, and when a canary's figures would be read
    from what counts the stable version too: every part of the figures, or the address, must name `{version}`.
    """
    parts = [part for part in (json_path, requests_path, errors_path, errors, requests) if part is not None]
    own = "{version}" in url or (bool(parts) and all("{version}" in part for part in parts))
    if subject.canary and not own:
        raise InvalidWatch(
            "A canary is judged by its own figures, and these would count the stable version's requests too.",
            hint="Put {version} in the address, or in every path or selector: "
            "--requests 'http_requests_total{version=\"{version}\"}'.",
        )
    address = _address(subject.filled(url, quoted=lambda value: quote(value, safe="")))
    read_as = _format(subject, json_path, requests_path, errors_path, errors, requests)
    return Source(address, read_as, own, _header_token(token))


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
        readable = parsed.scheme in _SCHEMES and bool(parsed.host)
    except httpx.InvalidURL:
        # Its message may quote a part of a password.
        readable = False
    if not readable:
        raise InvalidWatch("--metrics is not an address that can be read.", hint="It starts with https:// or http://.")
    return url


def _header_token(token: str | None) -> str | None:
    """The token as a header can hold it; None for an empty one, which is what an unset secret is in CI."""
    stripped = (token or "").strip()
    if not (stripped.isascii() and stripped.isprintable()):
        raise InvalidWatch("EDGIT_METRICS_TOKEN holds characters that no header can.")
    return stripped or None


def _format(
    subject: Subject,
    json_path: str | None,
    requests_path: str | None,
    errors_path: str | None,
    errors: str | None,
    requests: str | None,
) -> Format:
    paths = [path for path in (json_path, requests_path, errors_path) if path is not None]
    selectors = [selector for selector in (errors, requests) if selector is not None]
    if paths and selectors:
        raise InvalidWatch(
            "--errors and --requests read Prometheus, the options that end in -path read JSON: not both."
        )
    if errors is not None and requests is not None:
        return Prometheus(parse_selector(errors, subject), parse_selector(requests, subject))
    if selectors:
        raise InvalidWatch("--errors and --requests go together: a rate is the one divided by the other.")
    if json_path is not None and errors_path is None:
        return JsonRate(_path(json_path, subject), None if requests_path is None else _path(requests_path, subject))
    if errors_path is not None and requests_path is not None and json_path is None:
        return JsonTotals(_path(errors_path, subject), _path(requests_path, subject))
    if paths:
        raise InvalidWatch(
            "These paths do not make a rate.",
            hint="Give --json-path for a rate, and --requests-path for the requests that it is of; "
            "or --errors-path and --requests-path for two counters that only go up.",
        )
    return Number()


def _path(text: str, subject: Subject) -> Expression:
    try:
        return parse_expression(subject.filled(text))
    except InvalidExpression as error:
        raise InvalidWatch(f"The path `{text}` cannot be read: {error}") from None


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


# The request


def read(source: Source, *, timeout: float = TIMEOUT) -> Reading:
    """One reading, within `timeout` seconds in all. Never fails: whatever goes wrong is `NoData`."""
    try:
        text = asyncio.run(_body(source, timeout))
    except _Nothing as nothing:
        return nothing.told()
    return read_text(source.format, text)


def read_text(read_as: Format, text: str) -> Reading:
    """What an answer's text says in this format. Never fails."""
    try:
        return read_as.read(text)
    except _Nothing as nothing:
        return nothing.told()


async def _body(source: Source, timeout: float) -> str:
    headers = {"accept": _ACCEPT, "cache-control": "no-cache", "user-agent": "edgit"}
    if source.token:
        headers["authorization"] = f"Bearer {source.token}"
    try:
        # httpx bounds each step; a server that sends a byte now and then would stay below that for ever.
        async with (
            asyncio.timeout(timeout),
            httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client,
            client.stream("GET", source.url, headers=headers) as response,
        ):
            _refuse(response)
            return await _text(response)
    except (TimeoutError, httpx.TimeoutException):
        raise _Nothing(f"it did not answer within {timeout:g} s") from None
    except (httpx.DecodingError, httpx.RemoteProtocolError):
        raise _Nothing("it did not answer in proper HTTP, or broke off its answer") from None
    except httpx.ConnectError as error:
        raise _Nothing(f"it could not be reached: {_excerpt(str(error), 100)}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Only the kind of it: some of these quote the headers.
        raise _Nothing(f"it could not be read ({type(error).__name__})") from None


def _refuse(response: httpx.Response) -> None:
    """Fails for every status but 200; only that one has the figures as its content."""
    if response.has_redirect_location:
        target = _excerpt(_shown(response.url.join(response.headers["location"])), 100)
        raise _Nothing(f"it answered {response.status_code}, a redirect to {target}, which is not followed")
    if response.status_code in (401, 403):
        raise _Nothing(f"it answered {response.status_code}: EDGIT_METRICS_TOKEN is missing or not accepted")
    if response.status_code != 200:
        raise _Nothing(f"it answered {response.status_code} {_excerpt(response.reason_phrase)}".rstrip())


async def _text(response: httpx.Response) -> str:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise _Nothing(f"its answer is larger than {LARGEST // 1024**2} MiB")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Nothing("its answer is not UTF-8") from None


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(username="", password="", query=None, fragment=None))
