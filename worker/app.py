"""The edge: every call of the HTTP and RPC interface, answered from plain values.

    Request ─> handle ─> authorised? ─> route ─> Edge.resolve_ensemble / resolve_references / component / … ─> Response

Rules:

- nothing here knows Cloudflare: a platform hands in the store and what runs behind the response;
- a request uses one snapshot for everything, or, with `at`, the state of that instant;
- every error is a problem document; "KV failed" (503) is never answered as "not found" (404);
- bodies say nothing of the time of answering: age and the like stand in fields of their own.
"""

from __future__ import annotations

import functools
import hmac
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from msgspec.structs import replace as with_fields

from resolver.documents import (
    ROLLOUT_HISTORY,
    Move,
    Release,
    RolloutChange,
    Snapshot,
    content_key,
    decode_content_metadata,
    decode_history,
    decode_index,
    decode_rollout_history,
    history_key,
    index_key,
)
from resolver.ensemble import load_ensemble
from resolver.errors import InvalidReference, InvalidRequest, NotFound, ResolverError, listed, nearest
from resolver.expression import UNDEFINED, Scope
from resolver.history import format_instant, parse_instant, snapshot_at
from resolver.nesting import too_deep
from resolver.plan import (
    AgentDecision,
    Choice,
    Group,
    Plan,
    ResolvedReference,
    Route,
    choose,
    compile_plan,
    indexes_needed,
    key_text,
    plan_key,
    resolve,
    resolve_references,
)
from resolver.plan import Request as CoreRequest
from resolver.reference import DIRECTORIES, LONGEST_NAME, Reference, is_environment, is_name, is_region, parse_reference
from worker.cache import Behind, Clock, Content, ContentCache, Heard, SnapshotCache, View
from worker.kv import Announcements, Entry, KvFailed, Store, list_keys, read
from worker.problem import CONTENT_TYPE, Refused, problem_of
from worker.settings import Settings

log = logging.getLogger("edge-resolver")

#: The largest body, in bytes.
LARGEST_BODY = 1024 * 1024
#: The most references in one `POST /resolve`.
MOST_REFERENCES = 100
#: Plans of ensembles from KV that an isolate keeps, one for each version.
MOST_PLANS = 256
#: References of which an isolate remembers how they are read.
MOST_TEXTS = 1024

C = TypeVar("C", bound="Call")


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


class Platform(NamedTuple):
    """What a host lends to one request: its KV, what runs work behind the response, where numbers are announced."""

    store: Store
    behind: Behind
    announcements: Announcements | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every resolving call may say. `environment`, `key`, `at` and `region` are query parameters as well."""

    environment: str | None = None
    key: Any = None
    at: str | None = None
    region: str | None = None
    content: bool = False


class EnsembleCall(Call, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /ensembles/{name}/resolve`."""

    input: Any = msgspec.UNSET
    context: dict[str, Any] = {}


class ReferencesCall(Call, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /resolve`."""

    references: list[str]


class SnapshotInfo(msgspec.Struct, frozen=True):
    """Which snapshot an answer was resolved from. `source` is `history` for an instant in the past."""

    revision: str | None
    generation: int | None
    age_ms: int
    source: Literal["kv", "bundled", "history"]


class Definition(msgspec.Struct, frozen=True):
    """Where the ensemble itself came from: a version from KV by its route, or the file bundled at deploy time."""

    version: str | None
    route: Route | Literal["bundled"]


class EnsembleAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `POST /ensembles/{name}/resolve`."""

    ensemble: str
    definition: Definition
    environment: str
    key: str
    snapshot: SnapshotInfo
    agents: tuple[AgentDecision, ...]
    region: str | None = None
    at: str | None = None


class ReferencesAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `POST /resolve`."""

    environment: str
    key: str
    snapshot: SnapshotInfo
    references: tuple[ResolvedReference, ...]
    region: str | None = None
    at: str | None = None


class ComponentAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `GET /components/{name}@{selector}`: over HTTP the content is the body, the rest are headers."""

    component: str
    version: str
    route: Route
    key: str
    content: str
    note: str | None = None


class VersionAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `GET /version`, and to `GET /history?at=`, which says `at`."""

    environment: str
    components: dict[str, str]
    at: str | None = None


class MoveAnswer(msgspec.Struct, frozen=True):
    """One move in the answer to `GET /history/{name}`."""

    at: str
    environment: str
    version: str | None
    actor: str | None
    generation: int | None
    published_at: str | None


class HistoryAnswer(msgspec.Struct, frozen=True):
    """The answer to `GET /history/{name}`, the newest move first."""

    component: str
    moves: tuple[MoveAnswer, ...]


class HeardInfo(msgspec.Struct, frozen=True):
    """What this isolate knows of the announced number: how old it is, which one, and what went wrong last."""

    heard_age_ms: int | None
    announced: int | None
    error: str | None


class Health(msgspec.Struct, frozen=True):
    """The answer to `GET /health`. What was dropped from a document is named to authorised callers only."""

    status: Literal["ok", "degraded", "down"]
    snapshot: SnapshotInfo | None
    stale: str | None
    last_error: str | None
    dropped: int
    problems: tuple[str, ...] | None
    counters: dict[str, int]
    #: Left out where there is no GENERATION_URL.
    generation_url: HeardInfo | msgspec.UnsetType = msgspec.UNSET


class World(NamedTuple):
    """What one request is resolved from: a snapshot, and what the answer says of it."""

    snapshot: Snapshot
    info: SnapshotInfo
    view: View | None
    at: datetime | None


A = TypeVar("A")
P = ParamSpec("P")
Answering: TypeAlias = Callable[Concatenate["Edge", P], Coroutine[Any, Any, A]]


def _doubting(call: Answering[P, A]) -> Answering[P, A]:
    """Of the snapshot bundled at deploy time, "not there" means "not known while KV is down": 503, never 404."""

    @functools.wraps(call)
    async def asked(self: Edge, /, *args: P.args, **kwargs: P.kwargs) -> A:
        certain = self.snapshots.has_read
        try:
            return await call(self, *args, **kwargs)
        except NotFound as error:
            # Without a snapshot from KV it was the bundled one, unless the past was asked for: that is read from KV.
            if certain or any(isinstance(argument, Call) and argument.at is not None for argument in args):
                raise
            if self.snapshots.has_read:
                # KV was read meanwhile, and it may have been the bundled one all the same: ask what is certain now.
                return await call(self, *args, **kwargs)
            known = "KV cannot be read, and the snapshot that this deployment carries does not have it"
            raise KvFailed(f"{known}: {error.detail}", field=error.field) from error

    return asked


class Edge:
    """One isolate's edge. All that it remembers are values; everything else comes in with the request."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        draw_key: Callable[[], str],
        ensembles: Mapping[str, Plan] | None = None,
        bundled: Snapshot | None = None,
    ) -> None:
        self.settings = settings
        self.snapshots = SnapshotCache(settings, clock, bundled)
        self.contents = ContentCache(settings.content_budget)
        self._clock = clock
        self._draw_key = draw_key
        self._ensembles = ensembles or {}
        self._plans: OrderedDict[tuple[str, str], Plan] = OrderedDict()
        self.requests = 0
        self.errors = 0

    # The calls

    @_doubting
    async def resolve_ensemble(self, written: str, call: EnsembleCall, platform: Platform) -> EnsembleAnswer:
        """Which agents of an ensemble run, and which version of every component they run."""
        scope = _scope(call)
        reference = _reference(written, "ensemble")
        at = self._instant(call.at)
        request = self._core_request(call, scope)
        world = await self._world([reference], at, platform)
        if request.key is None:
            # The ensemble says what its users are drawn by. Its stable version is asked (without a key there is no
            # canary), so that the key which is returned draws the ensemble's own canary as well.
            stable, _ = await self._plan(reference, world, request, platform)
            request = self._keyed(with_fields(request, key=plan_key(stable, scope)))
        plan, definition = await self._plan(reference, world, request, platform)
        world = await self._widened(world, plan.references, platform)
        agents = resolve(plan, world.snapshot, request)
        if call.content:
            agents = await self._with_contents(plan, agents, world, request, platform)
        return EnsembleAnswer(
            ensemble=reference.name,
            definition=definition,
            environment=request.environment,
            key=str(request.key),
            snapshot=world.info,
            agents=agents,
            region=request.region,
            at=_written(at),
        )

    @_doubting
    async def resolve_references(self, call: ReferencesCall, platform: Platform) -> ReferencesAnswer:
        """The versions of up to 100 references."""
        if not 1 <= len(call.references) <= MOST_REFERENCES:
            raise InvalidRequest(
                f"{len(call.references)} references; one call takes 1 to {MOST_REFERENCES}", field="references"
            )
        references = []
        for position, text in enumerate(call.references):
            try:
                references.append((f"references[{position}]", _parsed(text)))
            except InvalidReference as error:
                raise error.located(field=f"references[{position}]") from None
        at = self._instant(call.at)
        request = self._keyed(self._core_request(call, Scope()))
        world = await self._widened(
            await self._world([], at, platform), [reference for _, reference in references], platform
        )
        resolved = resolve_references(references, world.snapshot, request)
        if call.content:
            by_path = dict(references)
            resolved = await self._fill(resolved, by_path, None, world, request, platform)
        return ReferencesAnswer(
            environment=request.environment,
            key=str(request.key),
            snapshot=world.info,
            references=resolved,
            region=request.region,
            at=_written(at),
        )

    @_doubting
    async def component(self, written: str, call: Call, platform: Platform) -> ComponentAnswer:
        """The content of one component."""
        reference = _reference(written, None)
        at = self._instant(call.at)
        request = self._keyed(self._core_request(call, Scope()))
        world = await self._widened(await self._world([reference], at, platform), [reference], platform)
        path = str(reference)
        resolved = resolve_references([(path, reference)], world.snapshot, request)
        (found,) = await self._fill(resolved, {path: reference}, None, world, request, platform)
        assert found.version is not None
        assert found.route is not None
        assert found.content is not None
        return ComponentAnswer(reference.name, found.version, found.route, str(request.key), found.content, found.note)

    @_doubting
    async def version(self, call: Call, component: str | None, platform: Platform) -> VersionAnswer:
        """The pointers of one environment, now or at an instant."""
        at = self._instant(call.at)
        environment = self._environment(call.environment)
        if at is not None:
            names = [component] if component else await self._names_in_history(platform)
            snapshot = (await self._past(names, [], at, platform)).snapshot
        else:
            snapshot = (await self._world([], None, platform)).snapshot
        if component is not None:
            choice = _stable(component, snapshot, environment)
            return VersionAnswer(environment, {component: choice.version}, _written(at))
        # The environment is picked before anything is kept: a map may hold 100,000 components.
        components = dict(
            sorted((name, found[environment]) for name, found in snapshot.pointers.items() if environment in found)
        )
        if not components and snapshot.pointers and at is None:
            known = {pointer for found in snapshot.pointers.values() for pointer in found} - {"latest", "stable"}
            raise NotFound(
                f"unknown environment `{environment}`; there are {listed(known)}.{nearest(environment, known)}",
                field="environment",
            )
        return VersionAnswer(environment, components, _written(at))

    async def history(self, name: str, platform: Platform) -> HistoryAnswer:
        """Every recorded move of a component's pointers, the newest first."""
        if not is_name(name):
            raise InvalidReference(f"`{name[:80]}` is not a component name", field="name")
        key = history_key(name)
        entry = (await read(platform.store, [key], self.settings.kv_timeout))[key]
        if entry is None:
            names = [found.removeprefix("history/") for found in await self._listed("history/", platform)]
            raise NotFound(
                f"no history of `{name}`; there is one of {listed(names)}.{nearest(name, names)}", field="name"
            )
        moves = decode_history(key, entry.value).value
        return HistoryAnswer(name, tuple(_move_answer(move) for move in reversed(moves)))

    async def health(self, platform: Platform, *, authorised: bool) -> Health:
        """How this isolate is; asking reads the snapshot like any request."""
        try:
            view: View | None = await self.snapshots.view(platform.store, platform.behind, platform.announcements)
        except ResolverError:
            view = None
        problems = view.held.problems if view else ()
        heard = msgspec.UNSET if platform.announcements is None else _heard_info(self.snapshots.heard)
        unheard = heard is not msgspec.UNSET and heard.error
        degraded = view is not None and (view.stale or problems or view.held.source == "bundled" or unheard)
        return Health(
            status="down" if view is None else "degraded" if degraded else "ok",
            snapshot=None if view is None else _info(view),
            stale=view.stale if view else None,
            last_error=self.snapshots.last_error,
            dropped=len(problems),
            problems=tuple(map(str, problems[:100])) if authorised else None,
            counters={
                "requests": self.requests,
                "errors": self.errors,
                "refreshes": self.snapshots.refreshes,
                "refresh_failures": self.snapshots.failures,
                "content_hits": self.contents.hits,
                "content_misses": self.contents.misses,
                "content_bytes": self.contents.size,
            },
            generation_url=heard,
        )

    # What a request is resolved from

    async def _world(self, references: Sequence[Reference], at: datetime | None, platform: Platform) -> World:
        if at is not None:
            return await self._past([r.name for r in references], references, at, platform)
        view = await self.snapshots.view(platform.store, platform.behind, platform.announcements)
        return World(view.held.snapshot, _info(view), view, None)

    async def _widened(self, world: World, references: Sequence[Reference], platform: Platform) -> World:
        """The same world, with what these references need besides the map: lists of versions, or the past."""
        if world.at is not None:
            names = {reference.name for reference in references}
            if names <= world.snapshot.pointers.keys() and not indexes_needed(references, world.snapshot):
                return world
            wider = await self._past(sorted(names), references, world.at, platform)
            pointers = {**world.snapshot.pointers, **wider.snapshot.pointers}
            return wider._replace(snapshot=replace(wider.snapshot, pointers=pointers))
        needed = indexes_needed(references, world.snapshot)
        if not needed:
            return world
        assert world.view is not None
        view = await self.snapshots.with_indexes(world.view, needed, platform.store)
        return world._replace(snapshot=view.held.snapshot, view=view)

    async def _past(
        self, names: Sequence[str], references: Sequence[Reference], at: datetime, platform: Platform
    ) -> World:
        ranged = sorted({r.name for r in references if r.selector and r.selector.kind in ("range", "latest", "stable")})
        keys = [ROLLOUT_HISTORY, *map(history_key, names), *map(index_key, ranged)]
        entries = await read(platform.store, keys, self.settings.kv_timeout)
        moves: dict[str, Sequence[Move]] = {}
        for name in names:
            if (entry := entries[history_key(name)]) is not None:
                moves[name] = decode_history(history_key(name), entry.value).value
        indexes: dict[str, Sequence[Release]] = {}
        for name in ranged:
            if (entry := entries[index_key(name)]) is not None:
                indexes[name] = decode_index(index_key(name), entry.value).value
        changes: Sequence[RolloutChange] = ()
        if (entry := entries[ROLLOUT_HISTORY]) is not None:
            changes = decode_rollout_history(entry.value).value
        snapshot = snapshot_at(at, moves, changes, indexes)
        return World(snapshot, SnapshotInfo(snapshot.revision, None, 0, "history"), None, at)

    async def _listed(self, prefix: str, platform: Platform) -> list[str]:
        return await list_keys(platform.store, prefix, self.settings.kv_timeout)

    async def _names_in_history(self, platform: Platform) -> list[str]:
        return sorted(key.removeprefix("history/") for key in await self._listed("history/", platform))

    def _instant(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            instant = parse_instant(text)
        except ResolverError as error:
            raise error.located(field="at") from None
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        if instant > now:
            raise InvalidRequest(
                f"`{text}` lies in the future: nothing is recorded of it, it is {format_instant(now)[:19]}Z", field="at"
            )
        return instant

    def _environment(self, given: str | None) -> str:
        if given is None:
            return self.settings.environment
        if not is_environment(given):
            raise InvalidRequest(
                f"`{given[:80]}` cannot name an environment: a letter, then letters, digits, `-` and `_`",
                field="environment",
            )
        return given

    def _core_request(self, call: Call, scope: Scope) -> CoreRequest:
        if call.region is not None and not is_region(call.region):
            raise InvalidRequest(f"`{call.region[:80]}` cannot name a region", field="region")
        return CoreRequest(scope, self._environment(call.environment), call.region, key_text(call.key))

    def _keyed(self, request: CoreRequest) -> CoreRequest:
        """The request with a key: its own, or one drawn for it alone."""
        return request if request.key is not None else with_fields(request, key=self._draw_key())

    # Ensembles

    async def _plan(
        self, reference: Reference, world: World, request: CoreRequest, platform: Platform
    ) -> tuple[Plan, Definition]:
        name = reference.name
        known = name in world.snapshot.pointers
        pinned = reference.selector is not None and reference.selector.kind == "version"
        if not known and not pinned:
            plan = self._ensembles.get(name)
            if plan is None or reference.selector is not None:
                raise NotFound(self._unknown_ensemble(reference), field="ensemble")
            return plan, Definition(None, "bundled")
        world = await self._widened(world, [reference], platform)
        choice = choose(reference, world.snapshot, request)
        plan = self._plans.get((name, choice.version))
        if plan is None:
            resolved = ResolvedReference("ensemble", str(reference), name, choice.version, choice.route)
            (found,) = await self._fill([resolved], {"ensemble": reference}, None, world, request, platform)
            assert found.version is not None
            assert found.route is not None
            assert found.content is not None
            choice = Choice(found.version, found.route)
            plan = compile_plan(load_ensemble(found.content, content_key(name, choice.version)))
            self._plans[name, choice.version] = plan
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end((name, choice.version))
        return plan, Definition(choice.version, choice.route)

    def _unknown_ensemble(self, reference: Reference) -> str:
        name = reference.name
        if name in self._ensembles:
            return f"`{name}` is bundled with this deployment and has no versions; ask for it without the `@`"
        return (
            f"unknown ensemble `{name}`; bundled are {listed(self._ensembles)}, and the version map knows no such "
            f"component.{nearest(name, self._ensembles)}"
        )

    # Contents

    async def _with_contents(
        self,
        plan: Plan,
        agents: tuple[AgentDecision, ...],
        world: World,
        request: CoreRequest,
        platform: Platform,
    ) -> tuple[AgentDecision, ...]:
        """The agents with the contents of all that may run; what is not selected needs none."""
        sites = {site.path: site.found.reference for unit in plan.units for site in unit.sites}
        wanted = {
            reference.path: reference
            for agent in agents
            if agent.selected is not False
            for reference in agent.references
        }
        filled = await self._fill(tuple(wanted.values()), sites, plan.group, world, request, platform)
        by_path = {reference.path: reference for reference in filled}
        return tuple(
            agent
            if agent.selected is False
            else with_fields(agent, references=tuple(by_path[reference.path] for reference in agent.references))
            for agent in agents
        )

    async def _fill(
        self,
        resolved: Sequence[ResolvedReference],
        references: Mapping[str, Reference],
        group: Group | None,
        world: World,
        request: CoreRequest,
        platform: Platform,
    ) -> tuple[ResolvedReference, ...]:
        """The same references with their contents; a canary without one gives way to the stable version."""
        contents = await self._contents([(references[r.path], str(r.version)) for r in resolved], platform)
        canaries = [found for found in resolved if found.route == "canary"]
        missing = [found for found in canaries if (found.component, found.version) not in contents]
        # Of a group all run their canaries, or none does.
        fallbacks = {
            found.path: _fallback(
                missing[0] if group else found,
                choose(references[found.path], world.snapshot, request, group, canary=False),
            )
            for found in (canaries if group and missing else missing)
        }
        if fallbacks:
            contents |= await self._contents(
                [(references[path], choice.version) for path, choice in fallbacks.items()], platform
            )
        return tuple(_filled(found, fallbacks.get(found.path), references[found.path], contents) for found in resolved)

    async def _contents(
        self, wanted: Sequence[tuple[Reference, str]], platform: Platform
    ) -> dict[tuple[str, str], Content]:
        """The contents that there are: from memory, else one bulk get, else the layouts of other writers."""
        contents: dict[tuple[str, str], Content] = {}
        missing: dict[tuple[str, str], Reference] = {}
        for reference, version in wanted:
            cached = self.contents.get(reference.name, version)
            if cached is not None:
                contents[reference.name, version] = cached
            else:
                missing.setdefault((reference.name, version), reference)
        layouts = self.settings.layouts
        for tried in (layouts[:1], layouts[1:]):
            keys = {wanted: _content_keys(*wanted, reference, tried) for wanted, reference in missing.items()}
            every = [key for found in keys.values() for key in found]
            if not every:
                continue
            entries = await read(platform.store, every, self.settings.kv_timeout)
            for (name, version), candidates in keys.items():
                entry = next((entries[key] for key in candidates if entries[key] is not None), None)
                if entry is not None:
                    content = _content(entry)
                    self.contents.put(name, version, content)
                    contents[name, version] = content
                    del missing[name, version]
        return contents

    # HTTP

    async def handle(self, request: Request, platform: Platform) -> Response:
        """Answer an HTTP request. Never raises: every failure is an answer."""
        self.requests += 1
        try:
            response = await self._route(request, platform)
        except RecursionError:
            response = self._failed(InvalidRequest("the request is nested too deeply to be read"))
        except ResolverError as error:
            response = self._failed(error)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            response = self._failed(
                Refused(500, "Internal error", f"{type(error).__name__} inside the resolver; its log has the trace")
            )
        return Response(response.status, response.headers, b"") if request.method == "HEAD" else response

    def _failed(self, error: ResolverError) -> Response:
        self.errors += 1
        headers = [("content-type", CONTENT_TYPE), ("cache-control", "no-store")]
        if error.status == 503:
            headers.append(("retry-after", str(max(1, round(self.settings.retry_for)))))
        if isinstance(error, Refused):
            headers += error.headers
        return Response(error.status, tuple(headers), encoded(problem_of(error)))

    def _authorised(self, request: Request) -> bool:
        if self.settings.allow_anonymous:
            return True
        token = self.settings.resolver_token
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        return (
            bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
        )

    async def _route(self, request: Request, platform: Platform) -> Response:
        parts = request.path.strip("/").split("/")
        if "%" in request.path:
            parts = [unquote(part) for part in parts]
        authorised = self._authorised(request)
        head, rest = parts[0], "/".join(parts[1:])
        if head == "health" and not rest:
            _allow(request, "GET")
            health = await self.health(platform, authorised=authorised)
            return _answer(health, status=503 if health.status == "down" else 200)
        if not authorised:
            raise self._unauthorised(request)
        if len(request.body) > LARGEST_BODY:
            raise Refused(413, "Body too large", f"{len(request.body):,} bytes; a body has at most {LARGEST_BODY:,}")
        if head == "ensembles" and parts[-1] == "resolve" and len(parts) > 2:
            _allow(request, "POST")
            ensemble_call = _body(request, EnsembleCall)
            answer = await self.resolve_ensemble("/".join(parts[1:-1]), ensemble_call, platform)
            return _answer(answer, stale=None if answer.at else self._stale())
        if head == "resolve" and not rest:
            _allow(request, "POST")
            references = await self.resolve_references(_body(request, ReferencesCall), platform)
            return _answer(references, stale=None if references.at else self._stale())
        if head == "components" and rest:
            _allow(request, "GET")
            call = _query_call(request)
            found = await self.component(rest, call, platform)
            return _component_response(request, found, None if call.at else self._stale())
        if head == "version" and not rest:
            _allow(request, "GET")
            component = _query(request, ("component",)).get("component")
            call = _query_call(request, "component")
            versions = await self.version(call, component, platform)
            return _answer(versions, stale=None if versions.at else self._stale())
        if head == "history" and rest:
            _allow(request, "GET")
            return _answer(await self.history(rest, platform))
        if head == "history":
            _allow(request, "GET")
            call = _query_call(request)
            if call.at is None:
                raise InvalidRequest(
                    "say which instant: /history?at=2024-11-12T14:47:00Z, or which component: /history/{name}",
                    field="at",
                )
            return _answer(await self.version(call, None, platform))
        raise NotFound(f"there is no {request.path[:200]}; there are {', '.join(_CALLS)}")

    def _stale(self) -> str | None:
        view = self.snapshots.peek()
        return view.stale if view else self.snapshots.last_error

    def _unauthorised(self, request: Request) -> Refused:
        if not self.settings.resolver_token:
            detail = (
                "this deployment has no RESOLVER_TOKEN and so answers nobody over HTTP; "
                "set the secret with `wrangler secret put RESOLVER_TOKEN`, or call it over a service binding"
            )
        elif "authorization" in request.headers:
            detail = "the token in `Authorization` is not this deployment's"
        else:
            detail = "send the deployment's token as `Authorization: Bearer <token>`"
        return Refused(401, "Not authorised", detail, (("www-authenticate", 'Bearer realm="edge-resolver"'),))


_CALLS = (
    "POST /resolve",
    "POST /ensembles/{name}/resolve",
    "GET /components/{name}@{selector}",
    "GET /version",
    "GET /history/{name}",
    "GET /history?at=",
    "GET /health",
)

_json = msgspec.json.Encoder()


def encoded(value: object) -> bytes:
    """A value as JSON. A lone surrogate, which has no UTF-8, is written as its escape."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()


def _info(view: View) -> SnapshotInfo:
    snapshot = view.held.snapshot
    return SnapshotInfo(snapshot.revision, snapshot.generation, max(0, round(view.age * 1000)), view.held.source)


def _heard_info(heard: Heard) -> HeardInfo:
    age = None if heard.age is None else max(0, round(heard.age * 1000))
    return HeardInfo(age, heard.number, heard.error)


def _scope(call: EnsembleCall) -> Scope:
    variables = dict(call.context)
    outputs = variables.pop("outputs", {})
    if not isinstance(outputs, dict):
        raise InvalidRequest("`outputs` is an object agent → output", field="context.outputs")
    return Scope(UNDEFINED if call.input is msgspec.UNSET else call.input, variables, outputs)


def _parsed(text: str) -> Reference:
    """`parse_reference`, whose answer depends on the text alone: that of a short one is kept."""
    return _kept_reference(text) if len(text) <= LONGEST_NAME else parse_reference(text)


_kept_reference = functools.lru_cache(MOST_TEXTS)(parse_reference)


def _reference(written: str, type: str | None) -> Reference:
    reference = _parsed(written)
    if type is not None and reference.type not in (None, type):
        raise InvalidReference(f"`{written[:80]}` names a {reference.type}, and an {type} is wanted here")
    return reference


def _stable(name: str, snapshot: Snapshot, environment: str) -> Choice:
    try:
        return choose(Reference(name), snapshot, CoreRequest(environment=environment), canary=False)
    except NotFound as error:
        raise error.located(field="component") from None


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _move_answer(move: Move) -> MoveAnswer:
    published = format_instant(move.published_at) if move.published_at else None
    return MoveAnswer(format_instant(move.at), move.environment, move.version, move.actor, move.generation, published)


def _content(entry: Entry) -> Content:
    return Content(entry.value, decode_content_metadata(entry.metadata).type)


def _content_keys(name: str, version: str, reference: Reference, layouts: Sequence[str]) -> list[str]:
    """The keys that a content may stand under; where the type is not stated, those of every type."""
    plurals = [DIRECTORIES[reference.type]] if reference.type else list(DIRECTORIES.values())
    keys = (
        layout.format(name=name, version=version, bare=version[1:], plural=plural)
        for layout in layouts
        for plural in plurals
    )
    return list(dict.fromkeys(keys))


def _fallback(missing: ResolvedReference, stable: Choice) -> Choice:
    """The stable version, with a note of the canary whose content is missing."""
    note = f"the content of the canary `{missing.component}` {missing.version} is missing; the stable version is served"
    return Choice(stable.version, stable.route, note)


def _filled(
    found: ResolvedReference,
    fallback: Choice | None,
    reference: Reference,
    contents: Mapping[tuple[str, str], Content],
) -> ResolvedReference:
    version, route, note = str(found.version), found.route, found.note
    if fallback is not None:
        version, route, note = fallback.version, fallback.route, fallback.note
    content = contents.get((found.component, version))
    if content is None:
        raise NotFound(f"there is no content of `{found.component}` {version} in KV", field=found.path)
    if reference.type and content.type and content.type != reference.type:
        raise NotFound(
            f"`{reference}` asks for a {reference.type}, and `{found.component}` is a {content.type}", field=found.path
        )
    return with_fields(found, version=version, route=route, note=note, content=content.text)


def _allow(request: Request, method: str) -> None:
    allowed = (method, "HEAD") if method == "GET" else (method,)
    if request.method not in allowed:
        raise Refused(
            405,
            "Method not allowed",
            f"{request.method} is not answered here; use {method}",
            (("allow", ", ".join(allowed)),),
        )


_QUERY = ("environment", "key", "at", "region")


def _query(request: Request, more: tuple[str, ...] = ()) -> dict[str, str]:
    """The query parameters. Raises `InvalidRequest` for one that is not known, or stands twice."""
    values: dict[str, str] = {}
    if not request.query:
        return values
    known = (*_QUERY, *more)
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        if name not in known:
            raise InvalidRequest(
                f"unknown query parameter `{name[:80]}`; there are {listed(known)}.{nearest(name, known)}",
                field=name[:80],
            )
        if name in values:
            raise InvalidRequest(f"`{name}` stands twice in the query", field=name)
        values[name] = value
    if "at" in values:
        # In a query a `+` is a space: behind a time, an offset that was not escaped can mean nothing else.
        time, _, offset = values["at"].rpartition(" ")
        if ":" in time and re.fullmatch(r"\d\d:?\d\d", offset):
            values["at"] = f"{time}+{offset}"
    return values


def _query_call(request: Request, *more: str) -> Call:
    values = _query(request, more)
    return _regional(
        Call(
            environment=values.get("environment"),
            key=values.get("key"),
            at=values.get("at"),
            region=values.get("region"),
        ),
        request,
    )


def _regional(call: C, request: Request) -> C:
    return call if call.region is not None or request.region is None else with_fields(call, region=request.region)


def decode_call(data: bytes | str, type: type[C]) -> C:
    """A call from JSON. Raises `InvalidRequest`, naming the field and the fields that there are."""
    if too_deep(data):
        raise InvalidRequest("the body is nested too deeply to be read", field="body")
    try:
        return _decoded(data, type)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at ")
        fields = listed(field.name for field in msgspec.structs.fields(type))
        known = f"; a body has {fields}" if "unknown field" in text else ""
        raise InvalidRequest(f"{text}{known}", field=path.strip("`").removeprefix("$.") or "body") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", field="body") from None


#: The escape of a surrogate.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _decoded(data: bytes | str, type: type[C]) -> C:
    """`msgspec.json.decode`; Python's for half a surrogate pair, which `JSON.stringify` writes of a text cut in two."""
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeError):
        written = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        if not _SURROGATE.search(written):
            raise
        try:
            value = json.loads(written, parse_constant=_refused_constant)
        except ValueError:
            value = None
        if value is None:
            raise
    return msgspec.convert(value, type)


def _refused_constant(name: str) -> None:
    """`NaN` and its like are no JSON, though Python reads them. Raises `ValueError`."""
    raise ValueError(name)


def _body(request: Request, type: type[C]) -> C:
    """The body, with what the query says besides; what stands in both is the body's."""
    call = decode_call(request.body or b"{}", type)
    if not request.query:
        return _regional(call, request)
    query = {name: value for name, value in _query(request).items() if getattr(call, name) is None}
    return _regional(with_fields(call, **query), request)


_JSON_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))


def _answer(value: object, *, status: int = 200, stale: str | None = None) -> Response:
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
        ("x-resolver-key", quote(found.key, safe="@:+,=")),
    ]
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
