"""Ensembles: YAML workflows, read, checked and described by pydantic models.

Two forms are one here. The short form says `ensemble:` and `agents:`, whose entries carry `component:` and
`condition:`; Conductor's says `name:`, `agents:` for definitions and `flow:` for steps, which nest:

    parallel.steps   branch.then / branch.else   foreach.step   try.steps / try.catch / try.finally
    switch.cases / switch.default   while.steps   map-reduce.map / map-reduce.reduce

either as `type: parallel` beside `steps:`, or as `parallel:` above them. Rules:

- fields that this project does not know are kept, not judged: Conductor has many;
- `condition:` and `when:` are one thing; both at once, and an empty one, are errors;
- a condition that cannot be parsed whole is an error now and never a silent false later;
- what must be text and is read as a number is refused with "quote it": 1.10 would have become 1.1;
- every error names file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from resolver.errors import InvalidEnsemble, InvalidExpression, InvalidReference, listed, nearest
from resolver.expression import Expression, Template, parse_expression, parse_template
from resolver.javascript import to_text
from resolver.reference import Found, find_reference, is_name
from resolver.source import Path, Source, format_path, read_yaml

#: The steps that hold other steps, each with the fields that hold them.
NESTING = {
    "parallel": ("steps",),
    "branch": ("then", "else"),
    "foreach": ("step",),
    "try": ("steps", "catch", "finally"),
    "switch": ("cases", "default"),
    "while": ("steps",),
    "map-reduce": ("map", "reduce"),
}
#: Of those, the ones that a step of the kind cannot do without.
_REQUIRED = {
    "parallel": ("steps",),
    "branch": ("condition", "then"),
    "foreach": ("step",),
    "try": ("steps",),
    "switch": ("value", "cases"),
    "while": ("condition", "steps"),
    "map-reduce": ("map", "reduce"),
}


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    def known(self, name: str) -> Any:
        """The field that the YAML calls `name`."""
        return getattr(self, _ATTRIBUTES.get(name, name))


# Words that Python keeps for itself, or that a model cannot have as a field.
_ATTRIBUTES = {"else": "else_", "finally": "finally_", "try": "try_", "while": "while_", "map-reduce": "map_reduce"}


class RolloutSettings(BaseModel):
    """What a canary's users are drawn by. This block is ours, so a field that we do not know is a slip."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    key: str | None = None
    group: str | None = None


class Agent(_Model):
    """A definition under `agents:`; in the short form it is also what runs."""

    name: str
    operation: str | None = None
    component: str | None = None
    condition: str | bool | None = None
    when: str | bool | None = None


class Block(_Model):
    """What nests steps: the mapping below `parallel:`, `branch:` and the like, or a step with such a `type:`."""

    condition: str | bool | None = None
    when: str | bool | None = None
    steps: list[Step] | None = None
    then: list[Step] | None = None
    else_: list[Step] | None = Field(None, alias="else")
    step: Step | None = None
    catch: list[Step] | None = None
    finally_: list[Step] | None = Field(None, alias="finally")
    value: str | bool | int | float | None = None
    cases: dict[str, list[Step]] | None = None
    default: list[Step] | None = None
    map: Step | None = None
    reduce: Step | None = None


class Step(Block):
    """A step of a flow: it runs an agent, or it nests other steps."""

    agent: str | None = None
    id: str | None = None
    name: str | None = None
    operation: str | None = None
    type: Literal["parallel", "branch", "foreach", "try", "switch", "while", "map-reduce"] | None = None

    parallel: Block | list[Step] | None = None
    branch: Block | None = None
    foreach: Block | None = None
    try_: Block | list[Step] | None = Field(None, alias="try")
    switch: Block | None = None
    while_: Block | None = Field(None, alias="while")
    map_reduce: Block | None = Field(None, alias="map-reduce")

    @property
    def kinds(self) -> list[str]:
        """The kinds of nesting that the step is written as; exactly one in a step that nests."""
        return [kind for kind in NESTING if self.type == kind or self.known(kind) is not None]

    @model_validator(mode="after")
    def _one_purpose(self) -> Self:
        purposes = self.kinds + (["agent"] if self.agent is not None else [])
        if len(purposes) > 1:
            raise PydanticCustomError(
                "step", "a step does one thing; this one is {purposes}", {"purposes": " and ".join(purposes)}
            )
        if not purposes:
            raise PydanticCustomError(
                "step", "a step names an `agent`, or it is one of {kinds}", {"kinds": ", ".join(NESTING)}
            )
        for kind in self.kinds:
            block = self if self.type else self.known(kind)
            if isinstance(block, Block):
                _check_block(kind, block)
        return self


def _check_block(kind: str, block: Block) -> None:
    for required in _REQUIRED[kind]:
        given = block.known(required)
        if required == "condition" and given is None:
            given = block.when
        if given is None:
            raise PydanticCustomError("step", "`{kind}` lacks its `{required}`", {"kind": kind, "required": required})


class Document(_Model):
    """The whole file."""

    ensemble: str | None = None
    name: str | None = None
    version: str | None = None
    agents: list[Agent] | None = None
    flow: list[Step] | None = None
    rollout: RolloutSettings | None = None


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


def load_ensemble(text: str, file: str) -> Ensemble:
    """Read and check an ensemble. Raises `InvalidEnsemble` with file, line and column."""
    source = read_yaml(text, file)
    if not isinstance(source.value, dict):
        raise source.error((), "an ensemble is a mapping with `ensemble:` (or `name:`) and `agents:` or `flow:`")
    _refuse_numeric_versions(source, source.value, ())
    try:
        document = Document.model_validate(source.value)
    except ValidationError as invalid:
        raise _translated(source, invalid) from None
    return _Reader(source, document).ensemble()


def _refuse_numeric_versions(source: Source, value: object, path: Path) -> None:
    """`version: 1.10` is the number 1.1 by the time anybody looks: refuse it wherever it stands."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "version" and isinstance(child, float):
                raise _quote_it(source, (*path, key))
            _refuse_numeric_versions(source, child, (*path, key))
    elif isinstance(value, list):
        for position, child in enumerate(value):
            _refuse_numeric_versions(source, child, (*path, position))


def _quote_it(source: Source, path: Path) -> InvalidEnsemble:
    written = source.written(path)
    return source.error(path, f'`{written}` is not text in YAML and would change its spelling; quote it: "{written}"')


def _translated(source: Source, invalid: ValidationError) -> InvalidEnsemble:
    """The most telling of pydantic's errors, in the reader's words and at its place in the file."""
    # For a union pydantic reports each alternative; the one that got furthest in is what the writer meant.
    errors = invalid.errors(include_url=False)
    located = [(_path(source, error["loc"]), error) for error in errors]
    path, error = max(located, key=lambda item: len(item[0]))
    kind, given = error["type"], error["input"]
    if kind == "missing":
        missing = str(error["loc"][-1])
        there = listed(given) if isinstance(given, dict) else "nothing"
        return source.error(path, f"`{missing}` is missing here; there are {there}")
    if kind == "extra_forbidden":
        known = RolloutSettings.model_fields
        return source.error(path, f"unknown field; `rollout:` knows {listed(known)}.{nearest(str(path[-1]), known)}")
    if kind in ("string_type", "bool_type", "int_type", "float_type", "literal_error"):
        if isinstance(given, bool | int | float):
            return _quote_it(source, path)
        if kind == "literal_error":
            return source.error(
                path, f"unknown type `{given}`; there are {listed(NESTING)}.{nearest(str(given), NESTING)}"
            )
        return source.error(path, f"must be text, and is {_kind(given)}")
    if kind in ("list_type", "dict_type", "model_type", "model_attributes_type"):
        wanted = "a list" if kind == "list_type" else "a mapping"
        return source.error(path, f"must be {wanted}, and is {_kind(given)}")
    return source.error(path, error["msg"])


def _path(source: Source, location: tuple[str | int, ...]) -> Path:
    """A pydantic location without the names of union branches, as far as the file has such a place."""
    path: Path = ()
    for part in location:
        if (*path, part) in source.places:
            path = (*path, part)
    return path


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"


class _Reader:
    """From the checked document to units. Paths are those of the file, so that every error finds its line."""

    def __init__(self, source: Source, document: Document) -> None:
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
