"""Asking the edge whether it answers what was published.

Rules:

- an edge shows a generation when several answers in a row come from it or a later one: a location has many isolates,
  and one answer speaks for one of them;
- the question is `GET /health`, which reads the snapshot as every request does and looks nothing up;
- the token is RESOLVER_TOKEN, as the Worker's own secret is called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from edgit.errors import EdgitError, NotReached

#: So many answers in a row must show it.
IN_A_ROW = 5
#: Seconds between two questions.
EVERY = 0.2
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """What an edge answered from: the generation and revision of its snapshot (None: written by hand), and whence."""

    generation: int | None
    revision: str | None
    source: str | None


def ask(client: httpx.Client) -> EdgeAnswer:
    """What the edge answers from now. Raises `NotReached`, and `EdgitError` for a token that it does not take."""
    try:
        answer = client.get("/health")
    except httpx.HTTPError as error:
        raise NotReached(f"{client.base_url} did not answer: {error or type(error).__name__}") from None
    try:
        health = answer.json()
        snapshot = health["snapshot"]
        if "authorization" in client.headers and health["problems"] is None:
            # It names what was dropped to whoever shows its token.
            raise EdgitError(
                f"{client.base_url} does not take the token in RESOLVER_TOKEN",
                hint="next: set RESOLVER_TOKEN to the Worker's secret, or unset it: the question needs none",
            )
        return EdgeAnswer(snapshot.get("generation"), snapshot.get("revision"), snapshot.get("source"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotReached(f"{client.base_url} answered {answer.status_code}: {answer.text[:200]}") from None


def connect(url: str, environment: Mapping[str, str] | None = None) -> httpx.Client:
    """A client of the edge at an address."""
    token = (os.environ if environment is None else environment).get("RESOLVER_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT)


def wait_until_published(
    client: httpx.Client,
    generation: int,
    revision: str,
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until the edge answers from this generation or a later one; the seconds that it took.

    Raises `NotReached` when it does not within `timeout` seconds.
    """
    started = clock()
    row = 0
    first = 0.0
    while True:
        seen = ask(client)
        shows = seen.generation is not None and (
            seen.revision == revision if seen.generation == generation else seen.generation > generation
        )
        if shows and row == 0:
            first = clock() - started
        row = row + 1 if shows else 0
        if row == IN_A_ROW:
            return first
        if clock() - started > timeout:
            raise NotReached(
                f"{client.base_url} still answers from generation {seen.generation or 'none'} "
                f"(source {seen.source}) after {timeout:g} s; generation {generation} is published",
                hint="look at it: curl .../health; KV itself may lag by a minute and more, then: edgit publish again",
            )
        sleep(0 if shows else EVERY)


def wait_until_live(url: str, component: str, environment: str, version: str | None, *, timeout: float) -> None:
    """Ask the edge until it shows the version; None for none. Raises `NotReached`."""
    deadline = time.monotonic() + timeout
    seen: object = None
    with connect(url) as client:
        while time.monotonic() < deadline:
            try:
                answer = client.get("/version", params={"environment": environment, "component": component})
                seen = (
                    answer.json().get("components", {}).get(component)
                    if answer.status_code in (200, 404)
                    else answer.text
                )
            except (httpx.HTTPError, ValueError) as error:
                raise NotReached(f"{url} did not answer: {error}") from None
            if seen == version:
                return
            time.sleep(0.1)
    raise NotReached(f"{url} still shows {seen or 'nothing'} for {component} {environment} after {timeout:g} s")
