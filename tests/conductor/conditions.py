"""The conditions of Conductor's own files, by Conductor, by the resolver, and by JavaScript, which is the judge.

    python -m tests.conductor.conditions FOLDER CHECKOUT

`FOLDER` is what real.sh has made of the checkout. Each condition is asked with many inputs and outputs. The exit code
is 1 where the resolver says otherwise than JavaScript.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resolver.errors import InvalidExpression
from resolver.expression import Expression, Scope, parse_condition
from resolver.expression.javascript import truthy

VALUES: tuple[object, ...] = (True, False, 0, 1, 4, 7, 12, "", "x", "pending", "5", [], [1, 2], {}, None)
#: Contexts for each condition.
MANY = 40

_LINE = re.compile(r"^\s*-?\s*(?:condition|when):\s*(.+?)\s*$", re.MULTILINE)
_PATH = re.compile(r"(?<![\w.'\"-])[A-Za-z_][\w-]*(?:\.[A-Za-z_]\w*)+")
#: Names that stand for nothing outside of a loop, and what a path ends in that is no member.
_RUN = ("item", "index", "error", "results")
_METHODS = ("length", "includes", "startsWith", "endsWith")


def conditions(checkout: Path) -> dict[str, Expression]:
    """All conditions of the files in YAML and Markdown that can be read, by how they are written."""
    found: dict[str, Expression] = {}
    for file in sorted(checkout.rglob("*")):
        if file.suffix not in (".yaml", ".yml", ".md", ".mdx") or "node_modules" in file.parts:
            continue
        for written in _LINE.findall(file.read_text("utf-8", errors="replace")):
            text = written.strip("\"'")
            try:
                parsed = parse_condition(text)
            except InvalidExpression:
                continue
            # A bare word is no condition but a word of a document, and a filter is no JavaScript.
            roots = {_read(path)[0] for path in _PATH.findall(text)}
            if (
                roots
                and parsed.names <= roots | {"input"}
                and not roots & set(_RUN)
                and "|" not in text.replace("||", "")
            ):
                found[text] = parsed
    return found


def contexts(text: str) -> Iterator[dict[str, Any]]:
    """Inputs, states and outputs in which what the condition reads has all kinds of values."""
    source = random.Random(text)
    paths = sorted({_read(path) for path in _PATH.findall(text)})
    for _ in range(MANY):
        roots: dict[str, Any] = {"input": {}, "state": {}}
        outputs: dict[str, Any] = {}
        for root, keys in paths:
            holder = roots if root in ("input", "state") else outputs
            if keys:
                _put(holder, (root, *keys), source.choice(VALUES))
            else:
                holder[root] = source.choice(VALUES)
        yield {"input": roots["input"], "state": roots["state"], "outputs": outputs}


def _read(path: str) -> tuple[str, tuple[str, ...]]:
    root, *keys = path.split(".")
    if root == "agents":
        root, *keys = keys
    keys = [key for key in keys if key not in _METHODS]
    if root not in ("input", "trigger", "state") and keys[:1] == ["output"]:
        keys = keys[1:]
    return ("input" if root == "trigger" else root), tuple(keys)


def _put(holder: dict[str, Any], keys: tuple[str, ...], value: object) -> None:
    *before, last = keys
    for key in before:
        if not isinstance(holder.get(key), dict):
            holder[key] = {}
        holder = holder[key]
    holder.setdefault(last, value)


def in_javascript(text: str) -> str:
    """The condition as JavaScript reads it: an agent is a member of `agents`, and each `.` is lenient."""

    def path(found: re.Match[str]) -> str:
        root, *keys = found[0].split(".")
        if root == "agents":
            root, *keys = keys
        if root not in ("input", "trigger", "state"):
            keys = keys if keys[:1] == ["output"] else ["output", *keys]
            root = f"agents[{json.dumps(root)}]"
        return root + "".join(f"?.{key}" for key in keys)

    bare = re.sub(r"\$\{([^{}]*)\}|\{\{([^{}]*)\}\}", lambda found: f"({found[1] or found[2]})", text)
    # `$input` is Conductor's older spelling.
    return re.sub(r"\?\.(\w+)\(", r"?.\1?.(", _PATH.sub(path, bare.replace("$", "")))


def main(folder: Path, checkout: Path) -> int:
    node = subprocess.Popen(
        ["node", str(Path(__file__).with_name("conditions.mjs")), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert node.stdin is not None
    assert node.stdout is not None
    asked = theirs = ours = 0
    parsed = conditions(checkout)
    for text, expression in parsed.items():
        wrong: list[str] = []
        for context in contexts(text):
            node.stdin.write(json.dumps({"condition": text, "theirs": in_javascript(text), **context}) + "\n")
            node.stdin.flush()
            said, truth = json.loads(node.stdout.readline())
            scope = Scope(context["input"], {"state": context["state"]}, context["outputs"])
            own = truthy(expression.evaluate(scope))
            asked, theirs, ours = asked + 1, theirs + (said is truth), ours + (own is truth)
            if own is not truth:
                wrong.append(json.dumps(context))
        if wrong:
            print(f"{text}\n  the resolver says otherwise than JavaScript with {wrong[0]}")
    node.stdin.close()
    node.wait()
    print(f"{len(parsed)} conditions, {asked} cases: Conductor is right in {theirs}, the resolver in {ours}")
    return 0 if ours == asked else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
