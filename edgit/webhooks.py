"""Telling others of a move: one POST of JSON to each webhook that wants to know.

    [webhook "pager"]
        url = https://pager.example.com/edgit
        on = rollback breach

Rules:

- they stand in `.edgit/config`, which is committed, or in the repository's own settings, which go before it. A URL that
  is a secret is not committed: `url = $PAGER_URL` is read from the environment;
- `on` says which events, all where it is not there: a move, a rollback, a breach that the guard saw, a freeze;
- with `EDGIT_WEBHOOK_SECRET` the body is signed: `X-Edgit-Signature: sha256=…`, HMAC-SHA256 in hexadecimal digits;
- they come last, all at once, and have `TIMEOUT` seconds in all. What goes wrong is a warning and fails no command;
- no message shows a URL.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from edgit.git.process import Git

Event = Literal["move", "rollback", "breach", "freeze"]
EVENTS: Final[tuple[Event, ...]] = ("move", "rollback", "breach", "freeze")

#: How long all webhooks may take together, in seconds.
TIMEOUT: Final = 3.0
SIGNATURE: Final = "X-Edgit-Signature"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, and which events."""

    name: str
    url: str = field(repr=False)
    on: frozenset[str]


def tell(git: Git, event: Event, said: Mapping[str, Any]) -> list[str]:
    """Post an event to the webhooks that want it; what went wrong, in sentences. Never fails."""
    wanted = [hook for hook in read_webhooks(git) if event in hook.on]
    if not wanted:
        return []
    body = json.dumps({"event": event, **said}).encode()
    secret = os.environ.get("EDGIT_WEBHOOK_SECRET", "").encode()
    headers = {"content-type": "application/json", "user-agent": "edgit"}
    if secret:
        headers[SIGNATURE] = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
    answers: dict[str, str] = {}
    # Of threads that a name server holds up nobody waits for, which a pool would.
    threads = [
        threading.Thread(target=_post, args=(hook, body, headers, answers), daemon=True, name=hook.name)
        for hook in wanted
    ]
    end = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found = {hook.name: answers.get(hook.name, f"did not answer within {TIMEOUT:g} s") for hook in wanted}
    return [f"the webhook `{name}` {why}" for name, why in found.items() if why]


def _post(hook: Webhook, body: bytes, headers: Mapping[str, str], answers: dict[str, str]) -> None:
    import httpx  # noqa: PLC0415

    try:
        answer = httpx.post(hook.url, content=body, headers=dict(headers), timeout=TIMEOUT, follow_redirects=False)
    except Exception as error:
        # Only the kind of it: a message may hold the URL.
        answers[hook.name] = f"could not be reached ({type(error).__name__})"
    else:
        answers[hook.name] = "" if answer.is_success else f"answered {answer.status_code}"


def read_webhooks(git: Git) -> list[Webhook]:
    """The webhooks that are set and have a URL."""
    found: dict[str, dict[str, str]] = {}
    for place in (git.committed, []):
        if place is None:
            continue
        done = git.attempt("config", *place, "-z", "--get-regexp", r"^webhook\..*")
        for line in done.stdout.decode(errors="replace").split("\0"):
            key, _, value = line.partition("\n")
            name, _, setting = key.removeprefix("webhook.").rpartition(".")
            if name:
                found.setdefault(name, {})[setting] = value
    hooks = (Webhook(name, _url(said.get("url", "")), _events(said.get("on"))) for name, said in sorted(found.items()))
    return [hook for hook in hooks if hook.url]


def _url(written: str) -> str:
    return os.environ.get(written[1:], "") if written.startswith("$") else written


def _events(written: str | None) -> frozenset[str]:
    words: Sequence[str] = EVENTS if written is None else written.replace(",", " ").split()
    return frozenset(words)
