"""Where the figures are, and asking for them.

Rules:

- the address, the paths and the selectors may hold `{component}`, `{environment}` and `{version}`;
- another status than 200, a redirect, a time-out, an answer too large or cut off is `NoData` with the reason;
- no message holds the user, the password or the query of an address, or any token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import httpx

from edgit.guard.formats import Format, JsonRate, JsonTotals, Number, Prometheus, read_text
from edgit.guard.readings import InvalidWatch, Reading, Subject, Unreadable, excerpt
from edgit.guard.selectors import parse_selector
from resolver.errors import InvalidExpression
from resolver.expression import Expression, parse_expression

#: How long one reading may take as a whole, in seconds.
TIMEOUT: Final = 10.0
#: The largest answer that is read, in bytes: several times what a busy Prometheus exporter shows.
LARGEST: Final = 16 * 1024 * 1024
_SCHEMES: Final = ("http", "https")
_ACCEPT: Final = "text/plain;version=0.0.4, application/json;q=0.9, */*;q=0.1"


# The source


@dataclass(frozen=True, slots=True)
class MetricsSource:
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
) -> MetricsSource:
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
    return MetricsSource(address, read_as, own, _header_token(token))


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


# The request


def read(source: MetricsSource, *, timeout: float = TIMEOUT) -> Reading:
    """One reading, within `timeout` seconds in all. Never fails: whatever goes wrong is `NoData`."""
    try:
        text = asyncio.run(_body(source, timeout))
    except Unreadable as nothing:
        return nothing.told()
    return read_text(source.format, text)


async def _body(source: MetricsSource, timeout: float) -> str:
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
        raise Unreadable(f"it did not answer within {timeout:g} s") from None
    except (httpx.DecodingError, httpx.RemoteProtocolError):
        raise Unreadable("it did not answer in proper HTTP, or broke off its answer") from None
    except httpx.ConnectError as error:
        raise Unreadable(f"it could not be reached: {excerpt(str(error), 100)}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Only the kind of it: some of these quote the headers.
        raise Unreadable(f"it could not be read ({type(error).__name__})") from None


def _refuse(response: httpx.Response) -> None:
    """Fails for every status but 200; only that one has the figures as its content."""
    if response.has_redirect_location:
        target = excerpt(_shown(response.url.join(response.headers["location"])), 100)
        raise Unreadable(f"it answered {response.status_code}, a redirect to {target}, which is not followed")
    if response.status_code in (401, 403):
        raise Unreadable(f"it answered {response.status_code}: EDGIT_METRICS_TOKEN is missing or not accepted")
    if response.status_code != 200:
        raise Unreadable(f"it answered {response.status_code} {excerpt(response.reason_phrase)}".rstrip())


async def _text(response: httpx.Response) -> str:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise Unreadable(f"its answer is larger than {LARGEST // 1024**2} MiB")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("its answer is not UTF-8") from None


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(username="", password="", query=None, fragment=None))
