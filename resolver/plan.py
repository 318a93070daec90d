"""Turns an ensemble into a plan, once. Turns a plan, a snapshot and a request into an answer, per request.

Rules:

- `resolve` is pure: the same plan, snapshot and request give the same answer, in any process, for ever;
- an agent runs when all conditions on the way to it hold. A false one decides. Else a condition that needs an output
  which was not sent leaves it open (`selected: null` with `needs`), and never turns into a silent false;
- an agent that does not run gives nothing: what reads its output reads undefined;
- references of an agent that is selected, or may be, must resolve; those of an agent that is not selected are
  resolved as well, and carry their error instead of failing the request;
- a bare word that is a reference only because the version map knows it is text where it does not resolve.

`resolver/snapshot.py` says how a reference gets its version.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from resolver.ensemble import DuringRun, Ensemble, Evaluated, Fixed, Site, Unit
from resolver.errors import InvalidRequest, NotFound
from resolver.expression import UNDEFINED, Expression, Key, Needed, Scope, input_fields
from resolver.expression.javascript import to_text, truthy
from resolver.reference import Reference
from resolver.snapshot import Choice, Group, Request, Resolver, Route

Reason = Literal["unconditional", "condition", "needs", "during the run", "not in the flow"]

# The structs below are `gc=False`: they hold text and JSON, which cannot refer back to them. So the garbage collector
# does not have to walk the hundreds that a request makes.


class ResolvedReference(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A reference and its version. `version` and `route` are null, and `error` is set, where it has none."""

    path: str
    reference: str
    component: str
    version: str | None
    route: Route | None
    note: str | None = None
    error: str | None = None
    type: str | None = None
    media_type: str | None = None
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


@dataclass(frozen=True, slots=True)
class Plan:
    """An ensemble, ready to be resolved."""

    name: str
    units: tuple[Unit, ...]
    key: Key | None
    group: Group | None
    references: tuple[Reference, ...]
    #: Those of the references that pin a version.
    pinning: tuple[Reference, ...]
    #: What an input has where it was not sent, and the state that the run begins with; None where there is no state.
    defaults: Mapping[str, object]
    state: Mapping[str, object] | None
    #: The ensemble's document, which a run is made from.
    raw: Mapping[str, Any]

    #: The fields of the input that conditions and key may read, sorted; None where that is all of it.
    reads: tuple[str, ...] | None


def compile_plan(ensemble: Ensemble) -> Plan:
    """The plan of an ensemble. All parsing is done by now; nothing here can fail."""
    sites = itertools.chain.from_iterable(unit.sites for unit in ensemble.units)
    references = tuple(dict.fromkeys(site.found.reference for site in sites))
    pointing = tuple(found for found in references if found.selector is None or found.selector.environment is not None)
    group = None if ensemble.group is None else Group(ensemble.group, pointing)
    pinning = tuple(found for found in references if found.selector and found.selector.kind == "version")
    return Plan(
        ensemble.name,
        ensemble.units,
        ensemble.key,
        group,
        references,
        pinning,
        ensemble.defaults,
        ensemble.state,
        ensemble.raw,
        _reads(ensemble),
    )


def _reads(ensemble: Ensemble) -> tuple[str, ...] | None:
    conditions = (condition for unit in ensemble.units for condition in unit.conditions)
    parsed: list[Expression | Key] = [each.expression for each in conditions if isinstance(each, Evaluated)]
    fields = [input_fields(each) for each in (*parsed, *([ensemble.key] if ensemble.key else []))]
    known = [each for each in fields if each is not None]
    return tuple(sorted(frozenset[str]().union(*known))) if len(known) == len(fields) else None


def with_defaults(plan: Plan, scope: Scope) -> Scope:
    """The scope with the ensemble's defaults for what was not sent. What was sent as null stays null."""
    sent = {} if scope.input is UNDEFINED else scope.input
    if not plan.defaults or not isinstance(sent, dict):
        return scope
    return scope._replace(input={**plan.defaults, **sent})


def key_text(value: object) -> str | None:
    """A key as text, as JavaScript's `String(v)` writes it; None for a value that is not a key.

    A key is text or a number. Absent, null, NaN (a sum with something absent) and the empty text are not keys. Raises
    `InvalidRequest` for any other.
    """
    if value is UNDEFINED or value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return to_text(value)
    raise InvalidRequest("a key is text or a number", field="key")


def resolve(plan: Plan, resolver: Resolver, request: Request) -> tuple[AgentDecision, ...]:
    """What the request runs. Raises `NotFound` for a reference of an agent that may run and has no version."""
    decisions = []
    #: The names whose steps were all passed over: their outputs are undefined, and nobody can ever send them.
    silent: set[str] = set()
    heard: set[str] = set()
    for unit in plan.units:
        decision = _decide(unit, plan, resolver, request, silent)
        decisions.append(decision)
        # Others read the output of `writer@v1.0.0` as `writer`.
        name = unit.name.partition("@")[0]
        if decision.selected is not False:
            heard.add(name)
            silent.discard(name)
        elif name not in heard:
            silent.add(name)
    return tuple(decisions)


def resolve_references(
    references: Iterable[tuple[str, Reference]], resolver: Resolver, request: Request
) -> tuple[ResolvedReference, ...]:
    """The versions of plain references, each with the path that the caller names it by. Raises `NotFound`."""
    resolved = []
    for path, reference in references:
        try:
            choice = resolver.choose(reference, request)
        except NotFound as error:
            raise error.located(field=path) from None
        resolved.append(_resolved(path, reference, choice))
    return tuple(resolved)


def _resolved(path: str, reference: Reference, choice: Choice) -> ResolvedReference:
    return ResolvedReference(
        path, str(reference), choice.component, choice.version, choice.route, choice.note, type=choice.type
    )


def _decide(unit: Unit, plan: Plan, resolver: Resolver, request: Request, silent: Collection[str]) -> AgentDecision:
    selected, reason, condition, needs = _selected(unit, plan, request.scope, silent)
    references = []
    for site in unit.sites:
        resolved = resolve_site(site, resolver, request, plan.group, must=selected is not False)
        if resolved is not None:
            references.append(resolved)
    return AgentDecision(
        unit.name, unit.operation, unit.path, selected, reason, tuple(references), condition, tuple(sorted(needs))
    )


def resolve_site(
    site: Site, resolver: Resolver, request: Request, group: Group | None = None, *, must: bool = True
) -> ResolvedReference | None:
    """What stands at a site; None where it is text. Raises `NotFound` where it must have a version and has none."""
    reference, certain = site.found.reference, site.found.certain
    if not certain and resolver.known(reference) not in resolver.snapshot.pointers:
        return None
    try:
        return _resolved(site.path, reference, resolver.choose(reference, request, group))
    except NotFound as error:
        if not certain:
            return None
        if must:
            raise error.located(field=site.path) from None
        return ResolvedReference(site.path, str(reference), reference.name, None, None, error=error.detail)


def _selected(
    unit: Unit, plan: Plan, scope: Scope, silent: Collection[str]
) -> tuple[bool | None, Reason, str | None, frozenset[str]]:
    """Whether the unit runs, why, the text of the condition that decided, and the outputs that are wanted."""
    if not unit.used:
        return False, "not in the flow", None, frozenset()
    if not unit.conditions:
        return True, "unconditional", None, frozenset()
    open_: Evaluated | None = None
    during: Evaluated | DuringRun | None = None
    needs: set[str] = set()
    for condition in unit.conditions:
        match condition:
            case Evaluated(expression=expression):
                try:
                    holds = truthy(expression.evaluate(scope))
                except Needed:
                    wanted = _wanted(condition, _before(unit, plan, condition, scope, silent))
                    if isinstance(wanted, bool):
                        holds = wanted
                    elif wanted & condition.during:
                        during = during or condition
                        continue
                    else:
                        needs |= wanted
                        open_ = open_ or condition
                        continue
            case Fixed():
                holds = condition.holds
            case DuringRun():
                during = during or condition
                continue
        if not holds:
            return False, "condition", condition.text, frozenset()
    if open_ is not None:
        return None, "needs", open_.text, frozenset(needs)
    if during is not None:
        return None, "during the run", during.text, frozenset()
    return True, "condition", unit.conditions[-1].text, frozenset()


def _before(unit: Unit, plan: Plan, condition: Evaluated, scope: Scope, silent: Collection[str]) -> Scope:
    """The scope with what is known besides of names that were not sent."""
    variables, outputs = scope.variables, dict.fromkeys((*condition.absent, *silent), UNDEFINED)
    if plan.state is not None and not unit.after_state:
        variables = {"state": plan.state, **variables}
    return scope._replace(variables=variables, outputs={**outputs, **scope.outputs})


def _wanted(condition: Evaluated, scope: Scope) -> bool | frozenset[str]:
    """Whether the condition holds; the names that it needs where nobody can say."""
    try:
        return truthy(condition.expression.evaluate(scope))
    except Needed:
        return frozenset(condition.expression.needs(scope))
