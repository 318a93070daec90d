"""From a checked document to what may run: units, the conditions on the way to them, their references.

Rules:

- each step that runs an agent is a unit; the steps around it are conditions on the way to it;
- `condition:` and `when:` are one thing; both at once, and an empty one, are errors;
- a condition that cannot be parsed whole is an error now and never a silent false later;
- every error names file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from resolver.ensemble.schema import NESTING, Agent, Block, Document, Step
from resolver.ensemble.yaml import Path, YamlFile, format_path
from resolver.errors import InvalidExpression, InvalidReference, listed
from resolver.expression import Expression, Template, parse_expression, parse_template
from resolver.expression.javascript import to_text
from resolver.reference import Found, find_reference, is_name


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on the way to an agent; `path` is where it stands.

    `expression` is None for one that cannot be known before the run (a `catch` runs when its `try` fails), and a
    plain True or False where the YAML says so. `case` is the value that a switch compares with; `negated` is the
    `else` of a branch. A `default` of a switch carries all cases in `none_of`.
    """

    path: str
    text: str
    expression: Expression | bool | None
    negated: bool = False
    case: str | None = None
    none_of: tuple[str, ...] | None = None


Way = tuple[Condition, ...]
"""The conditions that all must hold for a step to run, from the outermost in."""


@dataclass(frozen=True, slots=True)
class Site:
    """A reference and the path at which it stands."""

    path: str
    found: Found


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


@dataclass(frozen=True)
class Ensemble:
    """An ensemble, checked whole: what may run, under which conditions, by which references."""

    name: str
    units: tuple[Unit, ...]
    key: Template | None = None
    group: str | None = None
    document: Document | None = field(default=None, repr=False)


class FlowReader:
    """From the checked document to units. Paths are those of the file, so that every error finds its line."""

    def __init__(self, source: YamlFile, document: Document) -> None:
        self.source = source
        self.document = document
        #: The agents that the file defines, by their place under `agents:`, and those that a step runs.
        self.local: dict[str, int] = {}
        self.used: set[str] = set()

    def ensemble(self) -> Ensemble:
        document = self.document
        name = self._name()
        agents = document.agents or []
        for position, agent in enumerate(agents):
            if agent.name in self.local:
                first = self.source.line(("agents", self.local[agent.name], "name"))
                raise self.source.error(
                    ("agents", position, "name"), f"a second agent `{agent.name}`; the first is on line {first}"
                )
            self.local[agent.name] = position
        if not agents and not document.flow:
            there = listed(self.source.value)
            raise self.source.error((), f"an ensemble has `agents:` or `flow:`, and this one has {there}")
        if document.flow:
            units = list(self._steps(document.flow, ("flow",), ()))
            units += [self._agent(i, used=False) for i, agent in enumerate(agents) if agent.name not in self.used]
        else:
            units = [self._agent(position) for position in range(len(agents))]
        return Ensemble(name, tuple(units), self._key(), self._group(), document)

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

    def _key(self) -> Template | None:
        rollout = self.document.rollout
        if rollout is None or rollout.key is None:
            return None
        path = ("rollout", "key")
        template: Template = self._parsed(parse_template, rollout.key, path)
        if not template.names:
            raise self.source.error(
                path,
                f"`{rollout.key[:40]}` is the same for every request; the key is an expression: ${{input.user_id}}",
            )
        return template

    def _group(self) -> str | None:
        rollout = self.document.rollout
        if rollout is None or rollout.group is None:
            return None
        if not is_name(rollout.group):
            raise self.source.error(("rollout", "group"), f"`{rollout.group[:80]}` is not a name for a group")
        return rollout.group

    def _agent(self, position: int, *, used: bool = True) -> Unit:
        agent = (self.document.agents or [])[position]
        path: Path = ("agents", position)
        return Unit(
            agent.name,
            agent.operation,
            format_path(path),
            tuple(self._conditions(agent, path)),
            tuple(self._sites(self.source.value["agents"][position], path)),
            used,
        )

    # A flow: each step that runs an agent is a unit; the steps around it are conditions on the way to it.

    def _steps(self, steps: list[Step], path: Path, way: Way) -> Iterator[Unit]:
        for position, step in enumerate(steps):
            yield from self._step(step, (*path, position), way)

    def _step(self, step: Step, path: Path, way: Way) -> Iterator[Unit]:
        if step.agent is not None:
            yield self._run(step, step.agent, path, way)
            return
        (kind,) = step.kinds
        block: Block | list[Step] = step
        if not step.type:
            way = (*way, *self._conditions(step, path))
            block, path = step.known(kind), (*path, kind)
        if isinstance(block, list):
            yield from self._steps(block, path, way)
            return
        conditions = tuple(self._conditions(block, path))
        if kind == "switch":
            yield from self._switch(block, path, (*way, *conditions))
            return
        for name in NESTING[kind]:
            taken = conditions
            if name == "else":
                taken = tuple(replace(condition, negated=True) for condition in conditions)
            elif name == "catch":
                taken = (*conditions, Condition(format_path((*path, name)), "a step of the `try` fails", None))
            yield from self._nested(block.known(name), (*path, name), (*way, *taken))

    def _switch(self, block: Block, path: Path, way: Way) -> Iterator[Unit]:
        where = (*path, "value")
        written = block.value if isinstance(block.value, str) else to_text(block.value)
        expression = self._parsed(parse_expression, written, where)
        cases = block.cases or {}
        for case, steps in cases.items():
            condition = Condition(format_path(where), written, expression, case=case)
            yield from self._steps(steps, (*path, "cases", case), (*way, condition))
        condition = Condition(format_path(where), written, expression, none_of=tuple(cases))
        yield from self._steps(block.default or [], (*path, "default"), (*way, condition))

    def _nested(self, nested: Step | list[Step] | None, path: Path, way: Way) -> Iterator[Unit]:
        if isinstance(nested, list):
            yield from self._steps(nested, path, way)
        elif nested is not None:
            yield from self._step(nested, path, way)

    def _run(self, step: Step, agent: str, path: Path, way: Way) -> Unit:
        raw = self._raw(path)
        conditions = [*way, *self._conditions(step, path)]
        sites = list(self._sites(raw, path, skip=("agent",) if agent in self.local else ()))
        operation = step.operation
        if agent in self.local:
            position = self.local[agent]
            definition = self._agent(position)
            conditions += definition.conditions
            sites += definition.sites
            operation = operation or definition.operation
        self.used.add(agent)
        return Unit(step.id or step.name or agent, operation, format_path(path), tuple(conditions), tuple(sites))

    def _raw(self, path: Path) -> Any:
        value = self.source.value
        for part in path:
            value = value[part]
        return value

    def _conditions(self, holder: Agent | Block, path: Path) -> Iterator[Condition]:
        raw = self._raw(path)
        given = [name for name in ("condition", "when") if name in raw]
        if len(given) == 2:
            raise self.source.error((*path, "when"), "`when` and `condition` are one thing; keep one of them")
        for name in given:
            where = (*path, name)
            value = getattr(holder, name)
            if value is None or (isinstance(value, str) and not value.strip()):
                raise self.source.error(where, f"`{name}` is empty; write an expression, or take the line out")
            if isinstance(value, bool):
                yield Condition(format_path(where), str(value).lower(), value)
            else:
                yield Condition(format_path(where), value, self._parsed(parse_expression, value, where))

    def _parsed(self, parse: Any, text: str, path: Path) -> Any:
        try:
            return parse(text)
        except InvalidExpression as error:
            raise self.source.error(path, error) from None

    def _sites(self, raw: object, path: Path, skip: tuple[str, ...] = ()) -> Iterator[Site]:
        """The references of one agent or step, at any depth, but not those of the steps that it nests."""
        if not isinstance(raw, dict):
            return
        for field_name, value in raw.items():
            if field_name not in ("name", "id", *skip):
                yield from self._search(field_name, value, (*path, field_name), direct=True)

    def _search(self, field_name: str | None, value: object, path: Path, *, direct: bool = False) -> Iterator[Site]:
        if isinstance(value, str):
            try:
                found = find_reference(field_name, value, direct=direct)
            except InvalidReference as error:
                raise self.source.error(path, error) from None
            if found:
                yield Site(format_path(path), found)
        elif isinstance(value, dict):
            for key, child in value.items():
                yield from self._search(key, child, (*path, key))
        elif isinstance(value, list):
            for position, child in enumerate(value):
                yield from self._search(None, child, (*path, position))
