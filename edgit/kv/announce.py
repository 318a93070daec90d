"""Telling isolates the number of a generation that was just published, so that they need not wait for KV's caches.

    announcer = announcer_for("https://edge.example.com/generation")
    announcer.announce(21)      # {"generation": 21} is put to the origin, and the URL purged from the zone's cache

Rules:

- it comes after the map: the number says what is there already, under a key of its own that never had another value;
- the origin must read its own writes everywhere, or a purged cache fills itself with the number before;
- a location that is purged before its upper tier fills itself with the old number again, so the URL is purged several
  times, over some seconds;
- nothing here fails a publish: what went wrong is told, and isolates see the map by KV's own way.

`EDGIT_ANNOUNCE_TOKEN` is the bearer token that the origin takes, `EDGIT_ANNOUNCE_ORIGIN` its address where that is not
the URL itself, and `CLOUDFLARE_ZONE_ID` the zone whose cache the URL is in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from edgit.errors import EdgitError
from edgit.kv.cloudflare import CloudflareApi
from edgit.kv.retry import RetryPolicy
from resolver.documents import decode_generation
from resolver.errors import InvalidDocument

#: When the URL is purged, in seconds after the number was put.
PURGES = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
#: How often the number is put until it is taken, and the seconds between.
_TRIES = 3
_PAUSE = 0.5
_TIMEOUT = 10.0


class Zone(Protocol):
    """The cache that a URL is in."""

    def purge(self, url: str) -> None:
        """Let go of what is kept of a URL. Raises `EdgitError`."""


class CloudflareZone(CloudflareApi):
    """The cache of a zone at Cloudflare."""

    def __init__(self, zone: str, token: str, *, timeout: float = _TIMEOUT) -> None:
        # Tried once: it is called several times as it is.
        once = RetryPolicy(attempts=1)
        super().__init__(f"Cloudflare zone {zone}", token, patience=once, timeout=timeout, hints={})
        self._zone = zone

    def purge(self, url: str) -> None:
        call = self._client.cache.with_raw_response.purge
        self._persist(f"purging {url}", lambda: self._answer(lambda: call(zone_id=self._zone, files=[url])))


@dataclass(frozen=True, slots=True)
class Announcer:
    """Where a generation is announced: the URL that isolates ask, where its content is put, and the cache before it."""

    url: str
    origin: str
    token: str
    zone: Zone
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def announce(self, generation: int) -> tuple[str, ...]:
        """Put the number, then purge the URL, which takes some seconds. Gives what went wrong, each with what it means.

        Never raises for what another machine does.
        """
        if failure := self._put(generation):
            return (f"generation {generation} is published and not announced: {failure}. {_KVS_WAY}",)
        failures = list(self._purge())
        if not failures:
            return ()
        count = f"{len(failures)} of {len(PURGES)} purges of {self.url} failed: {failures[-1]}"
        return (f"{count}. Isolates hear generation {generation} when their copy of the URL is 30 s old",)

    def standing(self) -> int | None:
        """The number that stands at the origin; None where that cannot be known."""
        try:
            answer = self._ask("GET")
            return decode_generation(answer.text) if answer.is_success else None
        except (httpx.HTTPError, httpx.InvalidURL, InvalidDocument):
            return None

    def _put(self, generation: int) -> str | None:
        """Why the number could not be put; None where it was."""
        failure = None
        for attempt in range(_TRIES):
            if attempt:
                self.sleep(_PAUSE * attempt)
            try:
                answer = self._ask("PUT", f'{{"generation": {generation}}}')
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failure = f"{self.origin} did not answer: {error or type(error).__name__}"
                continue
            if answer.is_success:
                return None
            failure = f"{self.origin} answered {answer.status_code} {answer.text[:200]}".rstrip()
            if answer.status_code < 500 and answer.status_code not in (408, 425, 429):
                break
        return failure

    def _ask(self, method: str, content: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return httpx.request(method, self.origin, content=content, headers=headers, timeout=_TIMEOUT)

    def _purge(self) -> Iterator[str]:
        """Purge the URL at its times; the reason of each one that failed."""
        began = self.clock()
        for at in PURGES:
            self.sleep(max(0.0, began + at - self.clock()))
            try:
                self.zone.purge(self.url)
            except EdgitError as error:
                yield error.detail


_KVS_WAY = "Isolates see it by KV's own way, within a minute or so"


@dataclass(frozen=True, slots=True)
class UnconfiguredAnnouncer:
    """An announcer that lacks something: it says so each time, since no publish may fail for it."""

    url: str
    reason: str

    def announce(self, generation: int) -> tuple[str, ...]:
        """What is missing."""
        return (f"generation {generation} is published and not announced: {self.reason}. {_KVS_WAY}",)

    def standing(self) -> int | None:
        """Not known."""
        return None


_MEANINGS = {
    "EDGIT_ANNOUNCE_TOKEN": "the bearer token that the origin of the URL takes",
    "CLOUDFLARE_ZONE_ID": "the zone whose cache the URL is in",
    "CLOUDFLARE_API_TOKEN": "a token with `Cache Purge: Purge` for that zone",
}


def announcer_for(url: str, environment: Mapping[str, str] | None = None) -> Announcer | UnconfiguredAnnouncer:
    """What announces at this URL, with the variables that say how."""
    given = os.environ if environment is None else environment
    values = {name: given.get(name, "").strip() for name in _MEANINGS}
    missing = [f"{name} is not set ({_MEANINGS[name]})" for name, value in values.items() if not value]
    origin = given.get("EDGIT_ANNOUNCE_ORIGIN", "").strip() or url
    missing += [f"{address} is no https URL" for address in dict.fromkeys((url, origin)) if not _is_safe(address)]
    if missing:
        return UnconfiguredAnnouncer(url, " and ".join(missing))
    token, zone, api_token = values.values()
    return Announcer(url, origin, token, CloudflareZone(zone, api_token))


def _is_safe(url: str) -> bool:
    """Whether a token may be sent there: over TLS, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "localhost")))
