"""HTTP: from a request's plain values to an answer's.

    Request ─> handle ─> the route ─> authorised? ─> Exchange.… ─> Response

Rules:

- every error is a problem document, and `handle` never raises;
- each route says which query parameters it takes; any other one is an error and is never ignored;
- HEAD is answered like GET, without the body.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from msgspec.structs import replace as with_fields

from resolver.errors import InvalidRequest, NotFound, ResolverError, listed, nearest
from worker.calls import Call, ComponentAnswer, EnsembleCall, ReferencesCall, VersionCall, decode_call, encoded
from worker.edge import Edge, Exchange, Platform
from worker.lease import RETRY_FOR
from worker.problem import CONTENT_TYPE, Refused, problem_of
from worker.settings import Settings

log = logging.getLogger("edge-resolver")

#: The largest body, in bytes.
LARGEST_BODY = 1024 * 1024
#: The longest key in a header, percent-encoded. Some clients refuse answers with more than 16 KB of headers.
LONGEST_KEY_HEADER = 2048

_RESOLVING = ("environment", "key", "at", "region")


class Request(msgspec.Struct, frozen=True):
    """An HTTP request as plain values. `path` is still percent-encoded, header names are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    region: str | None = None


class Response(msgspec.Struct, frozen=True):
    """An HTTP answer as plain values."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


B = TypeVar("B", bound=Call)

Query: TypeAlias = dict[str, str]
Answer: TypeAlias = Callable[[Exchange, Request, Query, str], Awaitable[Response]]


class Route(NamedTuple):
    """One call: the method, how the path is written, the query parameters that it takes, and who answers."""

    method: str
    path: str
    query: tuple[str, ...]
    answer: Answer


async def handle(edge: Edge, request: Request, platform: Platform) -> Response:
    """Answer an HTTP request. Never raises: every failure is an answer."""
    exchange = edge.begin(platform)
    try:
        response = await _routed(edge.settings, exchange, request)
    except RecursionError:
        response = _failed(exchange, InvalidRequest("the request is nested too deeply to be read"))
    except ResolverError as error:
        response = _failed(exchange, error)
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        response = _failed(exchange, internal(error))
    if request.method != "HEAD" or response.status == 304:
        return response
    length = ("content-length", str(len(response.body)))
    return Response(response.status, (*response.headers, length), b"")


def internal(error: Exception) -> Refused:
    """What a caller is told of a fault of ours."""
    return Refused(500, "Internal error", f"{type(error).__name__} inside the resolver; its log has the trace")


def problem_response(error: ResolverError, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An error as a problem document."""
    return Response(error.status, (("content-type", CONTENT_TYPE), *headers), encoded(problem_of(error)))


def _failed(exchange: Exchange, error: ResolverError) -> Response:
    error = exchange.told(error)
    headers = [("cache-control", "no-store")]
    if error.status == 503:
        headers.append(("retry-after", str(round(RETRY_FOR))))
    if isinstance(error, Refused):
        headers += error.headers
    return problem_response(error, tuple(headers))


# The routes


async def _resolve(exchange: Exchange, request: Request, query: Query, _: str) -> Response:
    return _answer(await exchange.resolve_references(_body(request, query, ReferencesCall)), _stale(exchange))


async def _resolve_ensemble(exchange: Exchange, request: Request, query: Query, name: str) -> Response:
    return _answer(await exchange.resolve_ensemble(name, _body(request, query, EnsembleCall)), _stale(exchange))


async def _component(exchange: Exchange, request: Request, query: Query, reference: str) -> Response:
    found = await exchange.component(reference, _regional(msgspec.convert(query, Call), request))
    return _component_response(request, found, _stale(exchange))


async def _version(exchange: Exchange, _: Request, query: Query, __: str) -> Response:
    versions = await exchange.version(_version_call(query), query.get("component"))
    return _answer(versions, _stale(exchange))


async def _past(exchange: Exchange, _: Request, query: Query, __: str) -> Response:
    if "at" not in query:
        raise InvalidRequest(
            "say which instant: /history?at=2024-11-12T14:47:00Z, or which component: /history/{name}", field="at"
        )
    return _answer(await exchange.version(_version_call(query), None))


async def _history(exchange: Exchange, _: Request, __: Query, name: str) -> Response:
    return _answer(await exchange.history(name))


ROUTES = (
    Route("POST", "/resolve", _RESOLVING, _resolve),
    Route("POST", "/ensembles/{name}/resolve", _RESOLVING, _resolve_ensemble),
    Route("GET", "/components/{name}@{selector}", _RESOLVING, _component),
    Route("GET", "/version", ("environment", "at", "component"), _version),
    Route("GET", "/history/{name}", (), _history),
    Route("GET", "/history?at=", ("environment", "at"), _past),
)
_EXACT = {route.path.partition("?")[0]: route for route in ROUTES if "{" not in route.path}
_WITH_NAME = [
    (route.path.partition("{")[0], route.path.rpartition("}")[2], route) for route in ROUTES if "{" in route.path
]


async def _routed(settings: Settings, exchange: Exchange, request: Request) -> Response:
    authorised = _authorised(settings, request)
    if request.path.strip("/") == "health":
        _allow(request, "GET")
        _query(request, ())
        health = await exchange.health(authorised=authorised)
        return _answer(health, status=503 if health.status == "down" else 200)
    if not authorised:
        raise _unauthorised(settings, request)
    if len(request.body) > LARGEST_BODY:
        raise Refused(413, "Body too large", f"{len(request.body):,} bytes; a body has at most {LARGEST_BODY:,}")
    route, name = _route("/" + _unquoted(request.path, "path").strip("/"))
    _allow(request, route.method)
    query = _query(request, route.query) if request.query else {}
    return await route.answer(exchange, request, query, name)


def _route(path: str) -> tuple[Route, str]:
    """Which call a path is, and what stands in its braces. Raises `NotFound`."""
    if route := _EXACT.get(path):
        return route, ""
    for before, behind, route in _WITH_NAME:
        if path.startswith(before) and path.endswith(behind) and len(path) > len(before) + len(behind):
            return route, path[len(before) : len(path) - len(behind)]
    calls = ", ".join(f"{route.method} {route.path}" for route in ROUTES)
    raise NotFound(f"there is no {path[:200]}; there are {calls}, GET /health")


# Who may ask


def _authorised(settings: Settings, request: Request) -> bool:
    if settings.allow_anonymous:
        return True
    token = settings.resolver_token
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def _unauthorised(settings: Settings, request: Request) -> Refused:
    scheme = request.headers.get("authorization", "").partition(" ")[0]
    if not settings.resolver_token:
        detail = (
            "this deployment has no RESOLVER_TOKEN and so answers nobody over HTTP; "
            "set the secret with `wrangler secret put RESOLVER_TOKEN`, or call it over a service binding"
        )
    elif scheme.lower() == "bearer":
        detail = "the token in `Authorization` is not this deployment's"
    else:
        given = f"`Authorization` says `{scheme[:40]}`; " if scheme else ""
        detail = f"{given}send the deployment's token as `Authorization: Bearer <token>`"
    return Refused(401, "Not authorised", detail, (("www-authenticate", 'Bearer realm="edge-resolver"'),))


def _allow(request: Request, method: str) -> None:
    allowed = (method, "HEAD") if method == "GET" else (method,)
    if request.method not in allowed:
        detail = f"{request.method} is not answered here; use {method}"
        raise Refused(405, "Method not allowed", detail, (("allow", ", ".join(allowed)),))


# What a request says


def _unquoted(text: str, field: str) -> str:
    """A path without its percent signs. Raises `InvalidRequest` for bytes that are no UTF-8."""
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest(f"the {field} holds `%` escapes that are not UTF-8", field=field) from None


def _query(request: Request, known: tuple[str, ...]) -> Query:
    """The query parameters. Raises `InvalidRequest` for one that is not known, stands twice, or is no text."""
    values: Query = {}
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("the query holds `%` escapes that are not UTF-8", field="query") from None
    for name, value in pairs:
        if name not in known:
            takes = f"there are {listed(known)}.{nearest(name, known)}" if known else "this call takes none"
            raise InvalidRequest(f"unknown query parameter `{name[:80]}`; {takes}", field=name[:80])
        if name in values:
            raise InvalidRequest(f"`{name}` stands twice in the query", field=name)
        values[name] = value
    if "at" in values:
        # In a query a `+` is a space. After a time it can only be an offset that was not escaped.
        time, _, offset = values["at"].rpartition(" ")
        if ":" in time and re.fullmatch(r"\d\d:?\d\d", offset):
            values["at"] = f"{time}+{offset}"
    return values


def _body(request: Request, query: Query, type: type[B]) -> B:
    """The body, and what the query adds to it. Where both say something, the body wins."""
    call = decode_call(request.body or b"{}", type)
    if query:
        call = with_fields(call, **{name: value for name, value in query.items() if getattr(call, name) is None})
    return _regional(call, request)


def _regional(call: B, request: Request) -> B:
    return call if call.region is not None or request.region is None else with_fields(call, region=request.region)


def _version_call(query: Query) -> VersionCall:
    return VersionCall(environment=query.get("environment"), at=query.get("at"))


# What is answered

_JSON_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))


def _stale(exchange: Exchange) -> str | None:
    return exchange.basis.stale if exchange.basis else None


def _answer(value: object, stale: str | None = None, *, status: int = 200) -> Response:
    headers = _JSON_HEADERS if stale is None else (*_JSON_HEADERS, ("x-resolver-stale", _header(stale)))
    return Response(status, headers, encoded(value))


def _component_response(request: Request, found: ComponentAnswer, stale: str | None) -> Response:
    body = found.content.encode(errors="replace")
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    # Private even where it never changes: a shared cache would hand it to callers without the token.
    caching = "private, max-age=31536000, immutable" if found.route == "pinned" else "private, no-cache"
    headers = [
        ("etag", etag),
        ("cache-control", caching),
        ("x-component-version", found.version),
        ("x-component-route", found.route),
    ]
    if found.type and found.media_type:
        headers += [("x-component-type", found.type), ("x-component-media-type", found.media_type)]
    key = quote(found.key, safe="@:+,=", errors="replace")
    if len(key) <= LONGEST_KEY_HEADER:
        headers.append(("x-resolver-key", key))
    if found.note:
        headers.append(("x-resolver-note", _header(found.note)))
    if stale and found.route != "pinned":
        headers.append(("x-resolver-stale", _header(stale)))
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in asked or "*" in asked:
        return Response(304, tuple(headers), b"")
    return Response(200, (("content-type", "text/plain; charset=utf-8"), *headers), body)


def _header(text: str) -> str:
    """A text as a header's value: ASCII, one line."""
    return re.sub(r"[^!-~]+", " ", text.encode("ascii", "replace").decode()).strip()[:300]
