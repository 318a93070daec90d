"""The ensemble as one run must run it, in the form that Conductor's own parser gives.

Rules:

- what does not run is not there, and what is decided has no condition that could be read another way;
- an agent that is open (its conditions need what earlier steps give) has `open`: the path to ask for again. Around it
  nothing is open any more, so that whoever runs it looks at agents only;
- what only the run itself knows (an `item`, a later round, a failure) stays as it is written;
- contents stand in their places: the text of a prompt in `config.systemPrompt`, where Conductor reads it;
- an agent that has a version of its own, or that one step gives a component, is a definition of this run alone.

| Written                                       | In the run                                                        |
|-----------------------------------------------|-------------------------------------------------------------------|
| `parallel: […]`                               | `type: parallel`, `steps`                                         |
| `branch` and `switch`                         | `type: branch`, `condition: true`, `then`: what runs of all sides |
| `agent: a@v1.0.0`                             | `agent: a@v1.0.0`, `id: a`, and a definition of that name         |
| `component:` of a step                        | `agent: a#flow[0]`, `id: a`, and a definition of that name        |
| agents without a flow                         | a flow of them, in their order                                    |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from resolver.ensemble.schema import NESTING
from resolver.ensemble.yaml import Path, format_path, read_yaml

Verdict = Literal["run", "open", "during", "absent"]
"""What is known of an agent: it runs, it depends on earlier outputs, on what only the run knows, or it does not run."""

#: What stands between the path of a content and the path of something in it.
WITHIN = ">"

_CONDITIONS = ("condition", "when")
#: Where the agents of an operation look for a text whose type is not known.
_PLACES = {"think": "prompt", "html": "template", "email": "template", "pdf": "template", "data": "query"}


class Placed(NamedTuple):
    """A content that stands in for its reference."""

    component: str
    version: str
    type: str | None
    text: str


def expand(raw: Mapping[str, Any], verdicts: Mapping[str, Verdict], contents: Mapping[str, Placed]) -> dict[str, Any]:
    """The ensemble of one run, from its document; both mappings are by path.

    Raises `InvalidEnsemble` for an agent's content that is no YAML.
    """
    return _Expansion(raw, verdicts, contents).document()


class _Expansion:
    def __init__(self, raw: Mapping[str, Any], verdicts: Mapping[str, Verdict], contents: Mapping[str, Placed]) -> None:
        self.raw = raw
        self.verdicts = verdicts
        self.contents = contents
        self.local = {agent["name"]: number for number, agent in enumerate(raw.get("agents") or [])}
        #: The definitions of this run alone, by name.
        self.own: dict[str, dict[str, Any]] = {}

    def document(self) -> dict[str, Any]:
        ours = ("ensemble", "name", "agents", "flow", "rollout")
        rest = {name: value for name, value in self.raw.items() if name not in ours}
        if self.raw.get("flow"):
            flow = self.steps(self.raw["flow"], ("flow",))
        else:
            short = [self.opened({"agent": name}, ("agents", number)) for name, number in self.local.items()]
            flow = [step for step in short if step is not None]
        agents = [self.definition(number) for number in self.local.values()] + list(self.own.values())
        name = self.raw.get("ensemble") or self.raw.get("name")
        return {"name": name, **rest, **({"agents": agents} if agents else {}), "flow": flow}

    # Steps

    def steps(self, steps: list[Any], path: Path) -> list[dict[str, Any]]:
        found = (self.step(step, (*path, position)) for position, step in enumerate(steps))
        return [step for step in found if step is not None]

    def step(self, step: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
        """The step in this run; None where nothing of it runs."""
        if isinstance(step.get("agent"), str):
            return self.run(step, path)
        kind = step.get("type") or next(kind for kind in NESTING if step.get(kind) is not None)
        block, around = step, {}
        if not step.get("type"):
            around = self.fields(step, path, (kind, *_CONDITIONS))
            block, path = step[kind], (*path, kind)
        if isinstance(block, list):
            steps = self.steps(block, path)
            return {"type": kind, **around, "steps": steps} if steps else None
        skip = ("type", *_CONDITIONS, *NESTING[kind], *(("value",) if kind == "switch" else ()))
        return self.nested(kind, block, path, {"type": kind, **around, **self.fields(block, path, skip)})

    def nested(self, kind: str, block: Mapping[str, Any], path: Path, step: dict[str, Any]) -> dict[str, Any] | None:
        """A step with what runs of the steps within it."""
        parts = {name: self.part(block.get(name), (*path, name)) for name in NESTING[kind]}
        if not any(parts.values()):
            return None
        if kind in ("branch", "switch"):
            sides = [side for part in parts.values() for side in part]
            return {**step, "type": "branch", "condition": True, "then": sides}
        if kind == "while":
            step["condition"] = block.get("condition", block.get("when"))
        if kind == "map-reduce":
            return _reduced(step, block, parts)
        if kind == "foreach":
            return {**step, "step": parts["step"][0]}
        return {**step, "steps": parts["steps"], **{name: part for name, part in parts.items() if part}}

    def part(self, nested: Any, path: Path) -> list[dict[str, Any]]:
        if isinstance(nested, list):
            return self.steps(nested, path)
        if not isinstance(nested, dict):
            return []
        if path[-1] == "cases":
            return [step for case, steps in nested.items() for step in self.steps(steps, (*path, case))]
        step = self.step(nested, path)
        return [] if step is None else [step]

    def run(self, step: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
        found = self.opened(self.fields(step, path, ("agent", *_CONDITIONS)), path)
        if found is None:
            return None
        if self.verdicts[format_path(path)] == "during":
            found |= {name: step[name] for name in _CONDITIONS if name in step}
        agent = step["agent"]
        versioned = self.contents.get(format_path((*path, "agent")))
        if versioned is not None:
            name = f"{versioned.component}@{versioned.version}"
            self.own[name] = self.placed(_mapping(versioned, name), format_path((*path, "agent")) + WITHIN) | {
                "name": name
            }
            return {"agent": name, **_known_as(step, agent.partition("@")[0].removeprefix("agents/")), **found}
        here = {name: self.contents.get(format_path((*path, name))) for name in ("component", "prompt")}
        given = {name: content for name, content in here.items() if content is not None}
        if given and agent in self.local:
            name = f"{agent}#{format_path(path)}"
            definition = self.definition(self.local[agent])
            for field, content in given.items():
                found.pop(field)
                _put(definition, content)
            self.own[name] = {**definition, "name": name}
            return {"agent": name, **_known_as(step, agent), **found}
        return {"agent": agent, **found}

    def opened(self, step: dict[str, Any], path: Path) -> dict[str, Any] | None:
        written = format_path(path)
        verdict = self.verdicts[written]
        return None if verdict == "absent" else {**step, "open": written} if verdict == "open" else step

    # Definitions and contents

    def definition(self, number: int) -> dict[str, Any]:
        raw = self.raw["agents"][number]
        kept = {name: value for name, value in raw.items() if name not in _CONDITIONS}
        return self.placed(kept, format_path(("agents", number)) + ".")

    def placed(self, raw: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """A definition with its contents. `prefix` is what stands before the paths of its fields."""
        definition: dict[str, Any] = self.copy(dict(raw), prefix, ())
        own = self.contents.get(f"{prefix}config")
        if own is not None:
            definition["config"] = _mapping(own, "config")
        for path in (("component",), ("prompt",), ("config", "prompt"), ("config", "component")):
            content = self.contents.get(prefix + format_path(path))
            if content is not None:
                holder = definition if len(path) == 1 else definition["config"]
                del holder[path[-1]]
                _put(definition, content)
        return definition

    def fields(self, raw: Mapping[str, Any], path: Path, skip: tuple[str, ...]) -> dict[str, Any]:
        """A mapping without some of its fields, contents in their places."""
        kept = {name: value for name, value in raw.items() if name not in skip}
        return {name: self.copy(value, "", (*path, name)) for name, value in kept.items()}

    def copy(self, value: Any, prefix: str, path: Path) -> Any:
        if isinstance(value, dict):
            return {name: self.copy(child, prefix, (*path, name)) for name, child in value.items()}
        if isinstance(value, list):
            return [self.copy(child, prefix, (*path, position)) for position, child in enumerate(value)]
        content = self.contents.get(prefix + format_path(path)) if isinstance(value, str) else None
        return value if content is None else _value(content)


def _known_as(step: Mapping[str, Any], name: str) -> dict[str, str]:
    """Under which name others know the output of a step whose agent has another name in this run."""
    return {} if step.get("id") or step.get("name") else {"id": name}


def _reduced(step: dict[str, Any], block: Mapping[str, Any], parts: Mapping[str, list[Any]]) -> dict[str, Any]:
    """A map-reduce: without what reduces it is a loop, and without what maps it reduces nothing."""
    if not parts["reduce"]:
        return {**step, "type": "foreach", "step": parts["map"][0]}
    if not parts["map"]:
        return {**step, "items": [], "map": block["map"], "reduce": parts["reduce"][0]}
    return {**step, "map": parts["map"][0], "reduce": parts["reduce"][0]}


def _put(definition: dict[str, Any], content: Placed) -> None:
    """Put a component's content where an agent of that operation reads it."""
    config = definition["config"] = dict(definition.get("config") or {})
    type = content.type or _PLACES.get(str(definition.get("operation")), "content")
    if type == "agent":
        mapping = _mapping(content, str(definition.get("name")))
        for name, value in mapping.items():
            definition.setdefault(name, value)
        definition["config"] = {**(mapping.get("config") or {}), **config}
    elif type == "config":
        definition["config"] = {**_mapping(content, "config"), **config}
    else:
        config["systemPrompt" if type == "prompt" else type] = _value(content)


def _value(content: Placed) -> Any:
    """A content in the place of its reference: a schema as what its JSON says, else text."""
    if content.type == "schema":
        try:
            return msgspec.json.decode(content.text)
        except (msgspec.DecodeError, UnicodeError):
            return content.text
    return content.text


def _mapping(content: Placed, name: str) -> dict[str, Any]:
    """A content that is YAML. Raises `InvalidEnsemble`."""
    source = read_yaml(content.text, f"{content.component}@{content.version}")
    if not isinstance(source.value, dict):
        raise source.error((), f"`{name}` is to be a mapping")
    value: dict[str, Any] = source.value
    return value
