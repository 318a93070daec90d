"""Requests that every host must answer alike, to the byte: the local edge on CPython, the Worker in WebAssembly."""

from __future__ import annotations

import json
from typing import NamedTuple

AT = "2024-11-12T14:47:00Z"

#: The seed's v1.0.7 is withdrawn since 2024-11-22: a reference that writes it out gets it, and no other one does.
WITHDRAWN = ("^1.0.0", "~1.0.6", "latest", "stable", "v1.0.7")


class Case(NamedTuple):
    """One HTTP request."""

    method: str
    target: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def post(target: str, body: object) -> Case:
    return Case("POST", target, json.dumps(body).encode())


#: Values for the expressions below: everything in which Python and JavaScript, or two builds of Python, could differ.
INPUTS: list[object] = [
    {"user_id": 4, "deep": True, "items": [1, 2, 3, 4], "channel": "mail", "language": "de", "retry": True},
    {"user_id": 7.0, "style": "formal", "long": "", "format": None},
    {"user_id": "4", "channel": "chat", "items": "😀😀"},
    {"user_id": -3, "items": []},
    {"user_id": 2**53 + 1},
    {"user_id": 1e21},
    {"user_id": None},
    {},
    "customer data from Tuesday",
    [None, {"a": None}],
    None,
]

#: An ensemble that no KV has, as Conductor's parser gives it.
SENT = {
    "name": "sent",
    "input": {"n": {"type": "number", "default": 4}},
    "agents": [{"name": "writer", "operation": "think", "config": {"prompt": "my-prompt@v1.0.0", "model": "ü"}}],
    "flow": [
        {"agent": "writer", "when": "input.n % 2 === 0"},
        {"agent": "checker", "when": "writer.output.ok", "config": "validation-config@prod"},
        {"type": "foreach", "items": "${input.items}", "step": {"agent": "each", "when": "item.ok"}},
    ],
}

CASES: list[Case] = [
    *(
        post(f"/ensembles/{name}/resolve", {"input": sent, "key": f"user-{number}", "content": number % 2 == 0})
        for name in ("ab-test-historical", "canary", "group", "nested-flow", "regions", "ten-agents", "uri-references")
        for number, sent in enumerate(INPUTS)
    ),
    *(post("/ensembles/ranges/resolve", {"key": "k", "at": at}) for at in (None, AT, "2024-11-20T00:00:00+01:00")),
    *(post("/ensembles/canary/resolve", {"key": "k", "at": AT, "region": region}) for region in ("eu", "asia", "mars")),
    *(
        post("/resolve", {"references": ["my-prompt@prod", "extraction-prompt", "prompts/analysis-prompt"], "key": key})
        for key in (*range(150), "ü", "日本語", "😀", "a\nb", 0.1, 1e21, 2**60)
    ),
    # A percentage is for one canary version: at the first instant for one that has ended, later for the one there is.
    *(
        post("/resolve", {"references": ["extraction-prompt"], "at": f"2024-11-14T{hour}:15:00Z", "key": key})
        for hour in (11, 12)
        for key in range(30)
    ),
    post("/resolve", {"references": ["my-prompt@^1.0.0", "my-prompt@latest", "my-prompt@stable"], "key": "k"}),
    *(
        post("/resolve", {"references": [f"extraction-prompt@{each}" for each in WITHDRAWN], "key": "k", "at": at})
        for at in (None, "2024-11-21T12:00:00Z", "2024-11-23T00:00:00Z")
    ),
    *(
        post("/ensembles/nested-flow/resolve", {"input": sent, "key": f"user-{number}", "expand": True})
        for number, sent in enumerate(INPUTS)
    ),
    post("/ensembles/sent/resolve", {"definition": SENT, "key": "k", "expand": True, "references": ["my-prompt@prod"]}),
    post("/ensembles/sent/resolve", {"definition": SENT, "key": "k", "generation": 3, "input": {"n": 3}}),
    post("/ensembles/sent/resolve", {"definition": "name: other\nflow: [{agent: a}]", "expand": True}),
    post("/ensembles/sent/resolve", {"definition": "name: sent\nflow: [{agent: {x: ${y}}}]", "expand": True}),
    *(post("/resolve", {"references": [text], "key": "k"}) for text in ("prompt://my-prompt", "schemas/my-prompt")),
    Case("GET", "/version"),
    Case("GET", "/version?environment=prod-eu"),
    Case("GET", "/version?component=my-prompt&environment=staging"),
    Case("GET", f"/history?at={AT}"),
    Case("GET", "/history/my-prompt"),
    Case("GET", "/components/my-prompt@v1.5.0?key=k"),
    Case("HEAD", "/components/my-prompt@v1.5.0?key=k"),
    Case("GET", "/components/config://validation-config?key=k"),
    *(
        Case("GET", "/components/my-prompt@v1.5.0?key=k", headers=(("if-none-match", etag),))
        for etag in ("*", '"another"', 'W/"another", *')
    ),
    # Errors are answers as well.
    Case("GET", "/nope"),
    Case("GET", "/history/nope"),
    Case("GET", "/history"),
    Case("GET", "/history?at=2024-11-12"),
    Case("GET", "/components/my-prompt@prd"),
    Case("GET", "/components/my-prompt@v9.9.9"),
    Case("GET", "/version?environment=prd"),
    Case("GET", "/components/my-prompt@v1.5.0?key=%ff"),
    Case("GET", "/components/my-prompt@v1.5.0?key=" + "%E2%82%AC" * 400),
    Case("GET", f"/version?at={AT}&environment=nope"),
    Case("GET", "/version?region=eu"),
    Case("GET", "/history/prompts/my-prompt"),
    Case("GET", "/history/my-prompt?limit=1"),
    *(Case("HEAD", target) for target in ("/version", "/nope", "/history/my-prompt")),
    Case("POST", "/version"),
    Case("POST", "/resolve", b"{"),
    Case("POST", "/resolve", b"\xff"),
    Case("POST", "/resolve", b'{"references": ["a"], "key": ' + b"[" * 100_000),
    Case("POST", "/resolve", b" " * (1024 * 1024 + 1)),
    post("/resolve", {"references": []}),
    post("/resolve", {"references": ["my-prmpt", "my-prompt"]}),
    post("/resolve", {"references": ["my-prompt@v1..0"]}),
    post("/resolve", {"references": ["my-prompt@v0.9.0", "my-prompt@v9.9.9"]}),
    post("/resolve", {"references": ["my-prompt@v1.5.0", "my-prompt@v0.9.0"], "key": "k"}),
    Case("POST", "/resolve", "{}".encode("utf-16")),
    Case("POST", "/resolve", b'{"references": ["my-prompt"], "key": "\\ud83d"}'),
    post("/ensembles/nope/resolve", {}),
    post("/ensembles/canary/resolve", {"context": {"input": 1}}),
    post("/ensembles/canary/resolve", {"contnet": True}),
]
