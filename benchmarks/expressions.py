"""Expressions: one evaluation of each of the 25 cases of tests/resolver/test_expression.py, ours and other libraries'.

Everything is parsed beforehand and the values are in each library's own form already: only the evaluation is timed. A
library takes part in a case where its language can say the same, written the way its users would; what it answers is
checked against ours. In cel-python, an absent member needs `has`; jmespath knows no arithmetic.

Ours runs in workerd too, by the same code (`inside.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.rounds import Subject, interleaved, ratio, summary
from resolver.expression import UNDEFINED, Scope, parse_expression, parse_template


class Case(NamedTuple):
    """An expression, what it reads, and how others say the same."""

    name: str
    text: str
    input: object = None
    outputs: Mapping[str, Any] = {}
    variables: Mapping[str, Any] = {}
    simpleeval: str | None = None
    cel: str | None = None
    jmespath: str | None = None


_TEN = {"canary": 10}
CASES = (
    Case("1", "${input.user_id % 2 === 0}", {"user_id": 4},
         simpleeval="input.user_id % 2 == 0", cel="input.user_id % 2 == 0"),
    Case("2", "${input.user_id % 2 === 1}", {"user_id": 7},
         simpleeval="input.user_id % 2 == 1", cel="input.user_id % 2 == 1"),
    Case("3", "${input.user_id % 2 === 0}", {"user_id": 0},
         simpleeval="input.user_id % 2 == 0", cel="input.user_id % 2 == 0"),
    Case("4", "${input.user_id % 100 < canary.output}", {"user_id": 104}, _TEN,
         simpleeval="input.user_id % 100 < canary", cel="input.user_id % 100 < canary"),
    Case("5", "${input.user_id % 100 < canary.output}", {"user_id": 4}, {"canary": "10"},
         simpleeval="input.user_id % 100 < int(canary)", cel="input.user_id % 100 < int(canary)"),
    Case("6 strict", "${input.num === 5}", {"num": "5"}, simpleeval="input.num == 5", jmespath="input.num == `5`"),
    Case("6 loose", "${input.num == 5}", {"num": "5"}, simpleeval="int(input.num) == 5", cel="int(input.num) == 5"),
    Case("7", "${search.output.results && search.output.results.length > 0}", None, {"search": {"results": [1]}},
         simpleeval="search.results and len(search.results) > 0", cel="has(search.results) && size(search.results) > 0",
         jmespath="search.results && length(search.results) > `0`"),
    Case("8", "${search.output.results.length === 0}", None, {"search": {"results": []}},
         simpleeval="len(search.results) == 0", cel="size(search.results) == 0",
         jmespath="length(search.results) == `0`"),
    Case("9", "${input.s.length}", {"s": "abc"},
         simpleeval="len(input.s)", cel="size(input.s)", jmespath="length(input.s)"),
    Case("10", "${form.valid && check.available}", None, {"form": {"valid": True}, "check": {"available": True}},
         simpleeval="form.valid and check.available", cel="form.valid && check.available",
         jmespath="form.valid && check.available"),
    Case("11", "${!agents.manage.output.success}", None, {"manage": {}},
         cel="!has(manage.success)", jmespath="!(manage.success)"),
    Case("12", "${agents.lookup.output.found == true}", None, {"lookup": {"found": True}},
         simpleeval="lookup.found == True", cel="lookup.found == true", jmespath="lookup.found == `true`"),
    Case("13", "${ trigger.query.ms ?? 1000 }", {"query": {}},
         cel="has(input.query.ms) ? input.query.ms : 1000", jmespath="input.query.ms || `1000`"),
    Case("14", '${input.style || "friendly"}', {"style": ""},
         simpleeval="input.style or 'friendly'", cel="input.style != '' ? input.style : 'friendly'",
         jmespath="input.style || 'friendly'"),
    Case("15", '${input.value ?? "default"}', {"value": ""}, cel="has(input.value) ? input.value : 'default'"),
    Case("16", '${input.query.name ?? input.body.name ?? "World"}', {"query": {}, "body": {}},
         cel="has(input.query.name) ? input.query.name : has(input.body.name) ? input.body.name : 'World'",
         jmespath="input.query.name || input.body.name || 'World'"),
    Case("17", '${input.enabled ? "yes" : "no"}', {"enabled": False},
         simpleeval="'yes' if input.enabled else 'no'", cel="input.enabled ? 'yes' : 'no'",
         jmespath="input.enabled && 'yes' || 'no'"),
    Case("18", "${!input.count}", {"count": 0}, simpleeval="not input.count", cel="input.count == 0"),
    Case("19", '${input.items[5] ?? "default"}', {"items": [1, 2]},
         cel="size(input.items) > 5 ? input.items[5] : 'default'", jmespath="input.items[5] || 'default'"),
    Case("20", "${input.users[1].profile?.name}", {"users": [{}, {}]}, jmespath="input.users[1].profile.name"),
    Case("21", "{{input.nonexistent}}", {}, jmespath="input.nonexistent"),
    Case("22", "Hi ${input.missing}!", {}),
    Case("23", "${status == 'pending'}", None, {}, {"status": "pending"},
         simpleeval="status == 'pending'", cel="status == 'pending'", jmespath="status == 'pending'"),
    Case("24", '${input.text | split(" ") | length}', {"text": " Hello World "},
         simpleeval="len(input.text.split(' '))"),
    Case("25", "${(input.count > 10) && true}", {"count": 15},
         simpleeval="(input.count > 10) and True", cel="(input.count > 10) && true",
         jmespath="(input.count > `10`) && `true`"),
)  # fmt: skip


def ours(case: Case) -> Subject:
    """Our evaluation of a case: of the expression, or of the text where the case is one."""
    scope = Scope(UNDEFINED if case.input is None else case.input, case.variables, case.outputs)
    parse = parse_template if case.name == "22" else parse_expression
    evaluate = parse(case.text).evaluate
    return lambda _: evaluate(scope)


def _values(case: Case) -> dict[str, Any]:
    return {"input": case.input, **case.variables, **case.outputs}


def _simpleeval(case: Case) -> Subject | None:
    from simpleeval import EvalWithCompoundTypes  # noqa: PLC0415

    if case.simpleeval is None:
        return None
    text = case.simpleeval
    evaluator = EvalWithCompoundTypes(names=_values(case), functions={"len": len, "int": int})
    parsed = evaluator.parse(text)
    return lambda _: evaluator.eval(text, previously_parsed=parsed)


def _cel(case: Case) -> Subject | None:
    import celpy  # noqa: PLC0415

    if case.cel is None:
        return None
    values = {name: celpy.json_to_cel(value) for name, value in _values(case).items()}
    # Of its two ways to run a program, the faster one where that can run it.
    for runner in (celpy.CompiledRunner, celpy.InterpretedRunner):
        environment = celpy.Environment(runner_class=runner)
        try:
            program = environment.program(environment.compile(case.cel))
            program.evaluate(values)
        except (celpy.CELEvalError, AttributeError):
            continue
        return _evaluation(program, values)
    raise AssertionError(f"case {case.name}: cel-python cannot evaluate {case.cel}")


def _evaluation(program: Any, values: Mapping[str, Any]) -> Subject:
    return lambda _: program.evaluate(values)


def _jmespath(case: Case) -> Subject | None:
    import jmespath  # noqa: PLC0415

    if case.jmespath is None:
        return None
    expression, values = jmespath.compile(case.jmespath), _values(case)
    return lambda _: expression.search(values)


LIBRARIES: dict[str, Callable[[Case], Subject | None]] = {
    "simpleeval": _simpleeval,
    "cel-python": _cel,
    "jmespath": _jmespath,
}
_CALLS = [None] * 200


def measure(rounds: int = 15) -> dict[str, Any]:
    """All times by case, with how many times as long as ours each library takes."""
    found: dict[str, Any] = {}
    for case in CASES:
        subjects: dict[str, Subject] = {"ours": ours(case)}
        for library, make in LIBRARIES.items():
            subject = make(case)
            if subject is None:
                continue
            wanted, answered = subjects["ours"](None), subject(None)
            wanted = None if wanted is UNDEFINED else wanted
            assert answered == wanted, f"case {case.name}: {library} answers {answered!r}, and ours {wanted!r}"
            subjects[library] = subject
        times = interleaved(subjects, _CALLS, rounds)
        found[case.name] = {
            "text": case.text,
            "times": {name: summary(taken) for name, taken in times.items()},
            "to_ours": {name: ratio(times, name, "ours") for name in subjects if name != "ours"},
        }
    return found


def main() -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
