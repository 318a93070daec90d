"""One resolve: the sample `ten-agents`, with its conditions and canaries, from a call's values to the answer's bytes.

Measured apart from HTTP and from the reading of the body: the scope, the key, ten decisions, the answer encoded. Runs
on CPython and, by `inside.py`, in workerd: the same code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.rounds import Subject, interleaved, summary
from resolver.documents import decode_rollout
from resolver.expression import Scope
from resolver.plan import resolve
from resolver.reference import parse_reference
from resolver.snapshot import Request, Resolver, Snapshot
from resolver.version_map import decode_version_map
from worker.bundle import bundled_ensembles
from worker.calls import Definition, EnsembleAnswer, SnapshotInfo, decode_call, encoded
from worker.calls import ReferencesCall as References

INPUTS: list[dict[str, object]] = [
    {
        "user_id": number,
        "deep": number % 3 == 0,
        "items": list(range(number % 7)),
        "channel": ("mail", "chat", "post")[number % 3],
        "style": ("formal", "short")[number % 2],
        "long": number % 5 == 0,
        "format": (None, "json", "text")[number % 3],
    }
    for number in range(100)
]


def subjects(seed: Mapping[str, Any]) -> dict[str, Subject]:
    """What is measured, by name; `seed` is the KV of `worker/local/seed.py`, key → value and metadata."""
    pointers = decode_version_map(seed["component-versions"][0]).value
    known = Snapshot(pointers, decode_rollout("10").value, revision="0" * 40, generation=20)
    resolver = Resolver(known)
    plan = bundled_ensembles()["ten-agents"]
    info = SnapshotInfo(known.revision, known.generation, 0, "kv")
    definition = Definition(None, "bundled")

    def decided(given: Any) -> Any:
        scope = Scope(given)
        assert plan.key is not None
        key = str(plan.key.evaluate(scope))
        return key, resolve(plan, resolver, Request(scope, key=key))

    def answered(given: Any) -> bytes:
        key, agents = decided(given)
        return encoded(EnsembleAnswer("ten-agents", definition, "prod", str(key), info, agents))

    return {
        "ten agents, answer encoded": answered,
        "ten agents, decided": decided,
        "one reference, parsed": lambda _: parse_reference("my-prompt@prod"),
        "the body of one reference, read": lambda _: decode_call(
            b'{"references":["my-prompt@prod"],"key":"user-42"}', References
        ),
    }


def measure(seed: Mapping[str, Any], rounds: int = 40) -> dict[str, Any]:
    """The times of each subject."""
    measured = subjects(seed)
    answers = {measured["ten agents, answer encoded"](given) for given in INPUTS}
    assert len(answers) == len(INPUTS), "every user is answered differently, by the key at least"
    return {name: summary(times) for name, times in interleaved(measured, INPUTS, rounds).items()}


def main() -> None:
    """Print what was measured, as JSON."""
    from worker.local.seed import seed  # noqa: PLC0415 - not in the Worker

    print(json.dumps(measure(seed())))


if __name__ == "__main__":
    main()
