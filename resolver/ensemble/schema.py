"""What an ensemble's file may hold: pydantic models, and their faults told at the place in the file.

Rules:

- fields that this project does not know are kept, not judged: Conductor has many;
- what must be text and is read as a number is refused with "quote it": 1.10 would have become 1.1.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from resolver.ensemble.yaml import Path, YamlFile
from resolver.errors import InvalidEnsemble, listed, nearest

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


#: The fields that are read only on a step that nests; `parallel:` and its like say by themselves that it does.
_OF_NESTING = frozenset({"type", "value", *(field for fields in NESTING.values() for field in fields)})


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
    component: str | None = None
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

    @model_validator(mode="before")
    @classmethod
    def _runs_an_agent(cls, given: Any) -> Any:
        """What only a step that nests has is Conductor's business on a step that runs an agent: it drops such keys."""
        if not isinstance(given, dict) or not isinstance(given.get("agent"), str):
            return given
        nests = given.get("type") in NESTING
        return given if nests else {key: value for key, value in given.items() if key not in _OF_NESTING}

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


def read_document(source: YamlFile) -> Document:
    """Check what a file holds. Raises `InvalidEnsemble` with file, line and column."""
    if not isinstance(source.value, dict):
        raise source.error((), "an ensemble is a mapping with `ensemble:` (or `name:`) and `agents:` or `flow:`")
    _refuse_numeric_versions(source, source.value, ())
    try:
        return Document.model_validate(source.value)
    except ValidationError as invalid:
        raise _translated(source, invalid) from None


def _refuse_numeric_versions(source: YamlFile, value: object, path: Path) -> None:
    """`version: 1.10` is the number 1.1 by the time anybody looks: refuse it wherever it stands."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "version" and isinstance(child, float):
                raise _quote_it(source, (*path, key))
            _refuse_numeric_versions(source, child, (*path, key))
    elif isinstance(value, list):
        for position, child in enumerate(value):
            _refuse_numeric_versions(source, child, (*path, position))


def _quote_it(source: YamlFile, path: Path) -> InvalidEnsemble:
    written = source.written(path)
    return source.error(path, f'`{written}` is not text in YAML and would change its spelling; quote it: "{written}"')


def _translated(source: YamlFile, invalid: ValidationError) -> InvalidEnsemble:
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


def _path(source: YamlFile, location: tuple[str | int, ...]) -> Path:
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
