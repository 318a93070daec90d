"""What may be asked and what is answered: the wire, as structs, the same for HTTP and RPC.

Rules:

- a field that is not known is an error that lists the ones that are;
- a key is text or a number; an input is any JSON that `JSON.stringify` can write;
- answers say nothing of the time of answering, but for `age_ms`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, TypeVar

import msgspec

from resolver.errors import InvalidRequest, listed
from resolver.nesting import too_deep
from resolver.plan import AgentDecision, ResolvedReference
from resolver.snapshot import Route

#: The most references in one `POST /resolve`.
MOST_REFERENCES = 100

C = TypeVar("C", bound=msgspec.Struct)


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every resolving call may say. `environment`, `key`, `at` and `region` are query parameters as well."""

    environment: str | None = None
    key: Any = None
    at: str | None = None
    region: str | None = None
    content: bool = False


class VersionCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `GET /version` and `GET /history?at=` may say besides a component."""

    environment: str | None = None
    at: str | None = None


class EnsembleCall(Call, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /ensembles/{name}/resolve`."""

    input: Any = msgspec.UNSET
    context: dict[str, Any] = {}
    #: The ensemble itself, YAML text or what YAML says; for one that the version map does not have.
    definition: str | dict[str, Any] | None = None
    #: Plain references that are resolved besides.
    references: list[str] = []
    #: Whether the ensemble is wanted as this run must run it.
    expand: bool = False
    #: The snapshot that an earlier question of the same run was answered from.
    generation: int | None = None


class ReferencesCall(Call, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /resolve`."""

    references: list[str]


class SnapshotInfo(msgspec.Struct, frozen=True):
    """Which snapshot an answer was resolved from. `source` is `history` for an instant in the past."""

    revision: str | None
    generation: int | None
    age_ms: int
    source: Literal["kv", "bundled", "history"]


class Definition(msgspec.Struct, frozen=True):
    """Where the ensemble itself came from: KV (by its route), the file bundled at deploy time, or the call."""

    version: str | None
    route: Route | Literal["bundled", "sent"]


class EnsembleAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `POST /ensembles/{name}/resolve`."""

    ensemble: str
    definition: Definition
    environment: str
    key: str
    snapshot: SnapshotInfo
    agents: tuple[AgentDecision, ...]
    key_note: str | None = None
    region: str | None = None
    at: str | None = None
    references: tuple[ResolvedReference, ...] = ()
    #: The ensemble as this run must run it, what its contents include, and the fields of the input that were read.
    expanded: dict[str, Any] | None = None
    included: tuple[ResolvedReference, ...] = ()
    reads: tuple[str, ...] | None = None


class ReferencesAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `POST /resolve`."""

    environment: str
    key: str
    snapshot: SnapshotInfo
    references: tuple[ResolvedReference, ...]
    region: str | None = None
    at: str | None = None


class ComponentAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `GET /components/{name}@{selector}`: over HTTP the content is the body, the rest are headers."""

    component: str
    version: str
    route: Route
    key: str
    content: str
    media_type: str | None
    type: str | None = None
    note: str | None = None


class VersionAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `GET /version`, and to `GET /history?at=`, which says `at`."""

    environment: str
    components: dict[str, str]
    at: str | None = None


class MoveAnswer(msgspec.Struct, frozen=True):
    """One move in the answer to `GET /history/{name}`."""

    at: str
    environment: str
    version: str | None
    actor: str | None
    generation: int | None
    published_at: str | None


class HistoryAnswer(msgspec.Struct, frozen=True):
    """The answer to `GET /history/{name}`, the newest move first."""

    component: str
    moves: tuple[MoveAnswer, ...]


class HeardInfo(msgspec.Struct, frozen=True):
    """What this isolate knows of the announced number: how old it is, which one, and what went wrong last."""

    heard_age_ms: int | None
    announced: int | None
    error: str | None


class Health(msgspec.Struct, frozen=True):
    """The answer to `GET /health`. What was dropped from a document is named to authorised callers only."""

    status: Literal["ok", "degraded", "down"]
    snapshot: SnapshotInfo | None
    stale: str | None
    last_error: str | None
    dropped: int
    problems: tuple[str, ...] | None
    counters: dict[str, int]
    #: Left out where there is no GENERATION_URL.
    generation_url: HeardInfo | msgspec.UnsetType = msgspec.UNSET


_json = msgspec.json.Encoder()


def encoded(value: object) -> bytes:
    """A value as JSON. A lone surrogate, which has no UTF-8, is written as its escape."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()


def decode_call(data: bytes | str, type: type[C]) -> C:
    """A call from JSON. Raises `InvalidRequest`, naming the field and the fields that there are."""
    if too_deep(data):
        raise InvalidRequest("the body is nested too deeply to be read", field="body")
    try:
        return _decoded(data, type)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), type) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {_unreadable(data) or error}", field="body") from None


def _misfit(said: str, type: type[C]) -> InvalidRequest:
    """What msgspec says of a value that is JSON and no call, in words that need no Python."""
    text, _, path = said.partition(" - at ")
    where = path.strip("`").removeprefix("$.") or "body"
    if found := _EXPECTED.fullmatch(text):
        wanted = " or ".join(_KINDS.get(name, name) for name in found[1].split(" | ") if name != "null")
        text = f"`{where}` must be {wanted}, and it is {_KINDS.get(found[2], found[2])}"
    elif "unknown field" in text:
        text += f"; a body has {listed(field.name for field in msgspec.structs.fields(type))}"
    return InvalidRequest(text, field=where)


_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_KINDS = {
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _unreadable(data: bytes | str) -> str:
    """What is wrong with bytes that are no UTF-8; empty for what a decoder tells better."""
    if isinstance(data, bytes) and (data[:2] in (b"\xff\xfe", b"\xfe\xff") or (data[:2].count(0) == 1)):
        return "it is UTF-16; send UTF-8"
    if isinstance(data, bytes) and data.startswith(b"\xef\xbb\xbf"):
        return "a byte order mark stands before it; take it away"
    return ""


#: The escape of a surrogate.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _decoded(data: bytes | str, type: type[C]) -> C:
    """`msgspec.json.decode`; Python's for half a surrogate pair, which `JSON.stringify` writes of a text cut in two."""
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeError):
        written = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        if not _SURROGATE.search(written):
            raise
        try:
            value = json.loads(written, parse_constant=_refused_constant)
        except ValueError:
            value = None
        if value is None:
            raise
    return msgspec.convert(value, type)


def _refused_constant(name: str) -> None:
    """`NaN` and its like are no JSON, though Python reads them. Raises `ValueError`."""
    raise ValueError(name)
