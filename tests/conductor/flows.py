"""What runs of each construct, in a real Conductor without the drop-in and with it.

    python -m tests.conductor.flows FOLDER

`FOLDER` is what real.sh has made of a checkout. Each row is a flow and an input, with the agents that are to run by the
meaning of its conditions. The exit code is 1 where others run with the drop-in.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.conductor.world import BUILD, EXAMPLE, Conductor, World, world


class Row(NamedTuple):
    """A flow in YAML, an input, and the agents that run, in the order in which they begin."""

    flow: str
    input: dict[str, object]
    runs: str
    #: What stands before the flow.
    head: str = ""
    #: Whether Conductor can run it at all.
    fails: bool = False


def both(
    flow: str, one: tuple[dict[str, object], str], other: tuple[dict[str, object], str], head: str = ""
) -> list[Row]:
    """The same flow with two inputs."""
    return [Row(flow, given, runs, head) for given, runs in (one, other)]


BRANCH = "{type: branch, condition: %s, then: [{agent: a}], else: [{agent: b}]}"
ROWS: list[Row] = [
    # Flows of nothing but agents.
    *both("{agent: a, when: input.x}, {agent: b}", ({"x": 1}, "a b"), ({"x": 0}, "b")),
    *both("{agent: a, condition: input.x % 2 === 0}, {agent: b}", ({"x": 4}, "a b"), ({"x": 3}, "b")),
    *both('{agent: a, when: "${input.x > 5}"}, {agent: b}', ({"x": 6}, "a b"), ({"x": 5}, "b")),
    *both("{agent: a}, {agent: b, when: a.output.n > input.x}", ({"x": 1}, "a b"), ({"x": 9}, "a")),
    *both("{agent: a}, {agent: b, when: a.success && input.x}", ({"x": 1}, "a b"), ({}, "a")),
    *both("{agent: a, when: input.x}, {agent: b, when: a.output.ok}", ({"x": 1}, "a b"), ({}, "")),
    *both("{agent: a, when: input.x > 5}, {agent: b}", ({}, "a b"), ({"x": 1}, "b"), "input: {x: 9}\n"),
    *both("{agent: a, when: input.x > 5}, {agent: b}", ({}, "a b"), ({"x": 1}, "b"), "input: {x: {default: 9}}\n"),
    *both("{agent: a, when: state.go}, {agent: b}", ({}, "a b"), ({"x": 1}, "a b"), "state: {initial: {go: true}}\n"),
    # Branches.
    *both(BRANCH % "input.x", ({"x": 1}, "a"), ({}, "b")),
    *both(BRANCH % "input.x % 2 === 1", ({"x": 3}, "a"), ({"x": 4}, "b")),
    *both(BRANCH % "input.x + 1 > 5", ({"x": 5}, "a"), ({"x": 4}, "b")),
    *both(BRANCH % "input.x * 2 === 8", ({"x": 4}, "a"), ({"x": 3}, "b")),
    *both(BRANCH % '"!input.x"', ({}, "a"), ({"x": 1}, "b")),
    *both(BRANCH % '"!!input.x"', ({"x": 1}, "a"), ({}, "b")),
    *both(BRANCH % "\"input.x === 'gold'\"", ({"x": "gold"}, "a"), ({"x": "tin"}, "b")),
    *both(BRANCH % '"input.x.length > 2"', ({"x": "abc"}, "a"), ({"x": "a"}, "b")),
    *both(BRANCH % "\"['x', 'y'].includes(input.x)\"", ({"x": "y"}, "a"), ({"x": "z"}, "b")),
    *both("{agent: c}, " + BRANCH % "c.output.n > input.x", ({"x": 1}, "c a"), ({"x": 9}, "c b")),
    # Switches.
    *both(
        '{type: switch, value: "${input.x}", cases: {one: [{agent: a}], two: [{agent: b}]}, default: [{agent: c}]}',
        ({"x": "two"}, "b"),
        ({"x": "nine"}, "c"),
    ),
    *both(
        '{type: switch, value: "${input.x % 3}", cases: {"0": [{agent: a}], "1": [{agent: b}]}}',
        ({"x": 4}, "b"),
        ({"x": 5}, ""),
    ),
    # Conductor 0.5.3 can run no `reduce`: it takes the list of results for something else, and fails.
    # Steps within parallel, foreach, try, while and map-reduce.
    *both("{type: parallel, steps: [{agent: a, when: input.x}, {agent: b}]}", ({"x": 1}, "a b"), ({}, "b")),
    *both(
        "{type: parallel, steps: [{agent: a}]}, {agent: b, when: a.output.ok && input.x}", ({"x": 1}, "a b"), ({}, "a")
    ),
    *both('{type: foreach, items: "${input.x}", step: {agent: a}}', ({"x": [1, 2]}, "a a"), ({"x": []}, "")),
    *both(
        "{type: foreach, items: [1, 2, 3], step: {agent: a, when: input.x % 2 === 1}}",
        ({"x": 1}, "a a a"),
        ({"x": 2}, ""),
    ),
    *both(
        "{type: try, steps: [{agent: fails, when: input.x}, {agent: a}], catch: [{agent: b}]}",
        ({"x": 1}, "fails b"),
        ({}, "a"),
    ),
    *both(
        "{type: try, steps: [{agent: a}], finally: [{agent: b, when: input.x % 2 === 0}]}",
        ({"x": 2}, "a b"),
        ({"x": 1}, "a"),
    ),
    *both(
        "{type: while, condition: input.x % 2 === 0, maxIterations: 1, steps: [{agent: a}]}, {agent: b}",
        ({"x": 1}, "b"),
        ({"x": 3}, "b"),
    ),
    Row(
        "{type: map-reduce, items: [1, 2], map: {agent: a}, reduce: {agent: b, when: input.x % 2 === 1}}",
        {"x": 1},
        "a a b",
        fails=True,
    ),
    Row(
        "{type: map-reduce, items: [1, 2], map: {agent: a}, reduce: {agent: b, when: input.x % 2 === 1}}",
        {"x": 2},
        "a a",
    ),
]

#: An agent says that it runs: Conductor's answer does not tell.
CODE = "export default () => {{ console.log('{said} {name}'); {does}; }};\n"
SAID = "an agent runs:"


def project(folder: Path) -> Path:
    """A project with one ensemble for each flow."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("a", "b", "c", "fails"):
        agent = folder / "agents" / name
        agent.mkdir(parents=True)
        (agent / "agent.yaml").write_text(f"name: {name}\noperation: code\n")
        does = "throw new Error('on purpose')" if name == "fails" else "return { ok: true, n: 3 }"
        (agent / "index.ts").write_text(CODE.format(said=SAID, name=name, does=does))
    (folder / "ensembles").mkdir()
    for number, row in enumerate(ROWS):
        (folder / f"ensembles/flow-{number}.yaml").write_text(f"name: flow-{number}\n{row.head}flow: [{row.flow}]\n")
    return folder


def ran(started: World, number: int, at: str) -> str:
    """The agents of a run, by what they say themselves; what went wrong besides."""
    before = len(started.said())
    answer = started.conductors[at].post(f"/api/v1/execute/ensemble/flow-{number}", json={"input": ROWS[number].input})
    # What is said stands in a file, a moment later.
    time.sleep(0.05)
    lines = started.said()[before:].splitlines()
    found = " ".join(line.partition(SAID)[2].strip() for line in lines if SAID in line)
    return found if answer.is_success else f"{found} failed: {answer.text[:80]}"


def main(folder: Path) -> int:
    template = folder / "template"
    own = project(BUILD / "flows")
    real = Conductor("flows", folder / "src", template / "src/index-auto-discovery.ts", (template, EXAMPLE, own))
    print(f"{'flow':<96}{'input':<16}{'to run':<10}{'Conductor':<28}with the drop-in")
    right = {"plain": 0, "direct": 0}
    with world(real) as started:
        for number, row in enumerate(ROWS):
            found = {at: ran(started, number, at) for at in right}
            for at, said in found.items():
                right[at] += said == row.runs
            text = " ".join((row.head + row.flow).split())
            print(f"{text[:94]:<96}{str(row.input)[:15]:<16}{row.runs or '-':<10}", end="")
            print(
                "".join(f"{'as it is to' if said == row.runs else said or '-':<28}" for said in found.values()).rstrip()
            )
    total = len(ROWS)
    print(f"\n{right['plain']} of {total} in Conductor as it is, {right['direct']} of {total} with the drop-in")
    return 0 if right["direct"] == total - sum(row.fails for row in ROWS) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
