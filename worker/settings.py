"""The Worker's settings, from the variables and secrets of its deployment (`[vars]` in wrangler.toml)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import msgspec

from resolver.errors import ResolverError
from resolver.reference import environment_fault, is_region


class InvalidSetting(ResolverError):
    """A variable of the deployment that cannot be used."""

    status = 500
    title = "Invalid setting"


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=str.upper):
    """One field a variable, whose name is the field's in capitals. Times are in seconds."""

    #: The environment of a request that names none.
    environment: str = "prod"
    #: The secret that callers over HTTP show as `Authorization: Bearer`. Empty: HTTP is refused.
    resolver_token: str = ""
    #: `"true"` lets HTTP callers in without a token. For a local edge; never for a Worker on the internet.
    allow_anonymous: bool = False

    #: A snapshot younger than this is used as it is.
    fresh_for: float = 5.0
    #: One younger than this is used and refreshed behind the response; an older one is read again first.
    stale_for: float = 30.0
    #: The longest that a request waits for that read before it takes the last good snapshot.
    read_budget: float = 0.04
    #: After a silence this long the next request waits for up to `kv_timeout` instead, so that no version which was
    #: rolled back meanwhile is answered once more. 0: never.
    patient_after: float = 0.0
    #: The longest that any other read of KV may take.
    kv_timeout: float = 1.0
    #: KV's own cache at the edge, `cacheTtl`; the platform wants 30 at least.
    cache_ttl: int = 30

    #: Where the number of the newest generation is announced, as `{"generation": 21}`; an https URL in the cache of a
    #: zone, which the publisher purges. Empty: nothing is asked, and a move comes by KV's own way alone.
    generation_url: str = ""
    #: Where contents are looked for, in this order; the ones behind the first only on a miss. Each may hold {name},
    #: {version}, {bare} (the version without its v) and {plural} (the directory of its type: `prompts`).
    content_layouts: str = (
        "components/{name}/{version}, {plural}/{name}/{version}, {plural}/{name}@{version}, "
        "components/{plural}/{name}/{version}"
    )

    #: Where a request comes from → its region: `EU=eu, US=us-west, NRT=asia`. The left side is what Cloudflare
    #: says about the request: a data centre (`colo`), a country, or a continent, looked for in this order. Empty: a
    #: request has a region only if it says one.
    regions: str = ""

    def region(self, colo: str | None, country: str | None, continent: str | None) -> str | None:
        """The region of a request from that place; None where the table does not have it."""
        table = _regions(self.regions)
        for kind, code in (("colo", colo), ("country", country), ("continent", continent)):
            region = table.get((kind, code)) if code else None
            if region is not None:
                return region
        return None

    @property
    def layouts(self) -> tuple[str, ...]:
        """The content layouts, in their order."""
        return tuple(layout.strip() for layout in self.content_layouts.split(",") if layout.strip())


#: Cloudflare's codes of continents; every other code of two letters is a country's, one of three a data centre's. The
#: countries whose codes these are too (AF, AS, NA, SA) are reached by their data centres.
_CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "NA", "OC", "SA"})


@functools.lru_cache(maxsize=8)
def _regions(text: str) -> dict[tuple[str, str], str]:
    """The table of `REGIONS`. Raises `InvalidSetting`."""
    table: dict[tuple[str, str], str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        code, equals, region = (part.strip() for part in pair.partition("="))
        if not equals or not is_region(region) or not re.fullmatch(r"[A-Z]{2,3}", code):
            raise InvalidSetting(
                f"REGIONS: `{pair}` is not CODE=region; write EU=eu (a continent), DE=eu (a country) or FRA=eu (a colo)"
            )
        kind = "continent" if code in _CONTINENTS else "country" if len(code) == 2 else "colo"
        table[kind, code] = region
    return table


_NAMES = {name.upper() for name in Settings.__struct_fields__}
_POSITIVE = ("fresh_for", "stale_for", "read_budget", "kv_timeout")


def read_settings(variables: Mapping[str, object]) -> Settings:
    """Settings from variables, all text; unknown ones are ignored. Raises `InvalidSetting`, naming the variable."""
    given = {name: value for name, value in variables.items() if name in _NAMES and value is not None}
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSetting(str(error)) from None
    # A secret that was piped from a file often ends in a newline.
    settings = msgspec.structs.replace(settings, resolver_token=settings.resolver_token.strip())
    for name in _POSITIVE:
        if not 0 < getattr(settings, name) < 1e9:
            raise InvalidSetting(f"{name.upper()} is {getattr(settings, name)}; it must be more than 0 seconds")
    if settings.stale_for < settings.fresh_for:
        raise InvalidSetting(f"STALE_FOR ({settings.stale_for}) is less than FRESH_FOR ({settings.fresh_for})")
    if not 0 <= settings.patient_after < 1e9:
        raise InvalidSetting(f"PATIENT_AFTER is {settings.patient_after}; it is seconds of silence, or 0 for never")
    if settings.generation_url and not re.fullmatch(r"https://[^/\s?#@]+(/[^\s#]*)?", settings.generation_url):
        raise InvalidSetting(
            f"GENERATION_URL is `{settings.generation_url}`; it is https://…, without a user or a #, or empty"
        )
    if settings.cache_ttl < 30:
        raise InvalidSetting(f"CACHE_TTL is {settings.cache_ttl}; KV accepts 30 seconds or more")
    if fault := environment_fault(settings.environment):
        raise InvalidSetting(f"ENVIRONMENT: {fault}")
    _regions(settings.regions)
    if not settings.layouts:
        raise InvalidSetting("CONTENT_LAYOUTS is empty: no content would ever be found")
    for layout in settings.layouts:
        try:
            keys = {layout.format(name=n, version=v, bare=v, plural="p") for n in "nm" for v in "vw"}
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise InvalidSetting(
                f"CONTENT_LAYOUTS: `{layout}` uses {error}; there are name, version, bare, plural"
            ) from None
        # Two contents under one key would be served for each other.
        if len(keys) < 4:
            raise InvalidSetting(f"CONTENT_LAYOUTS: `{layout}` must hold {{name}}, and {{version}} or {{bare}}")
    return settings
