"""What a new local KV holds: a small world with a history, the same on every machine and at every time.

In November 2024 `my-prompt` v1.1.0 went to production on a Tuesday at 14:45, gave wrong answers, and was rolled back
at 14:49. Everything is derived from the two tables below; there is no clock and no randomness here.
"""

from __future__ import annotations

import json
from hashlib import sha256

from resolver.documents import ROLLOUT, ROLLOUT_HISTORY, VERSION_MAP, content_key, history_key, index_key
from resolver.version import highest
from resolver.version_map import TYPE

#: Component → its type and its versions, each with the instant at which it was tagged.
RELEASES: dict[str, tuple[str, dict[str, str]]] = {
    "my-prompt": (
        "prompt",
        {
            "v0.9.0": "2024-10-31T16:20:00Z",
            "v1.0.0": "2024-11-08T10:05:00Z",
            "v1.1.0": "2024-11-12T14:20:00Z",
            "v1.5.0": "2024-11-15T11:00:00Z",
            "v1.8.0": "2024-11-20T09:30:00Z",
        },
    ),
    "extraction-prompt": (
        "prompt",
        {
            "v1.0.4": "2024-11-04T08:45:00Z",
            "v1.0.5": "2024-11-09T13:10:00Z",
            "v1.0.6": "2024-11-14T10:00:00Z",
            "v1.0.7": "2024-11-21T10:00:00Z",
        },
    ),
    "analysis-prompt": (
        "prompt",
        {
            "v1.8.0": "2024-10-28T12:00:00Z",
            "v1.9.0": "2024-11-06T09:00:00Z",
            "v1.9.1": "2024-11-07T15:30:00Z",
            "v1.9.2": "2024-11-10T09:40:00Z",
            "v1.9.3": "2024-11-14T10:30:00Z",
        },
    ),
    "validation-config": ("config", {"v1.4.0": "2024-10-30T10:00:00Z", "v1.5.0": "2024-11-18T10:00:00Z"}),
    "transform-script": ("script", {"v2.1.2": "2024-10-29T10:00:00Z", "v2.1.3": "2024-11-05T10:00:00Z"}),
}

#: When a version was withdrawn, and reinstated, by turns.
WITHDRAWN = {("extraction-prompt", "v1.0.7"): ["2024-11-22T08:00:00Z"]}

#: Every move of every pointer, in order: when, component, environment, version, who.
MOVES: tuple[tuple[str, str, str, str, str], ...] = (
    ("2024-10-28T12:30:00Z", "analysis-prompt", "prod", "v1.8.0", "ci"),
    ("2024-10-29T10:30:00Z", "transform-script", "prod", "v2.1.2", "ci"),
    ("2024-10-30T10:30:00Z", "validation-config", "prod", "v1.4.0", "ci"),
    ("2024-11-01T09:15:00Z", "my-prompt", "prod", "v0.9.0", "ci"),
    ("2024-11-04T09:00:00Z", "extraction-prompt", "prod", "v1.0.4", "ci"),
    ("2024-11-05T10:30:00Z", "transform-script", "prod", "v2.1.3", "ci"),
    ("2024-11-06T09:30:00Z", "analysis-prompt", "prod", "v1.9.0", "ci"),
    ("2024-11-07T16:00:00Z", "analysis-prompt", "prod", "v1.9.1", "ci"),
    ("2024-11-08T10:30:00Z", "my-prompt", "prod", "v1.0.0", "ci"),
    ("2024-11-09T13:30:00Z", "extraction-prompt", "prod", "v1.0.5", "ci"),
    ("2024-11-10T10:00:00Z", "analysis-prompt", "prod", "v1.9.2", "ci"),
    ("2024-11-12T14:30:00Z", "my-prompt", "staging", "v1.1.0", "ci"),
    ("2024-11-12T14:45:00Z", "my-prompt", "prod", "v1.1.0", "ci"),
    ("2024-11-12T14:49:00Z", "my-prompt", "prod", "v1.0.0", "on-call"),
    ("2024-11-13T09:00:00Z", "my-prompt", "prod-canary", "v1.1.0", "ci"),
    ("2024-11-13T09:30:00Z", "my-prompt", "prod-us-west", "v1.0.0", "ci"),
    ("2024-11-13T09:30:00Z", "my-prompt", "prod-eu", "v1.1.0", "ci"),
    ("2024-11-13T09:30:00Z", "my-prompt", "prod-asia", "v1.1.0", "ci"),
    ("2024-11-14T11:00:00Z", "extraction-prompt", "prod-canary", "v1.0.6", "ci"),
    ("2024-11-14T11:00:00Z", "analysis-prompt", "prod-canary", "v1.9.3", "ci"),
)

#: The percentages over time; the last one is in force.
PERCENTAGES: tuple[tuple[str, object, str], ...] = (
    ("2024-11-13T09:00:00Z", 10, "on-call"),
    # That of a canary that has ended: nobody faces the next one, v1.0.6, until it has a percentage.
    ("2024-11-14T10:45:00Z", {"*": 10, "extraction-prompt": {"percent": 50, "version": "v1.0.5"}}, "on-call"),
    ("2024-11-14T11:30:00Z", {"*": 10, "extraction-prompt": {"percent": 10, "version": "v1.0.6"}}, "on-call"),
)

_TEXTS = {
    "prompt": "---\nname: {name}\nversion: {version}\n---\nYou are {name}, {version}. Answer briefly.\n",
    "config": '{{"name": "{name}", "version": "{version}", "strict": true}}\n',
    "script": "// {name} {version}\nexport default (input) => input\n",
}


def seed() -> dict[str, tuple[str, object]]:
    """The whole KV: key → value and metadata, None where a key has none."""
    store: dict[str, tuple[str, object]] = {}
    pointers: dict[str, dict[str, str]] = {}
    moves: dict[str, list[dict[str, object]]] = {name: [] for name in RELEASES}
    for generation, (at, name, environment, version, actor) in enumerate(MOVES, start=1):
        pointers.setdefault(name, {})[environment] = version
        moves[name].append(
            {"at": at, "environment": environment, "version": version, "actor": actor, "generation": generation}
        )
    for name, (kind, releases) in RELEASES.items():
        for version in releases:
            text = _TEXTS[kind].format(name=name, version=version)
            digest = sha256(text.encode()).hexdigest()
            store[content_key(name, version)] = (text, {"type": kind, "sha256": digest, "commit": digest[:40]})
        turns = {version: WITHDRAWN[name, version] for version in releases if (name, version) in WITHDRAWN}
        index = [
            {"version": v, "at": at, **({"withdrawn": turns[v]} if v in turns else {})} for v, at in releases.items()
        ]
        store[index_key(name)] = (_json(index), None)
        store[history_key(name)] = (_json(moves[name]), None)
        pointers[name][TYPE] = kind
        chosen_from = [version for version in releases if len(turns.get(version, ())) % 2 == 0]
        pointers[name]["latest"] = str(highest(chosen_from))
        pointers[name]["stable"] = str(highest(chosen_from, stable=True))
    changes = [{"at": at, "value": value, "actor": actor} for at, value, actor in PERCENTAGES]
    store[ROLLOUT_HISTORY] = (_json(changes), None)
    store[ROLLOUT] = (_json(PERCENTAGES[-1][1]), None)
    version_map = _json(pointers)
    revision = sha256(version_map.encode()).hexdigest()[:40]
    store[VERSION_MAP] = (version_map, {"generation": len(MOVES), "revision": revision})
    return store


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    # For hosts that are not Python: key → [value, metadata].
    print(_json(seed()))
