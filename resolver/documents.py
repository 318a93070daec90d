"""The documents of the KV contract, decoded by msgspec into frozen values.

| Key                            | Document                                                           |
|--------------------------------|--------------------------------------------------------------------|
| `component-versions`           | `{"my-prompt": {"prod": "v1.0.0", "prod-canary": "v1.1.0"}}`       |
| `component-versions/<n>`       | the same, as it was at generation n                                |
| `rollout-percentage`           | `10`, or `{"*": 10, "my-prompt": 25, "my-prompt@prod-eu": 0}`      |
| `history/<name>`               | `[{"at", "environment", "version", "actor", "generation", "published_at"}]` |
| `rollout-history`              | `[{"at", "value", "actor"}]`                                       |
| `index/<name>`                 | `[{"version", "at"}]`                                              |
| `components/<name>/<version>`  | the content itself, UTF-8 text                                     |

Rules:

- one bad entry (a number for a version, a null, an unknown shape) is dropped and reported by name; the rest works;
- a document that cannot be read at all raises `InvalidDocument`; a document that is not there is the caller's matter;
- versions come out canonical (`v1.2.3`), however they were written;
- unknown fields are let pass: a newer publisher may write more than this reader knows.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Generator, ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from msgspec.structs import replace

from resolver.errors import InvalidDocument, InvalidPercentage, InvalidVersion
from resolver.nesting import too_deep
from resolver.rollout import NOBODY, Percentage, RolloutTable, parse_json_percentage, parse_percentage
from resolver.version import canonical, is_version

VERSION_MAP = "component-versions"
ROLLOUT = "rollout-percentage"
ROLLOUT_HISTORY = "rollout-history"

Pointers = Mapping[str, Mapping[str, str]]
"""Component → environment (or `latest`, `stable`) → version."""

Where: TypeAlias = str | tuple[object, ...]
"""Where versions are looked for: an environment alone, which is found quicker, or one with region and group."""


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
        """When requests began to see it: when it was published, as far as that is recorded."""
        return self.published_at or self.at


class Release(msgspec.Struct, frozen=True):
    """A version that exists, and since when, as far as that is recorded."""

    version: str
    at: Moment | None = None


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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a request is resolved from, read together; a request uses exactly one.

    `rollout` is None where the percentages are not known, which only happens for an instant in the past. `indexes`
    holds the versions of those components whose index was wanted, None where there is no index.
    """

    pointers: Pointers
    rollout: RolloutTable | None = field(default_factory=RolloutTable)
    indexes: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    revision: str | None = None
    generation: int | None = None
    #: What `resolver.plan` has found out about pointers of this snapshot, by place and component: a function of the
    #: fields above, remembered. Not an argument, so that a copy with other fields begins without it.
    draws: dict[Where, dict[str, Any]] = field(init=False, default_factory=dict, repr=False, compare=False)


class _Announcement(msgspec.Struct, frozen=True):
    generation: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _RawRolloutChange(msgspec.Struct, frozen=True):
    at: Moment
    value: msgspec.Raw
    actor: str | None = None


_strict_map = msgspec.json.Decoder(dict[str, dict[str, str]])
_pointers = msgspec.json.Decoder(dict[str, str])
_raw_map = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()
_move = msgspec.json.Decoder(Move)
_release = msgspec.json.Decoder(Release)
_announcement = msgspec.json.Decoder(_Announcement)
_rollout_change = msgspec.json.Decoder(_RawRolloutChange)

#: The braces of a document, and what stands between them.
_BRACES = re.compile(rb"[ \t\r\n]*\{(.*)\}[ \t\r\n]*", re.DOTALL)
#: Bytes of a piece of the version map, at least: some 40 components.
_PIECE = 4 * 1024
#: Pieces that are done in one step: under a millisecond in WebAssembly.
_STEP = 16
#: Components whose decoded pointers are kept; then they are decoded again.
_MOST_DECODED = 4096
#: Bad entries of the version map that are named one by one.
_MOST_PROBLEMS = 1000

# RecursionError: JSON that is nested absurdly deep is a decoding failure like any other.
_FAILURES = (msgspec.DecodeError, RecursionError, UnicodeError)


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
    except _FAILURES as error:
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


class Piece(NamedTuple):
    """Some neighbouring components of a version map, as a JSON object of their own."""

    text: bytes
    #: The first and the last name, where they stand in order; else None.
    span: tuple[str, str] | None
    #: Whether every pointer in it is good, and written canonically.
    plain: bool
    #: The components in which something is bad.
    faulty: tuple[str, ...] = ()

    def components(self) -> dict[str, msgspec.Raw]:
        """What stands in it, not decoded any further."""
        return _raw_map.decode(self.text)

    def pointers(self) -> dict[str, dict[str, str]]:
        """What is good in it."""
        if self.plain:
            return _strict_map.decode(self.text)
        found = {name: _component(name, raw, []) for name, raw in self.components().items()}
        return {name: pointers for name, pointers in found.items() if pointers is not None}


class VersionMap(Mapping[str, Mapping[str, str]]):
    """The pointers of a version map, each component's decoded when it is asked for.

    It holds the document in pieces of some 40 components: where the names stand in order, and they do in what is
    published, a component's piece is found by halving, else by a table. `problems` are the entries that were dropped.
    """

    __slots__ = ("_around", "_decoded", "_firsts", "_pieces", "_places", "_revision", "problems")

    def __init__(
        self,
        around: tuple[bytes, bytes],
        pieces: Sequence[Piece],
        places: Mapping[str, int] | None,
        problems: tuple[Problem, ...],
    ) -> None:
        self.problems = problems
        self._around = around
        self._pieces = pieces
        self._places = places
        self._firsts = [piece.span[0] for piece in pieces if piece.span is not None]
        self._decoded: dict[str, Mapping[str, str]] = {}
        self._revision: str | None = None

    def __getitem__(self, name: str) -> Mapping[str, str]:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return cast(Mapping[str, str], found)

    def get(self, name: str, default: Any = None) -> Any:
        """The component's pointers, else `default`."""
        found = self._decoded.get(name)
        if found is None:
            found = self._find(name)
        return default if found is None else found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        for number, piece in enumerate(self._pieces):
            for name in piece.pointers() if piece.faulty else piece.components():
                if self._stands(name, number):
                    yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def items(self) -> ItemsView[str, Mapping[str, str]]:
        """All components; what is decoded on the way is not kept."""
        return _Items(self)

    def __repr__(self) -> str:
        return f"VersionMap({dict(self.items())!r})"

    def revision_steps(self) -> Steps[str]:
        """`revision_of` the document, in steps, and once."""
        if self._revision is None:
            before, behind = self._around
            digest = sha256(before)
            for number, piece in enumerate(self._pieces):
                digest.update(piece.text[1:-1] if number == 0 else b"," + piece.text[1:-1])
                if number % _STEP == 0:
                    yield
            digest.update(behind)
            self._revision = _revision(digest.hexdigest())
        return self._revision

    def _find(self, name: str) -> Mapping[str, str] | None:
        number = bisect_right(self._firsts, name) - 1 if self._places is None else self._places.get(name, -1)
        raw = None if number < 0 else self._pieces[number].components().get(name)
        found = None if raw is None else _component(name, raw, [])
        if found is not None:
            if len(self._decoded) >= _MOST_DECODED:
                self._decoded.clear()
            self._decoded[name] = found
        return found

    def _stands(self, name: str, number: int) -> bool:
        """Whether it is in this piece that a name of it counts."""
        return self._places is None or self._places[name] == number


class _Items(ItemsView[str, Mapping[str, str]]):
    _mapping: VersionMap

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        for number, piece in enumerate(self._mapping._pieces):
            for name, pointers in piece.pointers().items():
                if self._mapping._stands(name, number):
                    yield name, pointers


def decode_version_map(text: str | bytes) -> Decoded[VersionMap]:
    """The version map. Raises `InvalidDocument` when it is not a JSON object."""
    pointers = finished(version_map_steps(text))
    return Decoded(pointers, pointers.problems)


def version_map_steps(text: str | bytes | memoryview, previous: Pointers | None = None) -> Steps[VersionMap]:
    """The same in steps of about a millisecond, so that requests can be answered between them.

    Pieces that `previous` has as well are taken from there; where nothing has changed `previous` itself comes out.
    """
    try:
        document = text.encode() if isinstance(text, str) else bytes(text)
    except UnicodeError as error:
        raise InvalidDocument(f"not a JSON object: {error}", field=VERSION_MAP) from None
    del text  # With a large map there is no room for both.
    if (braces := _BRACES.fullmatch(document)) is None:
        raise InvalidDocument("not a JSON object: it does not begin with { and end with }", field=VERSION_MAP)
    yield
    start, end = braces.span(1)
    around = document[:start], document[end:]
    before = previous if isinstance(previous, VersionMap) else None
    pieces = yield from _cut(document, start, end, {piece.text: piece for piece in before._pieces} if before else {})
    if before is not None and around == before._around and pieces == before._pieces:
        return before
    del document, braces
    places = yield from _table(pieces)
    problems = yield from _problems(pieces, places)
    return VersionMap(around, pieces, places, problems)


def _cut(document: bytes, start: int, end: int, known: Mapping[bytes, Piece]) -> Steps[list[Piece]]:
    """The members between `start` and `end`, cut behind components.

    Where `{a}` and `{b}` are JSON objects with members, `{a,b}` is the object of the members of both: so pieces that
    can each be decoded are the document, wherever they were cut.
    """
    first, size = start, _PIECE
    pieces: list[Piece] = []
    usual: set[str] = set()
    while start <= end:
        stop = document.find(b"},", start + size, end) + 1 or end
        text = b"{%b}" % document[start:stop]
        try:
            pieces.append(known.get(text) or _piece(text, usual))
        except InvalidDocument as error:
            if stop == end:
                counted = f", counted from byte {start - 1}" if start > first else ""
                raise InvalidDocument(error.detail + counted, field=VERSION_MAP) from None
            # That comma stood within something.
            size *= 2
            yield
            continue
        if (start, stop) != (first, end) and not text[1:-1].strip():
            raise InvalidDocument(f"not a JSON object: a comma too many before byte {start}", field=VERSION_MAP)
        start, size = stop + 1, _PIECE
        if len(pieces) % _STEP == 0:
            yield
    return pieces


def _piece(text: bytes, usual: set[str]) -> Piece:
    """A piece, every entry of it looked at; `usual` are versions that are known to be canonical."""
    faulty: tuple[str, ...] = ()
    try:
        pointers = _strict_map.decode(text)
        versions = set[str]().union(*map(dict.values, pointers.values())) - usual
    except _FAILURES:
        versions = {""}
    plain = False
    if all(map(is_version, versions)):
        usual |= {version for version in versions if version.startswith("v")}
        plain = versions <= usual
        names = list(pointers)
    else:
        _refuse_depth(VERSION_MAP, text)
        components = _object(VERSION_MAP, text)
        faulty = tuple(name for name, raw in components.items() if _is_faulty(name, raw))
        names = list(components)
    return Piece(text, (names[0], names[-1]) if names and names == sorted(names) else None, plain, faulty)


def _table(pieces: Sequence[Piece]) -> Steps[dict[str, int] | None]:
    """The number of the piece that each name stands in, the last of several; None where all names are in order."""
    spans = [piece.span for piece in pieces]
    if all(spans) and all(left[1] < right[0] for left, right in itertools.pairwise(filter(None, spans))):
        return None
    places: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        places.update(dict.fromkeys(piece.components(), number))
        if number % _STEP == 0:
            yield
    return places


def _problems(pieces: Sequence[Piece], places: Mapping[str, int] | None) -> Steps[tuple[Problem, ...]]:
    """All that was bad, up to a number."""
    problems: list[Problem] = []
    more = 0
    for number, piece in enumerate(pieces):
        if not piece.faulty:
            continue
        found: list[Problem] = []
        components = piece.components()
        for name in piece.faulty:
            if places is None or places[name] == number:
                _component(name, components[name], found)
        more += max(0, len(problems) + len(found) - _MOST_PROBLEMS)
        problems += found[: _MOST_PROBLEMS - len(problems)]
        yield
    if more:
        problems.append(Problem(VERSION_MAP, "", f"{more} more entries are as bad"))
    return tuple(problems)


def _is_faulty(name: str, raw: msgspec.Raw) -> bool:
    problems: list[Problem] = []
    _component(name, raw, problems)
    return bool(problems)


def _component(name: str, raw: msgspec.Raw, problems: list[Problem]) -> dict[str, str] | None:
    """The pointers of one component, without those that are bad; None where it is no object."""
    try:
        pointers = _pointers.decode(raw)
    except _FAILURES:
        try:
            entries = _raw_map.decode(raw)
        except _FAILURES:
            problems.append(Problem(VERSION_MAP, name, f"{_shown(raw)} is not an object environment → version"))
            return None
        pointers = {}
        for environment, version in entries.items():
            try:
                pointers[environment] = _text.decode(version)
            except _FAILURES:
                problems.append(
                    Problem(VERSION_MAP, f"{name}.{environment}", f"{_shown(version)} is not a version in quotes")
                )
    return _canonical_pointers(name, pointers, problems)


def revision_of(text: str) -> str:
    """A revision for a map that states none, as one written by hand: the beginning of its SHA-256."""
    return _revision(sha256(text.encode(errors="replace")).hexdigest())


def _revision(digest: str) -> str:
    return f"sha256:{digest[:16]}"


def _canonical_pointers(name: str, component: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    good: dict[str, str] = {}
    for environment, version in component.items():
        try:
            good[environment] = canonical(version)
        except InvalidVersion as error:
            problems.append(Problem(VERSION_MAP, f"{name}.{environment}", error.detail))
    return good


def decode_rollout(text: str | bytes, previous: RolloutTable | None = None) -> Decoded[RolloutTable]:
    """The rollout table, from JSON or from a bare `10%` as an operator types it.

    An entry that is not a percentage keeps its value in `previous`, or is 0 where it was never valid: an operator's
    slip must move nobody. Raises `InvalidDocument` when the whole is neither a percentage nor an object of them.
    """
    _refuse_depth(ROLLOUT, text)
    source = text if isinstance(text, str) else text.decode(errors="replace")
    try:
        entries = _raw_map.decode(source)
    except _FAILURES:
        try:
            return Decoded(RolloutTable({"*": _scalar_percentage(source)}))
        except InvalidPercentage as error:
            raise InvalidDocument(error.detail, field=ROLLOUT) from None
    before = previous.entries if previous else {}
    table: dict[str, Percentage] = {}
    problems: list[Problem] = []
    for name, raw in entries.items():
        try:
            table[name] = _json_percentage(raw)
        except InvalidPercentage as error:
            table[name] = before.get(name, NOBODY)
            problems.append(Problem(ROLLOUT, name, f"{error.detail}; {table[name]} % stays in force"))
    return Decoded(RolloutTable(table), tuple(problems))


def _scalar_percentage(source: str) -> Percentage:
    try:
        return _json_percentage(msgspec.json.decode(source, type=msgspec.Raw))
    except _FAILURES:
        return parse_percentage(source)


def _json_percentage(raw: msgspec.Raw) -> Percentage:
    source = bytes(raw).decode(errors="replace").strip()
    if source[:1] == '"':
        return parse_percentage(_text.decode(raw))
    if source[:1] in "-0123456789" and source:
        return parse_json_percentage(source)
    raise InvalidPercentage(f"{_shown(raw)} is not a percentage")


def encode_rollout(table: RolloutTable) -> object:
    """The table as JSON values that mean exactly the same: one value where it has one entry for everything, else an
    object."""
    values = {name: _number(percentage.value) for name, percentage in table.entries.items()}
    return values["*"] if set(values) == {"*"} else values


def _number(value: Decimal) -> int | float | str:
    # JavaScript's numbers hold some 16 digits; as text, which is read as well, 99.99999999999999999 stays below 100.
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value, "f")


def decode_history(key: str, text: str | bytes) -> Decoded[tuple[Move, ...]]:
    """The moves of `history/<name>`, oldest first; equal instants in the order of their generations."""

    def move(raw: msgspec.Raw) -> Move:
        found = _move.decode(raw)
        _check(found.at, found.published_at)
        return found if found.version is None else replace(found, version=canonical(found.version))

    decoded = _entries(key, text, move)
    # A stable sort: moves of one instant and one generation stay as the document lists them.
    ordered = sorted(decoded.value, key=lambda move: (move.effective, move.generation or 0))
    return Decoded(tuple(ordered), decoded.problems)


def decode_rollout_history(text: str | bytes) -> Decoded[tuple[RolloutChange, ...]]:
    """The changes of `rollout-history`, oldest first."""

    def change(raw: msgspec.Raw) -> RolloutChange:
        found = _rollout_change.decode(raw)
        _check(found.at)
        return RolloutChange(found.at, decode_rollout(bytes(found.value)).value, found.actor)

    decoded = _entries(ROLLOUT_HISTORY, text, change)
    return Decoded(tuple(sorted(decoded.value, key=lambda change: change.at)), decoded.problems)


def decode_index(key: str, text: str | bytes) -> Decoded[tuple[Release, ...]]:
    """The versions of `index/<name>`, as listed."""

    def release(raw: msgspec.Raw) -> Release:
        found = _release.decode(raw)
        _check(found.at)
        return replace(found, version=canonical(found.version))

    return _entries(key, text, release)


def _check(*moments: datetime | None) -> None:
    """Raises `OverflowError` for a moment that lies outside the years 1 to 9999 of UTC, and so could not be written."""
    for moment in moments:
        if moment is not None:
            moment.astimezone(UTC)


def _entries(key: str, text: str | bytes, decode: Callable[[msgspec.Raw], T]) -> Decoded[tuple[T, ...]]:
    _refuse_depth(key, text)
    try:
        listed: Iterable[msgspec.Raw] = _raw_list.decode(text)
    except _FAILURES as error:
        raise InvalidDocument(f"not a JSON list: {error}", field=key) from None
    good: list[T] = []
    problems: list[Problem] = []
    for position, raw in enumerate(listed):
        try:
            good.append(decode(raw))
        except (*_FAILURES, OverflowError, InvalidVersion, InvalidDocument) as error:
            detail = error.detail if isinstance(error, InvalidVersion | InvalidDocument) else str(error)
            problems.append(Problem(key, f"[{position}]", detail))
    return Decoded(tuple(good), tuple(problems))


def _refuse_depth(key: str, text: str | bytes) -> None:
    if too_deep(text):
        raise InvalidDocument("nested too deeply to be read", field=key)


def _object(key: str, text: str | bytes | memoryview) -> dict[str, msgspec.Raw]:
    try:
        return _raw_map.decode(text)
    except _FAILURES as error:
        raise InvalidDocument(f"not a JSON object: {error}", field=key) from None


def _shown(raw: msgspec.Raw) -> str:
    source = bytes(raw).decode(errors="replace").strip()
    return f"`{source[:60]}{'…' if len(source) > 60 else ''}`"
