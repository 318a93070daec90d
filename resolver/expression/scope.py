"""What an expression reads, and how it says that something is not there yet.

Rules:

- a scope is a plain value, made once per request, and evaluation changes nothing in it;
- `input` is always there, if only as undefined. Every other name that the scope does not hold is `Needed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from resolver.expression.javascript import UNDEFINED

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class Scope(NamedTuple):
    """What an expression reads.

    `input` is the value of the names `input` and `trigger`; UNDEFINED if none was sent. `outputs` holds what each
    agent gave, by agent, and `variables` every other name (`state`, `env`, `params`, …). Outputs come first.
    """

    input: object = UNDEFINED
    variables: Mapping[str, object] = _NOTHING
    outputs: Mapping[str, object] = _NOTHING


class Needed(Exception):
    """Evaluation came to a name that the scope does not hold; `name` is that name, for `agents.x` it is `x`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
