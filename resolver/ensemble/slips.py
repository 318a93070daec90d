"""What loads, and is probably meant otherwise: keys, ids, agents and names that are nearly known ones.

Rules:

- a slip is never an error: Conductor's files hold more than this project knows. It is a value beside the ensemble;
- a slip is `sure` where something that exists is close to it. The others may be right: a caller can send any name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from resolver.ensemble.schema import Agent, Block, Document, Step
from resolver.ensemble.yaml import Path, YamlFile
from resolver.errors import InvalidEnsemble, nearest
from resolver.expression import Expression, Key, unknown_names
from resolver.reference import is_name

Kind = Literal["key", "id", "agent", "name"]

#: Fields that are Conductor's and not ours, so that none of them is taken for a slip in one of ours.
_CONDUCTORS: Final = frozenset(
    {
        *("apiExecutable", "breakWhen", "cache", "config", "depends_on", "description", "handler", "input", "inputs"),
        *("items", "layout", "logging", "maxConcurrency", "maxIterations", "memory", "metadata", "metrics"),
        *("notifications", "onTimeout", "output", "outputs", "prompt", "query", "retry", "schema", "scoring", "script"),
        *("state", "tags", "template", "timeout", "tracing", "trigger", "triggers", "type", "waitFor"),
    }
)
#: How a condition is called elsewhere.
_CONDITION: Final = frozenset({"if", "unless", "cond", "only_if", "run_if"})
#: The agents that Conductor brings along.
_BUILT_IN: Final = frozenset(
    {
        *("autorag", "delay", "docs", "echo", "fetch", "hitl", "inspect-context", "queries", "rag", "redirect"),
        *("scrape", "slug", "tools", "validate"),
    }
)
#: Names that a run has only while it goes through the steps of a `foreach`, a `while`, a `catch` or a `reduce`.
RUN_NAMES: Final = ("item", "index", "iteration", "error", "results", "lastBatchResults", "lastIterationResults")
#: Names of agents up to this length are too short for one letter to tell a slip.
_SHORT: Final = 3
#: Where steps part ways: of two that stand in different ones only one runs.
_APART: Final = frozenset({"then", "else", "cases", "default", "steps", "catch"})


@dataclass(frozen=True, slots=True)
class Slip:
    """What is written, and what about it; `field` is its place in the ensemble, lines and columns count from 1."""

    kind: Kind
    written: str
    sure: bool
    field: str | None
    line: int | None
    column: int | None
    detail: str

    @classmethod
    def told_as(cls, error: InvalidEnsemble, kind: Kind, written: str, *, sure: bool) -> Slip:
        """The slip that such an error would tell."""
        return cls(kind, written, sure, error.field, error.line, error.column, error.detail)


def key_slips(source: YamlFile, path: Path, model: type[Agent | Block | Step | Document]) -> Iterator[Slip]:
    """The keys of the mapping at `path` that are nearly fields of the model."""
    fields = {field.alias or name for name, field in model.model_fields.items()}
    raw = source.at(path)
    if not isinstance(raw, dict):
        return
    for key in raw:
        if key in fields or key in _CONDUCTORS:
            continue
        small = key.lower()
        is_condition = small in _CONDITION and "condition" in fields
        if hint := " Did you mean `condition`?" if is_condition else nearest(small, fields):
            error = source.key_error((*path, key), f"`{key}` is no field that is known here, and does nothing.{hint}")
            yield Slip.told_as(error, "key", key, sure=True)


def id_slips(source: YamlFile, ids: Iterable[Path]) -> Iterator[Slip]:
    """The steps whose `id` (or `name`) another one has already, unless only one of the two runs."""
    seen: dict[str, list[Path]] = {}
    for path in ids:
        written = source.at(path)
        first = next((other for other in seen.get(written, ()) if not _apart(other, path)), None)
        if first is not None:
            detail = f"a second step `{written}`; the first is on line {source.line(first)}"
            yield Slip.told_as(source.error(path, detail), "id", written, sure=True)
        seen.setdefault(written, []).append(path)


def _apart(one: Path, other: Path) -> bool:
    """Whether two steps stand in different branches of a step around them."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return {left, right} <= _APART or (place > 0 and one[place - 1] == "cases")
    return False


def agent_slips(source: YamlFile, agents: Iterable[Path], defined: Iterable[str]) -> Iterator[Slip]:
    """The agents that are not defined, and that one letter parts from a defined one."""
    defined = tuple(defined)
    for path in agents:
        written = source.at(path)
        if written in defined or written in _BUILT_IN or len(written) <= _SHORT or not is_name(written):
            continue
        near = next((name for name in defined if _one_letter_apart(written, name)), None)
        if near is not None:
            detail = f"no agent `{written}` is defined here. Did you mean `{near}`?"
            yield Slip.told_as(source.error(path, detail), "agent", written, sure=True)


def _one_letter_apart(one: str, other: str) -> bool:
    """Whether a letter too many, too few, wrong or exchanged with the next makes the one of the other."""
    short, long = sorted((one, other), key=len)
    start = next((place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(long) == len(short) + 1:
        return short[start:] == long[start + 1 :]
    if len(long) != len(short):
        return False
    exchanged = short[start + 1 : start + 2] + short[start : start + 1]
    return short[start + 1 :] == long[start + 1 :] or exchanged + short[start + 2 :] == long[start:]


def name_slips(source: YamlFile, read: Iterable[tuple[Path, Expression | Key]], known: Iterable[str]) -> Iterator[Slip]:
    """The names in these expressions that nothing in the ensemble has."""
    known = tuple(known)
    for path, expression in read:
        for unknown in unknown_names(expression, known):
            if unknown.name in RUN_NAMES:
                continue
            error = source.error(path, unknown.fault(expression.text))
            yield Slip.told_as(error, "name", unknown.name, sure=bool(unknown.hint))
