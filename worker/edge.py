"""The edge: what an isolate remembers, and each call, answered over one request's context.

    http.py, entry.py ─> Edge.begin ─> Exchange.resolve_ensemble / resolve_references / component / … ─> an answer

Rules:

- nothing here knows Cloudflare: a platform lends the store and what runs behind the response;
- what a request is resolved from is gathered once, as a `Basis`. All that is said of it comes from there: which
  snapshot it was, how old, why it is stale, whether "not there" is certain;
- "KV failed" (503) is never answered as "not found" (404).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace as with_fields

from resolver.documents import Move, decode_history, history_key, index_key
from resolver.errors import InvalidReference, InvalidRequest, NotFound, ResolverError, listed, nearest
from resolver.expression import UNDEFINED, NoKey, Scope
from resolver.instant import format_instant, parse_instant
from resolver.plan import AgentDecision, Plan, ResolvedReference, key_text, resolve, resolve_references, with_defaults
from resolver.reference import (
    LONGEST_NAME,
    Reference,
    asking_for,
    environment_fault,
    is_region,
    parse_name,
    parse_reference,
)
from resolver.snapshot import Group, Pin, Request, Resolver, Snapshot
from worker.announced import Heard
from worker.calls import (
    MOST_REFERENCES,
    Call,
    ComponentAnswer,
    Definition,
    EnsembleAnswer,
    EnsembleCall,
    Health,
    HeardInfo,
    HistoryAnswer,
    MoveAnswer,
    ReferencesAnswer,
    ReferencesCall,
    SnapshotInfo,
    VersionAnswer,
    VersionCall,
)
from worker.clock import Clock
from worker.contents import Contents, Wanted, fallback_of, with_content
from worker.ensembles import Ensembles
from worker.expansion import expanded
from worker.kv import Announcements, KvFailed, Store, read
from worker.lease import Behind
from worker.met import MetProblems
from worker.past import names_with_history, read_past
from worker.pins import PinnedVersions
from worker.settings import Settings
from worker.snapshots import Held, SnapshotCache, View

#: References of which an isolate remembers how they are read.
MOST_TEXTS = 1024


class Platform(NamedTuple):
    """What a host lends to one request: its KV, what runs work behind the response, where numbers are announced."""

    store: Store
    behind: Behind
    announcements: Announcements | None = None


class Basis(NamedTuple):
    """What one request is resolved from. `held` is the isolate's snapshot, None for an instant in the past."""

    resolver: Resolver
    info: SnapshotInfo
    stale: str | None
    held: Held | None

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot itself."""
        return self.resolver.snapshot


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
        self.clock = clock
        self.draw_key = draw_key
        self.ensembles = Ensembles(ensembles or {})
        self.snapshots = SnapshotCache(settings, clock, bundled)
        self.contents = Contents(settings)
        self.met = MetProblems()
        self.pins = PinnedVersions(settings, self.contents, self.met, clock.monotonic)
        self.requests = 0
        self.errors = 0

    def begin(self, platform: Platform) -> Exchange:
        """The context of one request."""
        self.requests += 1
        return Exchange(self, platform)


class Exchange:
    """One request: what the host lends for it, what it is resolved from, and the calls that it may make."""

    def __init__(self, edge: Edge, platform: Platform) -> None:
        self._edge = edge
        self._platform = platform
        #: Gathered by the call; None before, and where nothing was wanted.
        self.basis: Basis | None = None
        #: The instant in the past that the call asks about.
        self._at: datetime | None = None

    def told(self, error: ResolverError) -> ResolverError:
        """The error as the caller is told it.

        Of the snapshot bundled at deploy time, "not there" means "not known while KV is down": 503, never 404.
        """
        self._edge.errors += 1
        if not isinstance(error, NotFound) or self.basis is None or self.basis.info.source != "bundled":
            return error
        known = "KV cannot be read, and the snapshot that this deployment carries does not have it"
        return KvFailed(f"{known}: {error.detail}", field=error.field)

    # The calls

    async def resolve_ensemble(self, written: str, call: EnsembleCall) -> EnsembleAnswer:
        """Which agents of an ensemble run, and which version of every component they run."""
        scope = _scope(call)
        reference = _reference(written, "ensemble")
        at = self._instant(call.at)
        request = self._request(call, scope)
        await self._gather([reference], at, call.generation)
        note = None
        if request.key is None:
            # The ensemble says what its users are drawn by. Its stable version is asked (without a key there is no
            # canary), so that the key which is returned draws the ensemble's own canary as well.
            stable, _ = await self._plan(reference, request, call.definition)
            key = stable.key.evaluate(with_defaults(stable, scope)) if stable.key else None
            note = f"{key.why}, so that a key was drawn for this request alone" if isinstance(key, NoKey) else None
            request = self._keyed(with_fields(request, key=None if isinstance(key, NoKey) else key))
        plan, definition = await self._plan(reference, request, call.definition)
        basis = await self._widened(plan.references)
        if plan.pinning:
            request = await self._pinned(request, basis.resolver.pins_of(plan.pinning), basis)
        request = with_fields(request, scope=with_defaults(plan, scope))
        agents = resolve(plan, basis.resolver, request)
        if call.content or call.expand:
            agents = await self._with_contents(plan, agents, basis, request)
        answer = EnsembleAnswer(
            ensemble=reference.name,
            definition=definition,
            environment=request.environment,
            key=str(request.key),
            snapshot=basis.info,
            agents=agents,
            key_note=note,
            region=request.region,
            at=_written(at),
        )
        return await self._with_more(answer, plan, call, request) if call.expand or call.references else answer

    async def _with_more(
        self, answer: EnsembleAnswer, plan: Plan, call: EnsembleCall, request: Request
    ) -> EnsembleAnswer:
        """The answer with what a run wants besides: plain references, and the ensemble as it must run."""
        others = _parsed_all(call.references) if call.references else []
        references = dict(others)
        resolver, request = await self.prepared(tuple(references.values()), request)
        resolved = resolve_references(others, resolver, request)
        if call.content:
            resolved = await self.filled(resolved, references, request)
        answer = with_fields(answer, references=resolved)
        if not call.expand:
            return answer
        run = await expanded(plan, answer.agents, self, request)
        return with_fields(answer, expanded=run.ensemble, included=run.included, reads=plan.reads)

    async def prepared(self, references: Sequence[Reference], request: Request) -> tuple[Resolver, Request]:
        """The resolver and the request with all that these references need."""
        basis = await self._widened(references)
        if pins := basis.resolver.pins_of(references):
            request = await self._pinned(request, pins, basis)
        return basis.resolver, request

    async def filled(
        self, resolved: Sequence[ResolvedReference], references: Mapping[str, Reference], request: Request
    ) -> tuple[ResolvedReference, ...]:
        """The same references with their contents."""
        assert self.basis is not None
        return await self._fill(resolved, references, None, self.basis, request)

    async def resolve_references(self, call: ReferencesCall) -> ReferencesAnswer:
        """The versions of up to 100 references."""
        references = _parsed_all(call.references)
        at = self._instant(call.at)
        request = self._keyed(self._request(call, Scope()))
        parsed = [reference for _, reference in references]
        basis = await self._gathered(parsed, at)
        if pins := basis.resolver.pins_of(parsed):
            request = await self._pinned(request, pins, basis)
        resolved = resolve_references(references, basis.resolver, request)
        if call.content:
            resolved = await self._fill(resolved, dict(references), None, basis, request)
        return ReferencesAnswer(
            environment=request.environment,
            key=str(request.key),
            snapshot=basis.info,
            references=resolved,
            region=request.region,
            at=_written(at),
        )

    async def component(self, written: str, call: Call) -> ComponentAnswer:
        """The content of one component."""
        reference = _reference(written, None)
        request = self._keyed(self._request(call, Scope()))
        basis = await self._gathered([reference], self._instant(call.at))
        found = await self._one(str(reference), reference, basis, request)
        assert found.version is not None
        assert found.route is not None
        assert found.content is not None
        return ComponentAnswer(
            component=found.component,
            version=found.version,
            route=found.route,
            key=str(request.key),
            type=found.type,
            media_type=found.media_type,
            content=found.content,
            note=found.note,
        )

    async def version(self, call: VersionCall, component: str | None) -> VersionAnswer:
        """The pointers of one environment, now or at an instant."""
        environment, instant = self._environment(call.environment), self._instant(call.at)
        reference = None if component is None else _name(component, "component")
        if instant is None:
            basis = await self._gather([], None)
        elif reference is not None:
            basis = await self._past([reference], instant)
        else:
            every = await names_with_history(self._platform.store, self._edge.settings.kv_timeout)
            basis = await self._past(map(Reference, every), instant)
        snapshot = basis.snapshot
        if reference is not None:
            try:
                choice = basis.resolver.choose(reference, Request(environment=environment), canary=False)
            except NotFound as error:
                raise error.located(field="component") from None
            return VersionAnswer(environment, {choice.component: choice.version}, _written(instant))
        # The environment is picked before anything is kept: a map may hold 100,000 components.
        found = (
            (name, pointers[environment]) for name, pointers in snapshot.pointers.items() if environment in pointers
        )
        components = dict(sorted(found))
        if not components and snapshot.pointers:
            known = {pointer for pointers in snapshot.pointers.values() for pointer in pointers} - {"latest", "stable"}
            raise NotFound(
                f"unknown environment `{environment}`; there are {listed(known)}.{nearest(environment, known)}",
                field="environment",
            )
        return VersionAnswer(environment, components, _written(instant))

    async def history(self, written: str) -> HistoryAnswer:
        """Every recorded move of a component's pointers, the newest first."""
        reference, timeout, met = _name(written, "name"), self._edge.settings.kv_timeout, self._edge.met
        name = reference.name
        if reference.type is not None:
            name = (await self._gather([], None)).resolver.component(reference)
        key = history_key(name)
        entry = (await read(self._platform.store, [key], timeout))[key]
        if entry is None:
            met.keep([key], [])
            names = await names_with_history(self._platform.store, timeout)
            raise NotFound(
                f"no history of `{name}`; there is one of {listed(names)}.{nearest(name, names)}", field="name"
            )
        moves = met.decoded(key, functools.partial(decode_history, key, entry.value))
        return HistoryAnswer(name, tuple(_move_answer(move) for move in reversed(moves)))

    async def health(self, *, authorised: bool) -> Health:
        """How this isolate is; asking reads the snapshot like any request."""
        edge, announcements = self._edge, self._platform.announcements
        try:
            view: View | None = await edge.snapshots.view(self._platform.store, self._platform.behind, announcements)
        except ResolverError:
            view = None
        if view:
            # These are read with the snapshot now, and it says what is bad in them.
            edge.met.keep(map(index_key, view.held.snapshot.indexes), [])
        problems = (*(view.held.problems if view else ()), *edge.met)
        heard = msgspec.UNSET if announcements is None else _heard_info(edge.snapshots.heard)
        unheard = heard is not msgspec.UNSET and heard.error
        degraded = view is not None and (view.stale or problems or view.held.source == "bundled" or unheard)
        kept = edge.contents.kept
        return Health(
            status="down" if view is None else "degraded" if degraded else "ok",
            snapshot=None if view is None else _info(view),
            stale=view.stale if view else None,
            last_error=edge.snapshots.last_error,
            dropped=len(problems),
            problems=tuple(map(str, problems[:100])) if authorised else None,
            counters={
                "requests": edge.requests,
                "errors": edge.errors,
                "refreshes": edge.snapshots.refreshes,
                "refresh_failures": edge.snapshots.failures,
                "content_hits": kept.hits,
                "content_misses": kept.misses,
                "content_bytes": kept.size,
            },
            generation_url=heard,
        )

    # What a request is resolved from

    async def _gather(
        self, references: Sequence[Reference], at: datetime | None, generation: int | None = None
    ) -> Basis:
        """The basis: the isolate's snapshot, an earlier one that it remembers, or the past of these references."""
        self._at = at
        if at is not None:
            return await self._past(references, at)
        platform, snapshots = self._platform, self._edge.snapshots
        view = await snapshots.view(platform.store, platform.behind, platform.announcements)
        if generation is not None and generation != view.held.snapshot.generation:
            view = snapshots.of_generation(generation) or view
        self.basis = basis = Basis(view.held.resolver, _info(view), view.stale, view.held)
        return basis

    async def _gathered(self, references: Sequence[Reference], at: datetime | None) -> Basis:
        """The basis, with all that these references need."""
        basis = await self._gather(references, at)
        return await self._widened(references) if basis.resolver.indexes_needed(references) else basis

    async def _widened(self, references: Sequence[Reference]) -> Basis:
        """The same basis, with what these references need besides the map: lists of versions, or more of the past."""
        basis, at = self.basis, self._at
        assert basis is not None
        needed = basis.resolver.indexes_needed(references)
        if at is not None:
            pointers = basis.snapshot.pointers
            if not needed and all(basis.resolver.known(reference) in pointers for reference in references):
                return basis
            wider = (await self._past(references, at)).snapshot
            both = replace(wider, pointers={**pointers, **wider.pointers})
            self.basis = basis = basis._replace(resolver=Resolver(both))
        elif needed:
            assert basis.held is not None
            held = await self._edge.snapshots.with_lists(basis.held, needed, self._platform.store)
            self.basis = basis = basis._replace(resolver=held.resolver, held=held)
        return basis

    async def _past(self, references: Iterable[Reference], at: datetime) -> Basis:
        edge = self._edge
        snapshot = await read_past(references, at, self._platform.store, edge.settings.kv_timeout, edge.met)
        info = SnapshotInfo(snapshot.revision, None, 0, "history")
        self.basis = basis = Basis(Resolver(snapshot), info, None, None)
        return basis

    async def _pinned(self, request: Request, pins: frozenset[Pin], basis: Basis) -> Request:
        """The request with what is known of the versions that its references pin."""
        known = await self._edge.pins.check(pins, basis.snapshot, self._platform.store)
        return with_fields(request, pins=known) if known.absent or known.unchecked else request

    # What a request says

    def _instant(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            instant = parse_instant(text)
        except ResolverError as error:
            raise error.located(field="at") from None
        now = datetime.fromtimestamp(self._edge.clock.now(), UTC)
        if instant > now:
            raise InvalidRequest(
                f"`{text}` lies in the future: nothing is recorded of it, it is {format_instant(now)[:19]}Z", field="at"
            )
        return instant

    def _environment(self, given: str | None) -> str:
        if given is None:
            return self._edge.settings.environment
        if fault := environment_fault(given):
            raise InvalidRequest(fault, field="environment")
        return given

    def _request(self, call: Call, scope: Scope) -> Request:
        if call.region is not None and not is_region(call.region):
            raise InvalidRequest(f"`{call.region[:80]}` cannot name a region", field="region")
        return Request(scope, self._environment(call.environment), call.region, key_text(call.key))

    def _keyed(self, request: Request) -> Request:
        """The request with a key: its own, or one drawn for it alone."""
        return request if request.key is not None else with_fields(request, key=self._edge.draw_key())

    # Ensembles

    async def _plan(
        self, reference: Reference, request: Request, sent: str | dict[str, Any] | None
    ) -> tuple[Plan, Definition]:
        ensembles, basis = self._edge.ensembles, self.basis
        assert basis is not None
        pinned = reference.selector is not None and reference.selector.kind == "version"
        if basis.resolver.known(reference) not in basis.snapshot.pointers and not pinned:
            if sent is not None:
                return ensembles.sent(reference.name, sent), Definition(None, "sent")
            return ensembles.bundled(reference), Definition(None, "bundled")
        basis = await self._widened([reference])
        choice = basis.resolver.choose(reference, request)
        plan = ensembles.kept(choice.component, choice.version)
        if plan is not None:
            return plan, Definition(choice.version, choice.route)
        found = await self._one("ensemble", reference, basis, request)
        assert found.version is not None
        assert found.route is not None
        assert found.content is not None
        return ensembles.keep(found.component, found.version, found.content), Definition(found.version, found.route)

    # Contents

    async def _one(self, path: str, reference: Reference, basis: Basis, request: Request) -> ResolvedReference:
        """One reference with its content."""
        resolved = resolve_references([(path, reference)], basis.resolver, request)
        (found,) = await self._fill(resolved, {path: reference}, None, basis, request)
        return found

    async def _with_contents(
        self, plan: Plan, agents: tuple[AgentDecision, ...], basis: Basis, request: Request
    ) -> tuple[AgentDecision, ...]:
        """The agents with the contents of all that may run; what is not selected needs none."""
        sites = {site.path: site.found.reference for unit in plan.units for site in unit.sites}
        wanted = {
            reference.path: reference
            for agent in agents
            if agent.selected is not False
            for reference in agent.references
        }
        filled = await self._fill(tuple(wanted.values()), sites, plan.group, basis, request)
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
        basis: Basis,
        request: Request,
    ) -> tuple[ResolvedReference, ...]:
        """The same references with their contents; a canary without one gives way to the stable version."""
        find = self._edge.contents.find
        contents = await find(
            [Wanted(r.component, str(r.version), references[r.path].type or r.type) for r in resolved],
            self._platform.store,
        )
        canaries = [found for found in resolved if found.route == "canary"]
        missing = [found for found in canaries if (found.component, found.version) not in contents]
        # Of a group all run their canaries, or none does.
        fallbacks = {
            found.path: fallback_of(
                missing[0] if group else found,
                basis.resolver.choose(references[found.path], request, group, canary=False),
            )
            for found in (canaries if group and missing else missing)
        }
        if fallbacks:
            stable = [Wanted(c.component, c.version, references[path].type or c.type) for path, c in fallbacks.items()]
            contents |= await find(stable, self._platform.store)
        lost = {(r.component, str(r.version)) for r in resolved if r.route == "pinned"} - contents.keys()
        known = (await self._pinned(request, frozenset(lost), basis)).pins
        return tuple(
            with_content(found, fallbacks.get(found.path), references[found.path], contents, known.absent)
            for found in resolved
        )


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
    if "input" in variables:
        raise InvalidRequest("`input` stands beside `context`, not in it", field="context.input")
    return Scope(UNDEFINED if call.input is msgspec.UNSET else call.input, variables, outputs)


def _parsed(text: str) -> Reference:
    """`parse_reference`, whose answer depends on the text alone: that of a short one is kept."""
    return _kept_reference(text) if len(text) <= LONGEST_NAME else parse_reference(text)


_kept_reference = functools.lru_cache(MOST_TEXTS)(parse_reference)


def _parsed_all(texts: Sequence[str]) -> list[tuple[str, Reference]]:
    """The references of a call, each with the path at which it stands."""
    if not 1 <= len(texts) <= MOST_REFERENCES:
        raise InvalidRequest(f"{len(texts)} references; one call takes 1 to {MOST_REFERENCES}", field="references")
    references = []
    for position, text in enumerate(texts):
        try:
            references.append((f"references[{position}]", _parsed(text)))
        except InvalidReference as error:
            raise error.located(field=f"references[{position}]") from None
    return references


def _reference(written: str, type: str | None) -> Reference:
    reference = _parsed(written)
    if type is None or reference.type == type:
        return reference
    if reference.type is not None:
        raise InvalidReference(f"`{written[:80]}` names a {reference.type}, and an {type} is wanted here")
    return asking_for(reference, type)


def _name(written: str, field: str) -> Reference:
    try:
        return parse_name(written)
    except InvalidReference as error:
        raise error.located(field=field) from None


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _move_answer(move: Move) -> MoveAnswer:
    published = format_instant(move.published_at) if move.published_at else None
    return MoveAnswer(format_instant(move.at), move.environment, move.version, move.actor, move.generation, published)
