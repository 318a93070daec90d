"""The documents of the KV contract, decoded by msgspec into frozen values.

| Key                            | Document                                                           |
|--------------------------------|--------------------------------------------------------------------|
| `component-versions`           | `{"my-prompt": {"prod": "v1.0.0", "prod-canary": "v1.1.0"}}`       |
| `component-versions/<n>`       | the same, as it was at generation n                                |
| `rollout-percentage`           | `10`, or `{"*": 10, "*@prod-eu": 0, "a": {"percent": 25, "version": "v1.1.0"}}` |
| `history/<name>`               | `[{"at", "environment", "version", "actor", "generation", "published_at"}]` |
| `rollout-history`              | `[{"at", "value", "actor"}]`                                       |
| `index/<name>`                 | `[{"version", "at", "withdrawn": ["since", "until", …]}]`          |
| `components/<name>/<version>`  | the content itself, UTF-8 text                                     |

Rules:

- one bad entry (a number for a version, a null, `NaN`, half a surrogate pair, an unknown shape) is dropped and reported
  by name; the rest works. What stands twice is bad, whatever it says. So is an entry with a field that stands twice;
- a document that does not hold together (`resolver.entries`) raises `InvalidDocument`. The caller handles one that is
  missing;
- a byte order mark before a document is no part of it;
- versions come out canonical (`v1.2.3`), however they were written;
- unknown fields are ignored: a newer publisher may write more than this reader knows. Only a percentage with one is
  bad: the field may be what keeps users from a canary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from resolver.entries import FAILURES, Member, doubled, elements, members, none_doubled, plain
from resolver.errors import InvalidDocument, InvalidPercentage, InvalidReference, InvalidVersion, listed
from resolver.nesting import too_deep
from resolver.rollout import (
    NOBODY,
    Percentage,
    RolloutTable,
    meant_entry,
    parse_entry,
    parse_json_percentage,
    parse_percentage,
)
from resolver.version import canonical

VERSION_MAP = "component-versions"
ROLLOUT = "rollout-percentage"
ROLLOUT_HISTORY = "rollout-history"
#: The longest version map that is published, in bytes of its text: some 88,000 components with four pointers each. Even
#: during a refresh it leaves half of a Worker's 128 MB free. docs/publish.md says what was measured.
LARGEST_MAP = 8 * 1024 * 1024

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work in small steps, and what it comes to."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


def version_map_key(generation: int) -> str:
    """Where the version map of one generation stands in KV, for readers to whom its number was announced."""
    return f"{VERSION_MAP}/{generation}"


def is_version_map(key: str) -> bool:
    """Whether a key of KV is that of a version map."""
    return key == VERSION_MAP or key.startswith(f"{VERSION_MAP}/")


def history_key(name: str) -> str:
    """Where the moves of a component stand in KV."""
    return f"history/{name}"


def index_key(name: str) -> str:
    """Where the list of a component's versions stands in KV."""
    return f"index/{name}"


def content_key(name: str, version: str) -> str:
    """Where a version's content stands in KV."""
    return f"components/{name}/{version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What was wrong in a document: its key, the entry that was dropped (empty: none, or all), and why."""

    document: str
    entry: str
    detail: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.document, self.entry, self.detail) if part)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """A document and the entries of it that were dropped."""

    value: T
    problems: tuple[Problem, ...] = ()


class MapMetadata(msgspec.Struct, frozen=True):
    """The KV metadata of the version map. Both are None for a map that was written by hand."""

    generation: int | None = None
    revision: str | None = None


class Move(msgspec.Struct, frozen=True):
    """One move of one pointer. `version` is None where the pointer was removed."""

    at: Moment
    environment: str
    version: str | None
    actor: str | None = None
    generation: int | None = None
    published_at: Moment | None = None

    @property
    def effective(self) -> datetime:
        """When requests began to see it: when it was published, if that is recorded."""
        return self.published_at or self.at


class Release(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version that exists, and since when, if that is recorded.

    `withdrawn` are the instants at which it was withdrawn and reinstated, by turns and oldest first. Where their number
    is odd it is withdrawn now.
    """

    version: str
    at: Moment | None = None
    withdrawn: tuple[Moment, ...] = ()

    def is_withdrawn(self, instant: datetime | None = None) -> bool:
        """Whether it is withdrawn at an instant, None for the newest state."""
        turns = self.withdrawn if instant is None else [turn for turn in self.withdrawn if turn <= instant]
        return len(turns) % 2 == 1


class ContentMetadata(msgspec.Struct, frozen=True):
    """The KV metadata of a content."""

    type: str | None = None
    sha256: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """The percentages that were set at an instant."""

    at: datetime
    table: RolloutTable
    actor: str | None = None


class _Announcement(msgspec.Struct, frozen=True):
    generation: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _RawRolloutChange(msgspec.Struct, frozen=True):
    at: Moment
    value: msgspec.Raw
    actor: str | None = None


_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_move = msgspec.json.Decoder(Move)
_release = msgspec.json.Decoder(Release)
_announcement = msgspec.json.Decoder(_Announcement)
_rollout_change = msgspec.json.Decoder(_RawRolloutChange)


def decode_map_metadata(metadata: object) -> MapMetadata:
    """The generation and revision from KV metadata of any shape; what does not fit is None."""
    fields = metadata if isinstance(metadata, dict) else {}
    generation = fields.get("generation")
    revision = fields.get("revision")
    if isinstance(generation, float) and generation.is_integer():
        # JavaScript has one number type: 7 may come as 7.0.
        generation = int(generation)
    return MapMetadata(
        generation=generation if isinstance(generation, int) and not isinstance(generation, bool) else None,
        revision=revision if isinstance(revision, str) else None,
    )


def decode_generation(text: str) -> int:
    """The number that is announced as `{"generation": 21}`. Raises `InvalidDocument`."""
    try:
        return _announcement.decode(text).generation
    except FAILURES as error:
        raise InvalidDocument(f"no number is announced: {error}", field="generation") from None


def decode_content_metadata(metadata: object) -> ContentMetadata:
    """A content's metadata, of any shape; what does not fit is None."""
    fields = metadata if isinstance(metadata, dict) else {}
    known = ((name, fields.get(name)) for name in ContentMetadata.__struct_fields__)
    return ContentMetadata(**{name: value for name, value in known if isinstance(value, str)})


def finished(steps: Steps[T]) -> T:
    """What the steps come to, taken all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


def decode_rollout(text: str | bytes, previous: RolloutTable | None = None) -> Decoded[RolloutTable]:
    """The rollout table, from JSON or from a bare `10%` as an operator types it.

    An entry that is not a percentage, or stands twice, keeps its value in `previous`, or is 0 where it was never valid;
    so does the entry that a wrong name probably meant. An operator's slip must move nobody. Raises
    `InvalidDocument` when the whole is neither a percentage nor an object of them.
    """
    data = plain(text)
    refuse_depth(ROLLOUT, data)
    found = members(data)
    if found is None:
        try:
            return Decoded(RolloutTable({"*": _scalar_percentage(data)}))
        except InvalidPercentage as error:
            raise InvalidDocument(error.detail, field=ROLLOUT) from None
    before = previous.entries if previous else {}
    problems: list[Problem] = []
    written: dict[str, list[bytes]] = {}
    meant: list[str] = []
    for member in found:
        try:
            written.setdefault(_entry(member), []).append(member.value)
        except InvalidReference as error:
            advice = ""
            if (name := meant_entry(member.name)) is not None:
                meant.append(name)
                advice = f"; write `{name}`"
            problems.append(Problem(ROLLOUT, member.name, error.detail + advice))
    table: dict[str, Percentage] = {}
    for name, values in written.items():
        try:
            table[name] = _one_percentage(values)
        except InvalidPercentage as error:
            table[name] = before.get(name, NOBODY)
            problems.append(Problem(ROLLOUT, name, f"{error.detail}; {table[name]} % stays in force"))
    table |= {name: before.get(name, NOBODY) for name in meant if name not in table}
    return Decoded(RolloutTable(table), tuple(problems))


def _entry(member: Member) -> str:
    """Raises `InvalidReference`."""
    if member.fault:
        raise InvalidReference(member.fault)
    return parse_entry(member.name)


def _one_percentage(values: list[bytes]) -> Percentage:
    if len(values) > 1:
        raise InvalidPercentage(f"it stands {len(values)} times, as {' and '.join(map(excerpt, values[:3]))}; keep one")
    fields = members(values[0])
    return _json_percentage(values[0]) if fields is None else _percentage_of_version(fields)


def _percentage_of_version(fields: list[Member]) -> Percentage:
    """Raises `InvalidPercentage`."""
    found = {field.name: field.value for field in fields if not field.fault}
    if len(fields) != 2 or set(found) != {"percent", "version"}:
        names = listed(field.name[:60] for field in fields)
        raise InvalidPercentage(
            f"an object is a percentage with `percent` and `version`, each once; this one has {names}"
        )
    try:
        version = canonical(_text.decode(found["version"]))
    except (*FAILURES, InvalidVersion):
        raise InvalidPercentage(f"{excerpt(found['version'])} is not a version") from None
    return _json_percentage(found["percent"]).of(version)


def _scalar_percentage(data: bytes) -> Percentage:
    try:
        return _json_percentage(bytes(msgspec.json.decode(data, type=msgspec.Raw)))
    except FAILURES:
        return parse_percentage(data.decode(errors="replace"))


def _json_percentage(raw: bytes) -> Percentage:
    source = raw.decode(errors="replace").strip()
    try:
        if source[:1] == '"':
            return parse_percentage(_text.decode(raw))
        if source[:1] in "-0123456789" and source:
            return parse_json_percentage(source)
    except FAILURES:
        pass
    raise InvalidPercentage(f"{excerpt(raw)} is not a percentage")


def encode_rollout(table: RolloutTable) -> object:
    """The table as JSON values that mean exactly the same: one value if its only entry is for everything, else an
    object."""
    values = {name: encode_percentage(percentage) for name, percentage in table.entries.items()}
    return values["*"] if set(values) == {"*"} and table.entries["*"].version is None else values


def encode_percentage(percentage: Percentage) -> object:
    """One entry of the table as a JSON value."""
    number = _number(percentage.value)
    return number if percentage.version is None else {"percent": number, "version": percentage.version}


def _number(value: Decimal) -> int | float | str:
    # JavaScript's numbers hold some 16 digits; as text, which is also read, 99.99999999999999999 stays below 100.
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value, "f")


def decode_history(key: str, text: str | bytes) -> Decoded[tuple[Move, ...]]:
    """The moves of `history/<name>`, oldest first; equal instants in the order of their generations."""

    def move(raw: msgspec.Raw | bytes) -> Move:
        found = _move.decode(raw)
        _check(found.at, found.published_at)
        return found if found.version is None else replace(found, version=canonical(found.version))

    decoded = _entries(key, text, move)
    # A stable sort: moves of one instant and one generation stay as the document lists them.
    ordered = sorted(decoded.value, key=lambda move: (move.effective, move.generation or 0))
    return Decoded(tuple(ordered), decoded.problems)


def decode_rollout_history(text: str | bytes) -> Decoded[tuple[RolloutChange, ...]]:
    """The changes of `rollout-history`, oldest first. A bad percentage of a change is 0, and named by its instant."""
    within: list[Problem] = []

    def change(raw: msgspec.Raw | bytes) -> RolloutChange:
        found = _rollout_change.decode(raw)
        _check(found.at)
        table = decode_rollout(bytes(found.value))
        when = found.at.isoformat()
        within.extend(Problem(ROLLOUT_HISTORY, f"{when}: {bad.entry}", bad.detail) for bad in table.problems)
        return RolloutChange(found.at, table.value, found.actor)

    decoded = _entries(ROLLOUT_HISTORY, text, change)
    ordered = sorted(decoded.value, key=lambda change: change.at)
    return Decoded(tuple(ordered), (*decoded.problems, *within))


def decode_index(key: str, text: str | bytes) -> Decoded[tuple[Release, ...]]:
    """The versions of `index/<name>`, as listed."""

    def release(raw: msgspec.Raw | bytes) -> Release:
        found = _release.decode(raw)
        _check(found.at, *found.withdrawn)
        return replace(found, version=canonical(found.version))

    return _entries(key, text, release)


def _check(*moments: datetime | None) -> None:
    """Raises `OverflowError` for a moment that lies outside the years 1 to 9999 of UTC, and so could not be written."""
    for moment in moments:
        if moment is not None:
            moment.astimezone(UTC)


def _entries(key: str, text: str | bytes, decode: Callable[[msgspec.Raw | bytes], T]) -> Decoded[tuple[T, ...]]:
    data = plain(text)
    refuse_depth(key, data)
    listed: Sequence[msgspec.Raw | bytes]
    try:
        listed = _raw_list.decode(data)
    except FAILURES as error:
        parts = elements(data)
        if parts is None:
            raise InvalidDocument(f"not a JSON list: {error}", field=key) from None
        listed = parts
    undoubled = none_doubled(data)
    good: list[T] = []
    problems: list[Problem] = []
    for position, raw in enumerate(listed):
        try:
            if not undoubled:
                _refuse_doubled(raw)
            good.append(decode(raw))
        except (*FAILURES, OverflowError, InvalidVersion, InvalidDocument) as error:
            detail = error.detail if isinstance(error, InvalidVersion | InvalidDocument) else str(error)
            problems.append(Problem(key, f"[{position}]", detail))
    return Decoded(tuple(good), tuple(problems))


def _refuse_doubled(raw: msgspec.Raw | bytes) -> None:
    if twice := doubled(members(bytes(raw)) or []):
        raise InvalidDocument(f"`{twice[0][:60]}` stands more than once; keep one of them")


def refuse_depth(key: str, text: str | bytes) -> None:
    """Raises `InvalidDocument` for a text that is too deep for a decoder."""
    if too_deep(text):
        raise InvalidDocument("nested too deeply to be read", field=key)


def excerpt(raw: msgspec.Raw | bytes) -> str:
    """The beginning of a value, for a message."""
    source = bytes(raw).decode(errors="replace").strip()
    return f"`{source[:60]}{'…' if len(source) > 60 else ''}`"
