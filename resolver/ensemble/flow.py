"""From a checked document to what may run: units, the conditions on the way to them, their references.

Rules:

- each step that runs an agent is a unit; the steps around it are conditions on the way to it;
- `condition:` and `when:` are one thing; both at once, and an empty one, are errors;
- a condition that cannot be parsed whole is an error now and never a silent false later;
- every error names file, line and column. What is probably a slip is a value beside the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from resolver.ensemble.conditions import Condition, DuringRun, Evaluated, Fixed, Way, is_case, is_no_case, negated
from resolver.ensemble.schema import NESTING, Agent, Block, Document, Step
from resolver.ensemble.sites import Site, find_sites
from resolver.ensemble.slips import Slip, agent_slips, id_slips, key_slips, name_slips
from resolver.ensemble.yaml import Path, YamlFile, format_path
from resolver.errors import InvalidExpression, listed
from resolver.expression import Expression, Key, parse_condition, parse_field, parse_key
from resolver.expression.javascript import to_text
from resolver.reference import is_name

Parsed = TypeVar("Parsed", Expression, Key)


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that runs or does not: an agent, or a step that runs one."""

    name: str
    operation: str | None
    path: str
    conditions: tuple[Condition, ...]
    sites: tuple[Site, ...]
    #: False for a definition that no step of the flow runs.
    used: bool = True
    #: Whether a step before it may have changed the state.
    after_state: bool = False


@dataclass(frozen=True)
class Ensemble:
    """An ensemble, checked whole: what may run, under which conditions, by which references; and its probable slips."""

    name: str
    units: tuple[Unit, ...]
    key: Key | None = None
    group: str | None = None
    #: What an input has where it was not sent, and the state that the run begins with; None where there is no state.
    defaults: Mapping[str, object] = field(default_factory=dict)
    state: Mapping[str, object] | None = None
    #: The document as YAML says it.
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    slips: tuple[Slip, ...] = ()


_NOWHERE = Way()
#: The names that a run has only in the steps of these.
LOOP_NAMES = {
    "foreach": frozenset({"item", "index"}),
    "map-reduce": frozenset({"item", "index"}),
    "while": frozenset({"iteration", "lastIterationResults"}),
}


def defaults_of(raw: Mapping[str, object]) -> dict[str, object]:
    """What an ensemble's `input:` gives where nothing was sent: `x: 9`, or `x: {type: number, default: 9}`."""
    fields = raw.get("input")
    found: dict[str, object] = {}
    for name, given in fields.items() if isinstance(fields, dict) else ():
        default = given.get("default") if isinstance(given, dict) else given
        if default is not None:
            found[name] = default
    return found


def state_of(raw: Mapping[str, object]) -> Mapping[str, object] | None:
    """The state that a run begins with; None where the ensemble has none."""
    state = raw.get("state")
    if not isinstance(state, dict):
        return None
    initial = state.get("initial")
    return initial if isinstance(initial, dict) else {}


def step_names(block: Block) -> frozenset[str]:
    """The names by which the outputs of a step, or of the steps within, are known."""
    found: set[str] = set()
    if isinstance(block, Step):
        if block.agent is not None:
            return frozenset({block.id or block.name or block.agent.partition("@")[0]})
        for kind in () if block.type else block.kinds:
            found |= _names_within(block.known(kind))
    for field_name in dict.fromkeys(name for names in NESTING.values() for name in names):
        found |= _names_within(block.known(field_name))
    return frozenset(found)


def _names_within(nested: object) -> frozenset[str]:
    if isinstance(nested, Block):
        return step_names(nested)
    many = nested if isinstance(nested, list) else nested.values() if isinstance(nested, dict) else ()
    return frozenset[str]().union(*map(_names_within, many))


class FlowReader:
    """From the checked document to units. Paths are those of the file, so that every error finds its line."""

    def __init__(self, source: YamlFile, document: Document) -> None:
        self.source = source
        self.document = document
        #: The agents that the file defines, by their place under `agents:`, and those that a step runs.
        self.local: dict[str, int] = {}
        self.used: set[str] = set()
        # What is looked through for slips once all names are known: expressions, the agents of steps, their ids.
        self.read: dict[Path, Expression | Key] = {}
        self.runs: list[Path] = []
        self.ids: list[Path] = []
        self.slips: list[Slip] = []
        #: Whether a step up to here may have changed the state.
        self.state_set = False

    def ensemble(self) -> Ensemble:
        document = self.document
        name = self._name()
        agents = document.agents or []
        self.slips += key_slips(self.source, (), Document)
        for position, agent in enumerate(agents):
            if agent.name in self.local:
                first = self.source.line(("agents", self.local[agent.name], "name"))
                raise self.source.error(
                    ("agents", position, "name"), f"a second agent `{agent.name}`; the first is on line {first}"
                )
            self.local[agent.name] = position
            self.slips += key_slips(self.source, ("agents", position), Agent)
        if not agents and not document.flow:
            there = listed(self.source.value)
            raise self.source.error((), f"an ensemble has `agents:` or `flow:`, and this one has {there}")
        if document.flow:
            units = list(self._steps(document.flow, ("flow",), Way()))
            units += [self._agent(i, used=False) for i, agent in enumerate(agents) if agent.name not in self.used]
        else:
            units = [self._agent(position) for position in range(len(agents))]
        raw = self.source.value
        assert isinstance(raw, dict)
        key, group = self._key(), self._group()
        return Ensemble(name, tuple(units), key, group, defaults_of(raw), state_of(raw), raw, self._slips())

    def _name(self) -> str:
        document = self.document
        if document.ensemble is not None and document.name is not None and document.ensemble != document.name:
            raise self.source.error(
                ("name",), f"named `{document.ensemble}` by `ensemble:` and `{document.name}` by `name:`; keep one"
            )
        name = document.ensemble if document.ensemble is not None else document.name
        if name is None:
            raise self.source.error(
                (), f"an ensemble says its name by `ensemble:` or `name:`; there are {listed(self.source.value)}"
            )
        if not is_name(name):
            raise self.source.error(
                ("ensemble" if document.ensemble is not None else "name",),
                f"`{name[:80]}` is not a name: letters, digits, `-`, `_`, `.` and `/` between the parts",
            )
        return name

    def _key(self) -> Key | None:
        rollout = self.document.rollout
        if rollout is None or rollout.key is None:
            return None
        path = ("rollout", "key")
        key = self.read[path] = self._parsed(parse_key, rollout.key, path)
        return key

    def _group(self) -> str | None:
        rollout = self.document.rollout
        if rollout is None or rollout.group is None:
            return None
        if not is_name(rollout.group):
            raise self.source.error(("rollout", "group"), f"`{rollout.group[:80]}` is not a name for a group")
        return rollout.group

    def _slips(self) -> tuple[Slip, ...]:
        agents = [self.source.at(path) for path in self.runs]
        ids = [self.source.at(path) for path in self.ids]
        known = {*self.local, *ids, *agents, *(agent.partition("@")[0] for agent in agents)}
        self.slips += id_slips(self.source, self.ids)
        self.slips += agent_slips(self.source, self.runs, self.local)
        self.slips += name_slips(self.source, self.read.items(), known)
        return tuple(sorted(self.slips, key=lambda slip: (slip.line or 0, slip.column or 0)))

    def _agent(self, position: int, *, used: bool = True) -> Unit:
        agent = (self.document.agents or [])[position]
        path: Path = ("agents", position)
        conditions, sites = tuple(self._conditions(agent, path)), tuple(find_sites(self.source, path))
        return Unit(agent.name, agent.operation, format_path(path), conditions, sites, used)

    # A flow: each step that runs an agent is a unit; the steps around it are conditions on the way to it.

    def _steps(self, steps: list[Step], path: Path, way: Way) -> Iterator[Unit]:
        before: frozenset[str] = frozenset()
        for position, step in enumerate(steps):
            # In a loop what ran before a step has run in this round as well.
            yield from self._step(step, (*path, position), replace(way, during=way.during - before))
            before |= step_names(step)

    def _step(self, step: Step, path: Path, way: Way) -> Iterator[Unit]:
        self.slips += key_slips(self.source, path, Step)
        if step.agent is not None:
            yield self._run(step, step.agent, path, way)
            return
        if "component" in self.source.at(path):
            raise self.source.error((*path, "component"), "a step that runs no agent has no use for a `component`")
        (kind,) = step.kinds
        block: Block | list[Step] = step
        way = self._around(path, way)
        if not step.type:
            way = way.then(self._conditions(step, path, way))
            block, path = step.known(kind), (*path, kind)
            self.slips += key_slips(self.source, path, Block)
            way = self._around(path, way)
        if isinstance(block, list):
            yield from self._steps(block, path, way)
        elif kind == "switch":
            yield from self._switch(block, path, way.then(self._conditions(block, path, way)))
        else:
            yield from self._block(kind, block, path, way)

    def _around(self, path: Path, way: Way) -> Way:
        """The way with the references that stand on the step itself: all within it want them."""
        raw = self.source.at(path)
        nested = {*NESTING, *(name for names in NESTING.values() for name in names)}
        return (
            replace(way, sites=(*way.sites, *find_sites(self.source, path, nested))) if isinstance(raw, dict) else way
        )

    def _block(self, kind: str, block: Block, path: Path, way: Way) -> Iterator[Unit]:
        during = LOOP_NAMES.get(kind, frozenset())
        absent = during | step_names(block) if kind == "while" else frozenset()
        conditions = tuple(self._conditions(block, path, way, absent))
        for name in NESTING[kind]:
            taken: tuple[Condition, ...] = conditions
            only_here = during | absent
            if name == "else":
                taken = tuple(map(negated, conditions))
            elif name == "catch":
                taken = (*conditions, DuringRun(format_path((*path, name)), "a step of the `try` fails"))
                only_here = frozenset({"error"})
            elif name == "reduce":
                only_here = frozenset({"results", "mapResults"})
            inner = replace(way.then(taken), during=way.during | only_here)
            yield from self._nested(block.known(name), (*path, name), inner)

    def _switch(self, block: Block, path: Path, way: Way) -> Iterator[Unit]:
        where = (*path, "value")
        text = block.value if isinstance(block.value, str) else to_text(block.value)
        value = self.read[where] = self._parsed(parse_field, text, where)
        cases = block.cases or {}
        for case, steps in cases.items():
            condition = replace(is_case(format_path(where), text, value, case), during=way.during)
            yield from self._steps(steps, (*path, "cases", case), way.then([condition]))
        condition = replace(is_no_case(format_path(where), text, value, cases), during=way.during)
        yield from self._steps(block.default or [], (*path, "default"), way.then([condition]))

    def _nested(self, nested: Step | list[Step] | None, path: Path, way: Way) -> Iterator[Unit]:
        if isinstance(nested, list):
            yield from self._steps(nested, path, way)
        elif nested is not None:
            yield from self._step(nested, path, way)

    def _run(self, step: Step, agent: str, path: Path, way: Way) -> Unit:
        conditions = [*way.conditions, *self._conditions(step, path, way)]
        sites = [*way.sites, *find_sites(self.source, path, ("agent",) if agent in self.local else ())]
        operation = step.operation
        if agent in self.local:
            definition = self._agent(self.local[agent])
            conditions += definition.conditions
            sites += definition.sites
            operation = operation or definition.operation
        self.used.add(agent)
        self.runs.append((*path, "agent"))
        if step.id or step.name:
            self.ids.append((*path, "id" if step.id else "name"))
        after_state = self.state_set
        state = self.source.at(path).get("state")
        self.state_set |= isinstance(state, dict) and bool(state.get("set"))
        name = step.id or step.name or agent
        return Unit(name, operation, format_path(path), tuple(conditions), tuple(sites), after_state=after_state)

    def _conditions(
        self, holder: Agent | Block, path: Path, way: Way = _NOWHERE, absent: frozenset[str] = frozenset()
    ) -> Iterator[Evaluated | Fixed]:
        raw = self.source.at(path)
        given = [name for name in ("condition", "when") if name in raw]
        if len(given) == 2:
            raise self.source.error((*path, "when"), "`when` and `condition` are one thing; keep one of them")
        for name in given:
            where = (*path, name)
            value = getattr(holder, name)
            if value is None or (isinstance(value, str) and not value.strip()):
                raise self.source.error(where, f"`{name}` is empty; write an expression, or take the line out")
            if isinstance(value, bool):
                yield Fixed(format_path(where), str(value).lower(), value)
            else:
                expression = self.read[where] = self._parsed(parse_condition, value, where)
                yield Evaluated(format_path(where), value, expression, way.during, absent)

    def _parsed(self, parse: Callable[[str], Parsed], text: str, path: Path) -> Parsed:
        try:
            return parse(text)
        except InvalidExpression as error:
            raise self.source.error(path, error) from None
