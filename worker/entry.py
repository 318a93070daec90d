"""The Worker on Cloudflare: adapts the platform's request, bindings and RPC to `worker/http.py` and `worker/edge.py`.

Rules:

- this is the only file that imports `workers`, `js` or `pyodide`; it decides nothing, it converts;
- crossing between JavaScript and Python costs more than the edge's own work. So only what is needed is fetched
  (headers, the binding), and the answer is JavaScript's own `Response`, not the SDK's shell around one;
- everything is imported, parsed and compiled at the top of the module, which runs once, at deploy. There is no
  randomness, no clock and no I/O up here: the platform forbids them at that time;
- the isolate keeps one `Edge`, made with the first request's variables;
- the binding is taken once, and used without the SDK's shell around it. That shell costs as much as a call, and leaves
  a reference cycle behind each time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import js
import nodesemver  # noqa: F401  # Here, so that no request waits for it.
from js import JSON, ArrayBuffer, Object, Promise, Response, Uint8Array
from js import fetch as js_fetch
from pyodide.ffi import JsException, JsProxy, create_proxy, jsnull, to_js
from workers import WorkerEntrypoint, import_from_javascript

from resolver.documents import is_version_map
from resolver.errors import InvalidRequest, ResolverError
from worker.bundle import bundled_ensembles, bundled_snapshot
from worker.calls import C, Call, EnsembleCall, ReferencesCall, VersionCall, decode_call, encoded
from worker.clock import Clock
from worker.edge import Edge, Exchange, Platform
from worker.http import LARGEST_BODY, handle, internal, problem_response
from worker.http import Request as PlainRequest
from worker.http import Response as PlainResponse
from worker.kv import Entry, KvFailed
from worker.problem import problem_of
from worker.settings import Settings, read_settings

log = logging.getLogger("edge-resolver")

#: Bytes of a version map that come over at once: few calls, and little memory.
_PART = 256 * 1024

#: How the number is kept in the zone's cache: for 30 s, or until it is purged.
_CACHED = '{"cacheEverything": true, "cacheTtl": 30}'
_LARGEST_ANNOUNCEMENT = 1024

_ENSEMBLES = bundled_ensembles()
_SNAPSHOT = bundled_snapshot()
_edge: Edge | None = None


class Headers(Mapping[str, str]):
    """A request's headers, each fetched when it is asked for."""

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        value = self._headers.get(name)
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers.keys())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Stream:
    """The bytes of a JavaScript stream. One buffer is used for all, so that they leave no garbage on that side."""

    def __init__(self, stream: Any) -> None:
        self._reader = stream.getReader(mode="byob")
        self._buffer = ArrayBuffer.new(_PART)
        self._ended = False

    async def next(self) -> bytes:
        """The next part; an empty one at the end."""
        if self._ended:
            return b""
        # Only the last part may be shorter.
        read = (await self._reader.read(Uint8Array.new(self._buffer), min=_PART)).value
        self._buffer = read.buffer
        part: bytes = read.to_bytes()
        self._ended = len(part) < _PART
        return part


class CloudflareStore:
    """The binding `KV` as a store. Values come as text, since a stored JSON `null` would look like a missing key.

    A version map is read by itself and as a stream. From a bulk get it would come as text, character by character: 9 MB
    would block the isolate for 100 ms, and take eight times their size on the way.
    """

    def __init__(self, cache_ttl: int) -> None:
        self._cache_ttl = cache_ttl

    async def get_many(self, keys: Sequence[str]) -> dict[str, Entry | None]:
        """The values and metadata of at most 100 keys: one bulk get, and one get for each version map."""
        read, ttl = _namespace().getWithMetadata, self._cache_ttl
        maps = [key for key in keys if is_version_map(key)]
        texts = [key for key in keys if key not in maps]
        asked = [read(key, type="stream", cacheTtl=ttl) for key in maps]
        if texts:
            asked.append(read(to_js(texts), type="text", cacheTtl=ttl))
        # One task of Python's for each would cost more than the reads do.
        answers = list(await Promise.all(to_js(asked)))
        found = {key: _map_entry(answer) for key, answer in zip(maps, answers, strict=False)}
        return found | {key: _entry(_plain(answers[-1].get(key))) for key in texts}

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below `prefix`, page by page."""
        keys: list[str] = []
        cursor: str | None = None
        while True:
            page = _plain(await _namespace().list(prefix=prefix, **({"cursor": cursor} if cursor else {})))
            keys += [entry["name"] for entry in page["keys"]]
            if page["list_complete"]:
                return keys
            cursor = page["cursor"]


class CloudflareAnnouncements:
    """The number at `GENERATION_URL`, by way of the zone's cache, which the publisher purges."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def latest(self) -> str:
        """The text at that URL. Raises `KvFailed` for any status but 200, and for more than 1 KiB."""
        response = await js_fetch(self._url, cf=JSON.parse(_CACHED))
        if response.status != 200:
            raise KvFailed(f"GENERATION_URL answered {response.status}")
        body = await response.arrayBuffer()
        if body.byteLength > _LARGEST_ANNOUNCEMENT:
            raise KvFailed(f'GENERATION_URL answered {body.byteLength:,} bytes, and `{{"generation": 21}}` is expected')
        text: str = body.to_bytes().decode()
        return text


@lru_cache(maxsize=1)
def _namespace() -> Any:
    """The binding itself. It belongs to no request; a call of it belongs to the request that makes it."""
    try:
        return import_from_javascript("cloudflare:workers").env.KV
    except AttributeError:
        raise KvFailed(
            "this deployment has no KV namespace bound as `KV`; name one in wrangler.toml under [[kv_namespaces]], "
            "or under [[env.….kv_namespaces]] for an environment of its own, and deploy again"
        ) from None


def _map_entry(found: Any) -> Entry | None:
    return None if _plain(found.value) is None else Entry("", _plain(found.metadata), Stream(found.value))


def _entry(found: Any) -> Entry | None:
    value = None if found is None else _plain(found["value"])
    return None if value is None else Entry(value, _plain(found["metadata"]))


def _plain(value: Any) -> Any:
    """JSON's values as Python has them, except for a nested null; everything else as it is."""
    return None if value is jsnull else value.to_py() if isinstance(value, JsProxy) else value


def _variables(env: Any) -> dict[str, object]:
    values = {name.upper(): getattr(env, name.upper(), None) for name in Settings.__struct_fields__}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _isolate(env: Any) -> Edge:
    """This isolate's edge. Raises `InvalidSetting`."""
    global _edge  # noqa: PLW0603 - what an isolate remembers is what its module holds
    if _edge is None:
        _edge = Edge(
            read_settings(_variables(env)),
            # A wait of asyncio's this short would let no other request in.
            Clock(time.monotonic, time.time, lambda: js.scheduler.wait(0)),
            draw_key=lambda: secrets.token_hex(8),
            ensembles=_ENSEMBLES,
            bundled=_SNAPSHOT,
        )
    return _edge


class Default(WorkerEntrypoint):  # type: ignore[misc]
    """The entrypoint: `fetch` for HTTP, the other methods for a service binding.

    Over a binding every attribute can be called, also those that Python adds. So only the calls have names without an
    underscore here, and a name with one is not found.
    """

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return super().__getattribute__(name)

    async def fetch(self, request: Any, *_: Any) -> Any:
        """Answer an HTTP request."""
        try:
            return await _answered(self, request)
        except ResolverError as error:
            return _response(problem_response(error))
        except Exception as error:
            # `handle` never raises, so this is the platform's: a body that was read already, a `cf` of no known shape.
            log.exception("a request could not be read")
            return _response(problem_response(internal(error)))

    # The platform reads the signature of `fetch` anew for each request, which takes as long as the resolving does.
    # Where it finds none, it passes all that it has.
    fetch.__signature__ = ()  # type: ignore[attr-defined]

    # RPC, over a service binding. Arguments are what a caller sends, also none; too many are a problem as well.

    async def resolve(self, call: Any = None, *more: Any) -> Any:
        """`POST /resolve`, with the same fields."""
        return await _called(self, more, lambda asked: asked.resolve_references(_call(call, ReferencesCall)))

    async def resolveEnsemble(self, name: Any = None, call: Any = None, *more: Any) -> Any:
        """`POST /ensembles/{name}/resolve`, with the same fields."""
        return await _called(
            self, more, lambda asked: asked.resolve_ensemble(_text(name, "name"), _call(call, EnsembleCall))
        )

    async def component(self, reference: Any = None, call: Any = None, *more: Any) -> Any:
        """`GET /components/{name}@{selector}`; the content is a field."""
        return await _called(
            self, more, lambda asked: asked.component(_text(reference, "reference"), _call(call, Call))
        )

    async def version(self, call: Any = None, component: Any = None, *more: Any) -> Any:
        """`GET /version`, and with `at` the state of that instant."""
        return await _called(self, more, lambda asked: asked.version(_call(call, VersionCall), _name(component)))

    async def history(self, name: Any = None, *more: Any) -> Any:
        """`GET /history/{name}`."""
        return await _called(self, more, lambda asked: asked.history(_text(name, "name")))

    async def health(self, *more: Any) -> Any:
        """`GET /health`."""
        return await _called(self, more, lambda asked: asked.health(authorised=True))


def _platform(entrypoint: Default, edge: Edge) -> Platform:
    settings = edge.settings
    announcements = CloudflareAnnouncements(settings.generation_url) if settings.generation_url else None
    ctx = entrypoint.ctx
    return Platform(CloudflareStore(settings.cache_ttl), lambda work: _behind(ctx, work), announcements)


def _behind(ctx: Any, work: Awaitable[None]) -> None:
    # A task of Python's reaches JavaScript as a proxy, which must live until the task has ended.
    task = asyncio.ensure_future(work)
    proxy = create_proxy(task)
    task.add_done_callback(lambda _: proxy.destroy())
    ctx.waitUntil(proxy)


async def _answered(entrypoint: Default, request: Any) -> Any:
    edge = _isolate(entrypoint.env)
    asked = request.js_object
    method = asked.method
    target, _, query = asked.url.partition("#")[0].partition("?")
    path = "/" + target.split("://", 1)[-1].partition("/")[2]
    headers = Headers(asked.headers)
    body = b"" if method in ("GET", "HEAD") else await _body(asked, headers)
    region = _region(asked, edge.settings) if edge.settings.regions else None
    plain = PlainRequest(method, path, query, headers, body, region)
    return _response(await handle(edge, plain, _platform(entrypoint, edge)))


async def _called(entrypoint: Default, more: tuple[Any, ...], ask: Callable[[Exchange], Awaitable[Any]]) -> Any:
    """The answer of a call over RPC, or `{problem: …}`: an exception of Python's would arrive as a stack trace."""
    exchange = None
    try:
        edge = _isolate(entrypoint.env)
        exchange = edge.begin(_platform(entrypoint, edge))
        if more:
            raise InvalidRequest(f"{len(more)} arguments too many; docs/http.md says what each method takes")
        answer = await ask(exchange)
    except ResolverError as error:
        answer = {"problem": problem_of(exchange.told(error) if exchange else error)}
    except Exception as error:
        log.exception("a call over RPC failed")
        answer = {"problem": problem_of(internal(error))}
    # Through JSON: a dict would arrive as a Map, and None as undefined.
    return JSON.parse(encoded(answer).decode())


async def _body(asked: Any, headers: Headers) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > LARGEST_BODY:
        # A body that says it is too large is not read at all; the edge refuses it by its size.
        return b" " * (LARGEST_BODY + 1)
    try:
        body: bytes = (await asked.arrayBuffer()).to_bytes()
    except JsException as error:
        # Its sender has hung up.
        raise InvalidRequest(f"the body cannot be read: {error}", field="body") from None
    return body


def _region(asked: Any, settings: Settings) -> str | None:
    """The request's region, from what Cloudflare says of where it came from; there is no `cf` outside its network."""
    cf = getattr(asked, "cf", None)
    if not cf:
        return None
    codes = (getattr(cf, name, None) for name in ("colo", "country", "continent"))
    colo, country, continent = (code if isinstance(code, str) else None for code in codes)
    return settings.region(colo, country, continent)


def _call(call: Any, type: type[C]) -> C:
    """A call from what RPC brought: JSON text as a body would be, or an object, which the platform has made a dict.

    Values that JavaScript has and JSON lacks may arrive as something else (`undefined` is None), or the platform failed
    before this is reached. Text arrives as it is.
    """
    if call is None:
        call = ""
    if not isinstance(call, str):
        try:
            call = json.dumps(call, default=_json_of, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"the call has no JSON: {error}. Send it as JSON text", field="body") from None
    return decode_call(call or "{}", type)


def _json_of(value: Any) -> str:
    """What JSON has instead of a date: the text that JavaScript writes. Raises `TypeError` for everything else."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    raise TypeError(f"there is a {type(value).__name__} in it")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{field}` must be a text", field=field)
    return value


def _name(value: Any) -> str | None:
    return None if value is None else _text(value, "component")


def _response(response: PlainResponse) -> Any:
    # A 304 must not even have an empty body. All that we answer is UTF-8, and as text it crosses faster than as bytes.
    body = response.body.decode() if response.body else None
    return Response.new(body, _status_and_headers(response.status, response.headers))


@lru_cache(maxsize=16)
def _status_and_headers(status: int, headers: tuple[tuple[str, str], ...]) -> Any:
    """What `Response` takes besides the body. Almost every answer has the same; making it costs two crossings."""
    return to_js({"status": status, "headers": headers}, dict_converter=Object.fromEntries)


# What was made up to here stays as long as the isolate does. The garbage collector does not have to walk it: a full
# collection took 11 ms in WebAssembly, in the middle of some request.
gc.freeze()
