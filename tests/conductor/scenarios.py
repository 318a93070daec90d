"""What a team with Conductor and the drop-in would see, asked of a `World`: of the real one and of the miniature.

Each scenario gives plain values, which stand in `WANTED`. They are run in order, since KV lives on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from tests.conductor.world import World

_TEXTS: dict[str, tuple[str, dict[str, str]]] = {
    "reply": ("prompt", {version: f"reply {version} to {{{{input.name}}}}" for version in ("v1.0.0", "v1.1.0")}),
    "tone": ("prompt", {version: f"tone {version}" for version in ("v1.0.0", "v2.0.0")}),
    "banner": ("template", {"v1.0.0": "<p>v1.0.0 {{name}}</p>"}),
    "analyzer": (
        "agent",
        {
            version: "name: analyzer\noperation: think\nconfig:\n  model: '@cf/any'\n  provider: workers-ai\n"
            f"  systemPrompt: analyzer {version} for {{{{input.name}}}}\n"
            for version in ("v1.0.0", "v2.0.0")
        },
    ),
    "moved": (
        "ensemble",
        {
            "v1.0.0": "name: moved\nflow:\n  - agent: mirror\n    input: { from: published v1.0.0 }\n"
            "output:\n  said: ${mirror.output.got.from}\n"
        },
    ),
}
_POINTERS = {
    "reply": {"prod": "v1.0.0", "latest": "v1.1.0", "staging": "v1.0.0", "debug": "v1.1.0"},
    "tone": {"prod": "v1.0.0", "latest": "v2.0.0", "staging": "v1.0.0"},
    "banner": {"prod": "v1.0.0"},
    "analyzer": {"prod": "v2.0.0"},
    "moved": {"prod": "v1.0.0"},
}
#: What Conductor finds where it reads KV itself, by its own keys.
_OWN = {
    "components/prompts/reply/latest": "reply from KV to {{input.name}}",
    "components/prompts/tone/latest": "tone from KV",
    "own/key": "the Worker's own",
    "components/prompts/tone/v1.0.0": "tone v1.0.0 from KV",
    "components/prompts/tone/v2.0.0": "tone v2.0.0 from KV",
}
_generations = count(1)


def published(percentage: int = 0, **reply: str | None) -> dict[str, tuple[str, object]]:
    """KV with the pointers of `reply` moved, and with a percentage for its canary."""
    moved = {name.replace("_", "-"): version for name, version in reply.items() if version}
    pointers = _POINTERS | {"reply": _POINTERS["reply"] | moved}
    number = next(_generations)
    store: dict[str, tuple[str, object]] = {
        f"components/{name}/{version}": (text, {"type": kind})
        for name, (kind, versions) in _TEXTS.items()
        for version, text in versions.items()
    }
    store |= {key: (text, None) for key, text in _OWN.items()}
    store["rollout-percentage"] = (json.dumps(percentage), None)
    store["component-versions"] = (json.dumps(pointers), {"generation": number, "revision": f"generation {number}"})
    return store


ADA = {"user_id": 4, "name": "Ada", "question": "where is my refund?"}
BOB = {"user_id": 7, "name": "Bob", "question": "hello?"}


def before(world: World) -> Any:
    world.publish(published())
    return [world.runs("answer", ADA, at) for at in ("direct", "watched", "http")]


def canary(world: World) -> Any:
    """Each user is on the side that the resolver itself says, and stays there."""
    world.publish(published(25, prod_canary="v1.1.0"))
    sides = {}
    for user in range(60):
        said = world.runs("answer", {**ADA, "user_id": user})["reply"]
        asked = world.resolver.get("/components/prompts/reply", params={"key": user})
        sides[user] = (said.split()[1], asked.headers["x-component-version"])
    again = [world.runs("answer", {**ADA, "user_id": user}, "http")["reply"].split()[1] for user in range(10)]
    return {
        "as the resolver says": sum(said == asked for said, asked in sides.values()),
        "on the canary": sum(said == "v1.1.0" for said, _ in sides.values()),
        "again the same": again == [sides[user][0] for user in range(10)],
    }


def promoted(world: World) -> Any:
    world.publish(published(prod="v1.1.0"))
    return [world.runs("answer", ADA)["reply"], world.runs("answer", BOB)["reply"]]


def rolled_back(world: World) -> Any:
    world.publish(published())
    return [world.runs("answer", ADA)["reply"], world.runs("answer", BOB)["reply"]]


def conditions(world: World) -> Any:
    """In a flow of nothing but agents, and in a nested one."""
    return [world.runs(name, {"user_id": user}) for name in ("parity", "nested") for user in (4, 7)]


def nobody(world: World) -> Any:
    return world.runs("nobody", {"user_id": 4})


def trigger(world: World) -> Any:
    """Its input has objects without a prototype, which no service binding takes."""
    answer = world.conductors["direct"].post("/answer?from=mail", json=ADA)
    return [answer.status_code, answer.json()]


def two_users(world: World) -> Any:
    """The prompt of the bundle and the published one, both with a template."""
    return [world.runs(name, user) for name in ("templated", "answer") for user in (ADA, BOB)]


def two_users_without(world: World) -> Any:
    """The habit that makes it hard: the second user gets the first one's."""
    return [world.runs("templated", user, "plain") for user in (ADA, BOB)]


def shadowed(world: World) -> Any:
    """An ensemble's own agent goes before a bundled one of its name; without the drop-in it is the other way."""
    own = world.runs("shadowed", {})
    own.pop("_meta", None)
    return [own, world.runs("shadowed", {}, "plain")]


def outputs(world: World) -> Any:
    """Who runs is known when the first has run."""
    said = [world.runs("open", {"amount": amount, "name": "Ada"}) for amount in (1, 1000)]
    for answer in said:
        for output in answer.values():
            output.pop("_meta", None) if isinstance(output, dict) else None
    return said


def meanwhile(world: World) -> Any:
    """What is published during a run changes nothing in it."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(world.runs, "slow", {**ADA, "ms": 2500})
        time.sleep(0.7)
        world.publish(published(prod="v1.1.0"))
        begun_before = running.result()
    begun_after = world.runs("slow", ADA)
    world.publish(published())
    return [begun_before, begun_after]


def refused(world: World) -> Any:
    """A token that the resolver does not take: Conductor runs its own file, and the log says why."""
    said = world.runs("answer", ADA, "refused")["reply"]
    return [said, "send the deployment's token" in world.said()]


def agents(world: World) -> Any:
    """By a version and by a pointer; what follows gets its output."""
    versioned = world.runs("versioned", {"name": "Ada"})
    versioned["got"].pop("_meta", None)
    pointed = world.runs("pointed", {"name": "Ada"})
    pointed.pop("_meta", None)
    return [versioned, pointed]


def lent(world: World) -> Any:
    """A component that a step gives its agent; what follows gets its output."""
    said = world.runs("lent", {})
    said["got"].pop("_meta", None)
    return said


def unversioned(world: World) -> Any:
    """Conductor asks for the newest; it gets what the pointer says, in a run and outside of one."""
    world.asked()
    said = [world.runs("read", ADA, "watched")["said"], world.agent("reader", ADA, "watched")["content"]]
    return [*said, [name for method, name, *_ in world.asked() if method == "component"]]


#: By each of Conductor's key layouts, and what is none.
_READS = [
    ["EDGIT", "components/prompts/reply/v1.0.0"],
    ["EDGIT", "components/reply/prod"],
    ["COMPONENTS", "prompts/reply/v1.0.0"],
    ["COMPONENTS", "prompts/reply@latest"],
    ["COMPONENTS_KV", "prompts/reply/v1.1.0", "metadata"],
    ["COMPONENTS_KV", "templates/reply/v1.0.0"],
    ["EDGIT", "own/key"],
    ["EDGIT", "own/key", "metadata"],
    ["EDGIT", "components/prompts/nobody/latest"],
]


def layouts(world: World) -> Any:
    """What Conductor's readers ask KV for, by their keys. Two of the three bindings are not even bound."""
    return world.runs("keys", {"reads": _READS})["found"]


def debug(world: World) -> Any:
    """The same Worker, bound to the resolver of the debug environment."""
    return world.runs("answer", ADA, "debug")["reply"]


def options(world: World) -> Any:
    """What the owner of a Worker can set."""
    said = [world.runs("answer", ADA, "options")["reply"], world.agent("reader", ADA, "options")["content"]]
    seen = world.logs("seen")[-1]
    warned = [warning["message"] for warning in world.logs("warned")]
    return [*said, {name: seen[name] for name in ("key", "versions", "source")}, warned]


def template(world: World) -> Any:
    return world.runs("page", {"name": "Ada"})


def coded(world: World) -> Any:
    """An ensemble in TypeScript, with a function for an agent."""
    return [world.runs("coded", {"n": n}) for n in (1, 2)]


def loop(world: World) -> Any:
    """What an item decides, Conductor decides."""
    return world.runs("loop", {"items": [{"n": 1, "ok": True}, {"n": 2, "ok": False}, {"n": 3, "ok": True}]})


def built_in(world: World) -> Any:
    return "approvalData" in world.runs("builtin", {})


def whole_ensemble(world: World) -> Any:
    return world.runs("moved", {})


def questions(world: World) -> Any:
    """How often is asked: once a run, and once more for each set of outputs that something waits for."""
    asked = {}
    for name, input in (("answer", ADA), ("open", {"amount": 1}), ("parity", {"user_id": 4})):
        world.asked()
        world.runs(name, input, "watched")
        calls = [json.loads(call) for method, _, call in world.asked() if method == "resolveEnsemble"]
        keys = {call.get("key") for call in calls[1:]}
        pinned = all(isinstance(call.get("generation"), int) for call in calls[1:])
        asked[name] = [len(calls), len(keys) <= 1 and None not in keys and pinned, "definition" in calls[0]]
    return asked


def secrets(world: World) -> Any:
    """What says who somebody is stays in Conductor."""
    world.asked()
    sent = {**ADA, "deep": {"headers": {"Cookie": "deep-secret", "accept": "kept-deep"}}}
    headers = {"authorization": "Bearer top-secret", "cookie": "session=cookie-secret", "user-agent": "kept-agent"}
    answer = world.conductors["watched"].post("/answer", json=sent, headers=headers)
    text = json.dumps(world.asked())
    return [
        answer.status_code,
        [word for word in ("top-secret", "cookie-secret", "deep-secret", "kept-deep", "kept-agent") if word in text],
    ]


def large(world: World) -> Any:
    """Over 1 MiB what conditions read goes along, and nothing else; from the second time on with one question."""
    text = "é" * 600_000
    world.runs("parity", {"user_id": 7}, "watched")
    world.asked()
    said = [world.runs("parity", {"user_id": 7, "text": text}, "watched")]
    said += [world.runs("deep", {"order": {"items": items}, "text": text}, "watched") for items in ([1, 2, 3], [1])]
    calls = [call for method, _, call in world.asked() if method == "resolveEnsemble"]
    return [said, max(len(call.encode()) for call in calls) < 1024 * 1024, len(calls)]


def away(world: World) -> Any:
    """Nothing fails: the last good answer where it was the same for everybody, else Conductor's own file."""
    world.runs("answer", ADA, "watched")
    world.publish(published(100, prod_canary="v1.1.0"))
    last = world.runs("answer", ADA, "watched")
    world.asked("throws")
    cut = [world.runs(name, {**ADA, "user_id": 3}, "watched") for name in ("answer", "parity", "nested", "read")]
    world.asked("hangs")
    begun = time.monotonic()
    late = world.runs("read", ADA, "watched")
    took = time.monotonic() - begun
    world.asked("")
    mended = world.runs("parity", {"user_id": 3}, "watched")
    world.publish(published())
    return {"canary": last, "cut": cut, "late": late, "within its time": 2.9 < took < 4.5, "mended": mended}


def away_meanwhile(world: World) -> Any:
    """The resolver goes away during a run: what is open is skipped, and waited for once."""
    with ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        running = pool.submit(world.runs, "slow", {**ADA, "ms": 1500}, "watched")
        time.sleep(0.8)
        world.asked("hangs")
        said = running.result()
    took = time.monotonic() - begun
    world.asked("")
    return [said, 4.4 < took < 6.5]


def chain(world: World) -> Any:
    """One waits for another, of which only the run knows whether it runs."""
    return [world.runs("chain", {"items": [{"ok": ok}]}) for ok in (True, False)]


def log(world: World) -> Any:
    """A line for each run, with what it takes to run it again."""
    world.runs("answer", {**ADA, "user_id": "logged"})
    world.runs("versioned", {"name": "Ada"})
    answer, versioned = world.logs()[-2:]
    return [
        {**answer, "generation": isinstance(answer["generation"], int)},
        {name: versioned[name] for name in ("ensemble", "versions", "source")},
    ]


SCENARIOS: tuple[Callable[[World], Any], ...] = (
    before,
    canary,
    promoted,
    rolled_back,
    conditions,
    nobody,
    trigger,
    two_users,
    two_users_without,
    shadowed,
    outputs,
    meanwhile,
    agents,
    lent,
    unversioned,
    layouts,
    debug,
    options,
    template,
    coded,
    loop,
    built_in,
    whole_ensemble,
    questions,
    secrets,
    large,
    refused,
    away,
    away_meanwhile,
    chain,
    log,
)

_ADA = {"topic": "billing", "reply": "reply v1.0.0 to Ada"}
_BOB = {"topic": "other", "reply": "reply v1.0.0 to Bob"}
_SKIPPED = {"skipped": True, "reason": "condition evaluated to false"}

WANTED: Mapping[str, Any] = {
    "before": [_ADA, _ADA, _ADA],
    "canary": {"as the resolver says": 60, "on the canary": 12, "again the same": True},
    "promoted": ["reply v1.1.0 to Ada", "reply v1.1.0 to Bob"],
    "rolled_back": ["reply v1.0.0 to Ada", "reply v1.0.0 to Bob"],
    "conditions": [
        {"even": "tone v1.0.0"},
        {"odd": "tone v2.0.0"},
        {"even": "tone v1.0.0", "mirror": {"user": 4}, "limit": {"ok": True}},
        {"odd": "tone v2.0.0", "mirror": {"user": 7}},
    ],
    "nobody": {},
    "trigger": [200, _ADA],
    "two_users": [{"said": "Hello Ada"}, {"said": "Hello Bob"}, _ADA, _BOB],
    "two_users_without": [{"said": "Hello Ada"}, {"said": "Hello Ada"}],
    "shadowed": [{"content": "tone v1.0.0"}, {"got": {}}],
    "outputs": [
        {"approve": {"content": "tone v1.0.0"}, "refuse": _SKIPPED},
        {"approve": _SKIPPED, "refuse": {"content": "tone v1.0.0"}},
    ],
    "meanwhile": [{"said": "reply v1.0.0 to Ada"}, {"said": "reply v1.1.0 to Ada"}],
    "agents": [{"got": {"content": "analyzer v1.0.0 for Ada"}}, {"content": "analyzer v2.0.0 for Ada"}],
    "lent": {"got": {"content": "tone v2.0.0"}},
    "unversioned": ["tone v1.0.0", "tone v1.0.0", ["prompts/tone", "prompts/tone"]],
    "layouts": [
        "reply v1.0.0 to {{input.name}}",
        "reply v1.0.0 to {{input.name}}",
        "reply v1.0.0 to {{input.name}}",
        "reply v1.0.0 to {{input.name}}",
        {"value": "reply v1.1.0 to {{input.name}}", "metadata": {"version": "v1.1.0", "type": "prompt"}},
        None,
        "the Worker's own",
        {"value": "the Worker's own", "metadata": None},
        None,
    ],
    "debug": "reply v1.1.0 to Ada",
    "options": [
        "reply v1.0.0 to Ada",
        "tone v2.0.0",
        {"key": "answer/Ada", "versions": {"reply": "v1.0.0"}, "source": "resolver"},
        [],
    ],
    "template": {"html": "<p>v1.0.0 Ada</p>"},
    "coded": [{"handled": 1}, {"got": {"n": 2}}],
    # What Conductor's own executor makes of it: steps at the same time read the output of the last of them.
    "loop": [{"got": {"n": 3}}, _SKIPPED, {"got": {"n": 3}}],
    "built_in": True,
    "whole_ensemble": {"said": "published v1.0.0"},
    "questions": {"answer": [1, True, True], "open": [2, True, True], "parity": [1, True, True]},
    "secrets": [200, ["kept-deep", "kept-agent"]],
    "large": [[{"odd": "tone v2.0.0"}, {"got": {"items": 3}}, {"ok": True}], True, 4],
    "refused": ["reply from KV to Ada", True],
    "away": {
        "canary": {**_ADA, "reply": "reply v1.1.0 to Ada"},
        "cut": [
            _ADA,
            {"even": "tone v1.0.0 from KV", "odd": "tone v2.0.0 from KV"},
            {"odd": "tone v2.0.0 from KV", "mirror": {"user": 3}},
            {"said": "tone v1.0.0"},
        ],
        "late": {"said": "tone v1.0.0"},
        "within its time": True,
        "mended": {"odd": "tone v2.0.0"},
    },
    "away_meanwhile": [{"why": "its condition could not be decided"}, True],
    "chain": [{"mirror": _SKIPPED}, {"mirror": {"got": {"instead": True}}}],
    "log": [
        {
            "ensemble": "answer",
            "key": "logged",
            "generation": True,
            "versions": {"reply": "v1.0.0"},
            "source": "resolver",
        },
        {"ensemble": "versioned", "versions": {"analyzer": "v1.0.0"}, "source": "resolver"},
    ],
}
