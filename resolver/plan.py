"""From an ensemble to a plan, once; from a plan, a snapshot and a request to an answer, per request.

Rules:

- `resolve` is pure: the same plan, snapshot and request give the same answer, in any process, for ever;
- a request uses one snapshot for all that it resolves;
- an agent runs when all conditions on the way to it hold. One that is false decides; else one that needs an output
  which was not sent leaves it open (`selected: null` with `needs`), and never turns into a silent false;
- references of an agent that is selected, or may be, must resolve; those of an agent that is not selected are
  resolved as well, and carry their error instead of failing the request;
- the components of a group draw once: all that have a canary run it, or none does. The group's percentage is the
  smallest of theirs. A component without a canary, where another has one, runs its stable version, with a note.

How a selector is looked up:

| Selector                               | Version                                              | Route     |
|----------------------------------------|------------------------------------------------------|-----------|
| `v1.2.3`                               | itself                                               | `pinned`  |
| environment E, or none: the request's  | with region R, `E-R` where that pointer exists       | `region`  |
|                                        | else `E`                                             | `pointer` |
|                                        | but that pointer's `-canary` if the bucket says so   | `canary`  |
| `latest`, `stable`                     | the pointer of that name                             | `pointer` |
|                                        | else the index's highest (without pre-release)       | `range`   |
| a range                                | the index's highest in it                            | `range`   |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from resolver.documents import Snapshot, Where
from resolver.ensemble import Condition, Ensemble, Site, Unit
from resolver.errors import InvalidRequest, NotFound, listed, nearest
from resolver.expression import Expression, Needed, Scope, Template
from resolver.expression.javascript import UNDEFINED, to_text, truthy
from resolver.reference import Reference
from resolver.rollout import Canary, Percentage, RolloutTable, group_salt, salt
from resolver.version import highest, parse_range

Route = Literal["pinned", "pointer", "canary", "range", "region"]
Reason = Literal["unconditional", "condition", "needs", "during the run", "not in the flow"]

# The structs below are `gc=False`: what they hold is text and JSON, which cannot come back to them, so that the garbage
# collector need not walk the hundreds that a request makes.

#: Names looked through for a "did you mean"; a map can hold 100,000.
_SUGGESTED_FROM = 500
#: Choices that a snapshot remembers; then it begins anew, so that regions nobody has cannot turn the memory off.
_DRAWS_KEPT = 4_096


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a request says. Without a `key` no canary takes it; the edge draws one for a request that has none."""

    scope: Scope = Scope(UNDEFINED)
    environment: str = "prod"
    region: str | None = None
    key: str | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """A version, why it was chosen, and what the reader should know about it besides."""

    version: str
    route: Route
    note: str | None = None


class Draw(msgspec.Struct, frozen=True, gc=False):
    """All that a pointer's choice depends on besides the key: `stable` is what is served unless `canary` takes the
    request, which then runs `candidate`; `without` where no canary may take part."""

    without: Choice
    stable: Choice
    candidate: Choice
    canary: Canary | None = None


class ResolvedReference(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A reference and its version. `version` and `route` are null, and `error` is set, where it has none."""

    path: str
    reference: str
    component: str
    version: str | None
    route: Route | None
    note: str | None = None
    error: str | None = None
    content: str | None = None


class AgentDecision(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Whether an agent runs, and why: `condition` is the text of the condition that decided."""

    name: str
    operation: str | None
    path: str
    selected: bool | None
    reason: Reason
    references: tuple[ResolvedReference, ...]
    condition: str | None = None
    needs: tuple[str, ...] = ()


# Found by what it is and not by what it says: it is looked up for each decision.
@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The components of an ensemble that draw together. `members` are those of its references that point."""

    name: str
    members: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """An ensemble, ready to be resolved."""

    name: str
    units: tuple[Unit, ...]
    key: Template | None
    group: Group | None
    references: tuple[Reference, ...]

    @property
    def components(self) -> frozenset[str]:
        """The names of all components that the plan refers to."""
        return frozenset(reference.name for reference in self.references)


def compile_plan(ensemble: Ensemble) -> Plan:
    """The plan of an ensemble. All parsing is done by now; nothing here can fail."""
    sites = itertools.chain.from_iterable(unit.sites for unit in ensemble.units)
    references = tuple(dict.fromkeys(site.found.reference for site in sites))
    pointing = tuple(found for found in references if found.selector is None or found.selector.environment is not None)
    group = None if ensemble.group is None else Group(ensemble.group, pointing)
    return Plan(ensemble.name, ensemble.units, ensemble.key, group, references)


def key_text(value: object) -> str | None:
    """A key as text, the way JavaScript's `String(v)` writes it; None for a value that is no key.

    A key is text or a number. Absent, null, NaN (a sum with what is absent) and the empty text are no key. Raises
    `InvalidRequest` for any other.
    """
    if value is UNDEFINED or value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return to_text(value)
    raise InvalidRequest("a key is text or a number", field="key")


def plan_key(plan: Plan, scope: Scope) -> str | None:
    """The key that the ensemble's `rollout.key` gives; None where it gives none for this input."""
    if plan.key is None:
        return None
    try:
        if plan.key.expression is None:
            # A text around values that are all missing would be the same key for everyone.
            values = [piece.evaluate(scope) for piece in plan.key.pieces if isinstance(piece, Expression)]
            missing = all(value is UNDEFINED or value is None or value == "" for value in values)
            return None if missing else key_text(plan.key.render(scope))
        return key_text(plan.key.expression.evaluate(scope))
    except (Needed, InvalidRequest):
        return None


def resolve(plan: Plan, snapshot: Snapshot, request: Request) -> tuple[AgentDecision, ...]:
    """What the request runs. Raises `NotFound` for a reference of an agent that may run and has no version."""
    return tuple(_decide(unit, snapshot, request, plan.group) for unit in plan.units)


def resolve_references(
    references: Iterable[tuple[str, Reference]], snapshot: Snapshot, request: Request
) -> tuple[ResolvedReference, ...]:
    """The versions of plain references, each with the path that the caller names it by. Raises `NotFound`."""
    resolved = []
    for path, reference in references:
        try:
            choice = choose(reference, snapshot, request)
        except NotFound as error:
            raise error.located(field=path) from None
        resolved.append(_resolved(path, reference, choice))
    return tuple(resolved)


def choose(
    reference: Reference, snapshot: Snapshot, request: Request, group: Group | None = None, *, canary: bool = True
) -> Choice:
    """The version of one reference. Raises `NotFound`, which says what exists instead.

    With `canary=False` no canary takes part: the version that is served where a canary's content is missing.
    """
    selector = reference.selector
    wanted = request.environment if selector is None else selector.environment
    if wanted is None:
        return _by_version(reference, snapshot)
    name, region = reference.name, request.region
    where = wanted if region is None and group is None else (wanted, region, group and (group, request.environment))
    try:
        draw: Draw = snapshot.draws[where][name]
    except KeyError:
        draw = _draw(_pointer(name, wanted, region, snapshot), group, request, snapshot)
        _remember(snapshot, where, name, draw)
    if not canary:
        return draw.without
    key, drawn = request.key, draw.canary
    if drawn is None or key is None:
        return draw.stable
    return draw.candidate if drawn.takes(key) else draw.stable


class _Pointer(NamedTuple):
    """A pointer that a request reads: its component and environment, its version, and the canary's beside it."""

    name: str
    environment: str
    stable: Choice
    candidate: str | None


def _pointer(name: str, wanted: str, region: str | None, snapshot: Snapshot) -> _Pointer:
    """Raises `NotFound`."""
    pointers = snapshot.pointers.get(name)
    if pointers is None:
        raise NotFound(_unknown_component(name, snapshot))
    environment = wanted
    version = pointers.get(wanted)
    route: Route = "pointer"
    if region and (regional := pointers.get(f"{wanted}-{region}")) is not None:
        environment, version, route = f"{wanted}-{region}", regional, "region"
    if version is None:
        raise NotFound(_unknown_environment(name, wanted, snapshot))
    return _Pointer(name, environment, Choice(version, route), pointers.get(f"{environment}-canary"))


def _draw(pointer: _Pointer, group: Group | None, request: Request, snapshot: Snapshot) -> Draw:
    """What is drawn from at a pointer."""
    stable, candidate = pointer.stable, pointer.candidate
    members = [] if group is None else _canaries(group, request, snapshot)
    if candidate is None:
        others = f", and `{members[0].name}` of its group `{group.name}` has one" if group and members else ""
        noted = Choice(stable.version, stable.route, f"`{pointer.name}` has no canary{others}") if others else stable
        return Draw(stable, noted, stable)
    if snapshot.rollout is None:
        note = f"the percentage of the canary {candidate} at that instant is not known"
        return Draw(stable, Choice(stable.version, stable.route, note), stable)
    salted = (
        salt(pointer.name, pointer.environment, candidate)
        if group is None
        else group_salt(group.name, request.environment)
    )
    share = _smallest([pointer, *members], snapshot.rollout)
    return Draw(stable, stable, Choice(candidate, "canary"), Canary.of(salted, share))


def _canaries(group: Group, request: Request, snapshot: Snapshot) -> list[_Pointer]:
    """Those pointers of a group that have a canary; a member that does not resolve is none."""
    found = []
    for member in group.members:
        wanted = request.environment if member.selector is None else member.selector.environment
        assert wanted is not None
        try:
            found.append(_pointer(member.name, wanted, request.region, snapshot))
        except NotFound:
            continue
    return [pointer for pointer in found if pointer.candidate is not None]


def _smallest(pointers: Iterable[_Pointer], rollout: RolloutTable) -> Percentage:
    """The smallest percentage of these: nobody faces a canary that its own percentage keeps from them."""
    shares = [rollout.percentage(pointer.name, pointer.environment) for pointer in pointers]
    return min(shares, key=lambda share: share.threshold)


def indexes_needed(references: Iterable[Reference], snapshot: Snapshot) -> frozenset[str]:
    """The components whose index is wanted to resolve the references and is not in the snapshot."""
    needed = set()
    for reference in references:
        selector, name = reference.selector, reference.name
        if selector is None or selector.kind in ("environment", "version"):
            continue
        pointed = selector.kind != "range" and selector.text in snapshot.pointers.get(name, {})
        if not pointed and name not in snapshot.indexes:
            needed.add(name)
    return frozenset(needed)


def _remember(snapshot: Snapshot, where: Where, name: str, found: Draw | Choice) -> None:
    if sum(map(len, snapshot.draws.values())) >= _DRAWS_KEPT:
        snapshot.draws.clear()
    snapshot.draws.setdefault(where, {})[name] = found


def _by_version(reference: Reference, snapshot: Snapshot) -> Choice:
    """What a selector picks that is no environment. Raises `NotFound`."""
    selector = reference.selector
    assert selector is not None
    if selector.kind == "version":
        return Choice(selector.text, "pinned")
    # `@` is the name of no region: what is remembered here never meets a pointer's.
    where = (selector.text, "@", selector.kind)
    choice: Choice | None = snapshot.draws.get(where, {}).get(reference.name)
    if choice is None:
        choice = _highest(reference.name, selector.kind, selector.text, snapshot)
        _remember(snapshot, where, reference.name, choice)
    return choice


def _highest(name: str, kind: str, text: str, snapshot: Snapshot) -> Choice:
    if kind != "range" and (version := snapshot.pointers.get(name, {}).get(kind)) is not None:
        return Choice(version, "pointer")
    versions = snapshot.indexes.get(name)
    if versions is None:
        if name not in snapshot.pointers:
            raise NotFound(_unknown_component(name, snapshot))
        raise NotFound(f"`{name}` has no list of its versions (index/{name} in KV), which `{text}` needs")
    found = parse_range(text).highest(versions) if kind == "range" else highest(versions, stable=kind == "stable")
    if found is None:
        wanted = f"no version of `{name}` " + (
            f"lies in `{text}`" if kind == "range" else "exists" if kind == "latest" else "is without pre-release"
        )
        raise NotFound(f"{wanted}; it has {listed(versions)}")
    return Choice(found, "range")


def _unknown_component(name: str, snapshot: Snapshot) -> str:
    if not snapshot.pointers:
        return f"unknown component `{name}`; the version map is empty"
    known = list(itertools.islice(snapshot.pointers, _SUGGESTED_FROM))
    close = nearest(name, known)
    return f"unknown component `{name}`.{close}" if close else f"unknown component `{name}`; there are {listed(known)}"


def _unknown_environment(name: str, environment: str, snapshot: Snapshot) -> str:
    pointers = [pointer for pointer in snapshot.pointers[name] if pointer not in ("latest", "stable")]
    has = f"it has {listed(pointers)}" if pointers else "it has none"
    return f"unknown environment `{environment}` for `{name}`; {has}"


def _resolved(path: str, reference: Reference, choice: Choice) -> ResolvedReference:
    return ResolvedReference(path, str(reference), reference.name, choice.version, choice.route, choice.note)


def _decide(unit: Unit, snapshot: Snapshot, request: Request, group: Group | None) -> AgentDecision:
    selected, reason, condition, needs = _selected(unit, request.scope)
    references = []
    for site in unit.sites:
        resolved = _site(site, snapshot, request, group, must=selected is not False)
        if resolved is not None:
            references.append(resolved)
    return AgentDecision(
        unit.name, unit.operation, unit.path, selected, reason, tuple(references), condition, tuple(sorted(needs))
    )


def _site(
    site: Site, snapshot: Snapshot, request: Request, group: Group | None, *, must: bool
) -> ResolvedReference | None:
    reference = site.found.reference
    if not site.found.certain and reference.name not in snapshot.pointers:
        return None
    try:
        return _resolved(site.path, reference, choose(reference, snapshot, request, group))
    except NotFound as error:
        if must:
            raise error.located(field=site.path) from None
        return ResolvedReference(site.path, str(reference), reference.name, None, None, error=error.detail)


def _selected(unit: Unit, scope: Scope) -> tuple[bool | None, Reason, str | None, frozenset[str]]:
    """Whether the unit runs, why, the text of the condition that decided, and the outputs that are wanted."""
    if not unit.used:
        return False, "not in the flow", None, frozenset()
    if not unit.conditions:
        return True, "unconditional", None, frozenset()
    open_: Condition | None = None
    during: Condition | None = None
    needs: set[str] = set()
    for condition in unit.conditions:
        if condition.expression is None:
            during = during or condition
            continue
        try:
            holds = _holds(condition, scope)
        except Needed:
            assert isinstance(condition.expression, Expression)
            needs.update(condition.expression.needs(scope))
            open_ = open_ or condition
            continue
        if not holds:
            return False, "condition", condition.text, frozenset()
    if open_ is not None:
        return None, "needs", open_.text, frozenset(needs)
    if during is not None:
        return None, "during the run", during.text, frozenset()
    return True, "condition", unit.conditions[-1].text, frozenset()


def _holds(condition: Condition, scope: Scope) -> bool:
    expression = condition.expression
    if isinstance(expression, bool):
        return expression is not condition.negated
    assert expression is not None
    value = expression.evaluate(scope)
    if condition.case is not None:
        return to_text(value) == condition.case
    if condition.none_of is not None:
        return to_text(value) not in condition.none_of
    return truthy(value) is not condition.negated
