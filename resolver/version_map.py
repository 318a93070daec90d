"""The version map: read part by part, kept small, decoded where it is asked for.

A map of 100,000 components is 9 MB of text, and an isolate has little memory. So:

- it is read in parts, as they come; the whole text is never in memory;
- it is cut between components into pieces of some 8 KB. Each is checked strictly, and kept compressed, at a third to a
  seventh of the text. Where an entry is bad, the good ones are kept as a second text;
- what stands twice is dropped, both times: an environment of a component, or a component, wherever in the map it is;
- a component is decoded when it is asked for;
- `$type` of a component says its type. No environment can have that name. Maps of older publishers do not have it;
- pieces that the map before had are taken over. Where nothing has changed, that map itself comes out;
- all of it goes in steps of a millisecond or two, so that requests can be answered between them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any, NamedTuple, cast
from zlib import compress, decompress

import msgspec

from resolver.directories import DIRECTORIES
from resolver.documents import VERSION_MAP, Decoded, Problem, Steps, excerpt, finished, refuse_depth
from resolver.entries import BYTE_ORDER_MARK, FAILURES, SPACE, Member, doubled, members, quotes
from resolver.errors import InvalidDocument, InvalidVersion, listed
from resolver.nesting import closed
from resolver.version import canonical, is_version

_strict_map = msgspec.json.Decoder(dict[str, dict[str, str]])
_pointers = msgspec.json.Decoder(dict[str, str])
_raw_map = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)

#: The field of a component that holds its type.
TYPE = "$type"

#: Bytes of a piece, at least: some 80 components.
_PIECE = 8 * 1024
#: Bytes that are searched at once: a part may be a whole document.
_WINDOW = 64 * 1024
#: The work of one step, about a millisecond in WebAssembly, counted in pieces that are known already. To check a new
#: piece and compress it takes fifteen times as long.
_STEP = 40
_NEW = 15
#: The quickest compression. The next ones take a third longer and save a twentieth.
_QUICKLY = 1
#: Components whose decoded pointers are kept; then they are decoded again.
_MOST_DECODED = 4096
#: Bad entries that are named one by one.
_MOST_PROBLEMS = 1000
#: Bad entries that are kept for a piece. A piece with more of them is read again to name them.
_MOST_TOLD = 4


class Piece(NamedTuple):
    """Some neighbouring components of a version map, as a JSON object of their own."""

    #: Of its text; a piece is recognised by it.
    digest: bytes
    packed: bytes
    #: The first and the last name, if all are in order; else None.
    span: tuple[str, str] | None
    #: Whether every pointer that is kept is written canonically.
    plain: bool
    #: Where something is bad: what is good, how much is bad, and what that is, if it is little.
    good: bytes | None = None
    bad: int = 0
    told: tuple[Problem, ...] = ()

    @property
    def text(self) -> bytes:
        """The object's text, as it stands in the map."""
        return decompress(self.packed)

    def names(self) -> list[str]:
        """The names of all components, good or bad."""
        return list(self.components()) if self.good is None else _read(self.text)[2]

    def components(self) -> dict[str, msgspec.Raw]:
        """What is good in it, not decoded any further."""
        return _raw_map.decode(self._kept)

    def pointers(self) -> dict[str, dict[str, str]]:
        """What is good in it."""
        found = _strict_map.decode(self._kept)
        for pointers in found.values():
            pointers.pop(TYPE, None)
        return found if self.plain else {name: _canonical(pointers) for name, pointers in found.items()}

    @property
    def _kept(self) -> bytes:
        return decompress(self.packed if self.good is None else self.good)


class VersionMap(Mapping[str, Mapping[str, str]]):
    """The pointers of a version map, each component's decoded when it is asked for.

    Where the names are in order, as in all that is published, a component's piece is found by halving, else by a
    table. `problems` are the entries that were dropped.
    """

    __slots__ = ("_around", "_decoded", "_firsts", "_pieces", "_places", "_revision", "_types", "problems")

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
        self._types: dict[str, str] = {}
        self._revision: str | None = None

    @property
    def types(self) -> Mapping[str, str]:
        """The type of each component of which the map says it."""
        return _Types(self)

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
            for name in piece.components():
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

    def bytes_beside(self, other: VersionMap) -> int:
        """The bytes of memory that its text takes besides that of another map: they share what is the same."""
        shared = {piece.digest for piece in other._pieces}
        own = (piece for piece in self._pieces if piece.digest not in shared)
        return sum(len(piece.packed) + len(piece.good or b"") for piece in own)

    def _find(self, name: str) -> Mapping[str, str] | None:
        number = bisect_right(self._firsts, name) - 1 if self._places is None else self._places.get(name, -1)
        raw = None if number < 0 else self._pieces[number].components().get(name)
        if raw is None:
            return None
        found = _pointers.decode(raw)
        type = found.pop(TYPE, None)
        if len(self._decoded) >= _MOST_DECODED:
            self._decoded.clear()
            self._types.clear()
        if type is not None:
            self._types[name] = type
        self._decoded[name] = found = _canonical(found)
        return found

    def _stands(self, name: str, number: int) -> bool:
        """Whether a name counts in this piece."""
        return self._places is None or self._places[name] == number


class _Items(ItemsView[str, Mapping[str, str]]):
    _mapping: VersionMap

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        for number, piece in enumerate(self._mapping._pieces):
            for name, pointers in piece.pointers().items():
                if self._mapping._stands(name, number):
                    yield name, pointers


class _Types(Mapping[str, str]):
    def __init__(self, pointers: VersionMap) -> None:
        self._pointers = pointers

    def __getitem__(self, name: str) -> str:
        self._pointers[name]
        return self._pointers._types[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._pointers if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class MapReader:
    """Reads one version map: `take` each part of it, then `end`.

    Where `{a}` and `{b}` are JSON objects with members, `{a,b}` is the object of the members of both: so pieces that
    can each be decoded are the document, wherever they were cut. All raise `InvalidDocument`.
    """

    def __init__(self, previous: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._before = previous if isinstance(previous, VersionMap) else None
        self._known = {piece.digest: piece for piece in self._before._pieces} if self._before else {}
        #: Versions that are known to be canonical.
        self._usual: set[str] = set()
        #: The brace that opens the document, and what stands before it.
        self._opening = b""
        self._pieces: list[Piece] = []
        #: What is not cut yet, how many bytes came before it, and how many of its bytes have no place to cut.
        self._rest = bytearray()
        self._gone = 0
        self._searched = 0
        self._size = _PIECE
        self._work = 0

    def take(self, part: str | bytes) -> Steps[None]:
        """Read on."""
        # Half a surrogate pair is no UTF-8, and makes the entry bad that it stands in.
        part = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        for start in range(0, len(part), _WINDOW):
            self._rest += part[start : start + _WINDOW]
            if self._opening or self._opened():
                yield from self._cut()

    def end(self) -> Steps[VersionMap]:
        """The map that was read; the previous one where it is the same."""
        body = self._rest.rstrip(SPACE)
        if not self._opening or not body.endswith(b"}"):
            raise InvalidDocument("not a JSON object: it does not begin with { and end with }", field=VERSION_MAP)
        around = self._opening, bytes(self._rest[len(body) - 1 :])
        if self._pieces and not body[:-1].strip():
            raise InvalidDocument(f"not a JSON object: a comma too many before byte {self._gone}", field=VERSION_MAP)
        last = bytes(body[:-1])
        try:
            self._add(last)
        except InvalidDocument as error:
            counted = f", counted from byte {self._gone - 1}" if self._pieces else ""
            raise InvalidDocument(_why(b"{%b}" % last, error) + counted, field=VERSION_MAP) from None
        before, pieces = self._before, self._pieces
        if before is not None and around == before._around and pieces == before._pieces:
            return before
        places, doubled = yield from _table(pieces)
        problems = yield from _problems(pieces, doubled)
        return VersionMap(around, pieces, places, problems)

    def _opened(self) -> bool:
        if BYTE_ORDER_MARK.startswith(self._rest):
            # As much of one as there is.
            return False
        body = self._rest.removeprefix(BYTE_ORDER_MARK).lstrip(SPACE)
        if body and not body.startswith(b"{"):
            raise InvalidDocument("not a JSON object: it does not begin with { and end with }", field=VERSION_MAP)
        if body:
            self._gone = len(self._rest) - len(body) + 1
            self._opening = bytes(self._rest[: self._gone])
            self._rest = body[1:]
        return bool(body)

    def _cut(self) -> Steps[None]:
        start = 0
        while stop := self._rest.find(b"},", max(start + self._size, self._searched)) + 1:
            try:
                self._add(bytes(self._rest[start:stop]))
            except InvalidDocument:
                # That comma stood within something.
                self._size *= 2
                self._work += _STEP
            else:
                start, self._size = stop + 1, _PIECE
            if self._work >= _STEP:
                self._work = 0
                yield
        del self._rest[:start]
        self._gone += start
        self._searched = max(0, len(self._rest) - 1)

    def _add(self, members: bytes) -> None:
        text = b"{%b}" % members
        digest = blake2b(text, digest_size=16).digest()
        piece = self._known.get(digest)
        self._work += 1 if piece else _NEW
        piece = piece or _piece(digest, text, self._usual)
        self._work += _STEP if piece.bad else 0
        self._pieces.append(piece)


def decode_version_map(
    text: str | bytes, previous: Mapping[str, Mapping[str, str]] | None = None
) -> Decoded[VersionMap]:
    """The version map, read at once. Raises `InvalidDocument` when it is not a JSON object."""
    reader = MapReader(previous)
    finished(reader.take(text))
    pointers = finished(reader.end())
    return Decoded(pointers, pointers.problems)


def _piece(digest: bytes, text: bytes, usual: set[str]) -> Piece:
    """A piece with every entry checked; `usual` are versions that are known to be canonical."""
    try:
        pointers = _strict_map.decode(text)
        wanted = 2 * len(pointers) + 4 * sum(map(len, pointers.values()))
        types = {found.pop(TYPE, "prompt") for found in pointers.values()}
        versions = set[str]().union(*map(dict.values, pointers.values())) - usual
    except FAILURES:
        pointers, types, versions, wanted = {}, set(), {""}, 0
    if types <= DIRECTORIES.keys() and all(map(is_version, versions)) and quotes(text) == wanted:
        usual |= {version for version in versions if version.startswith("v")}
        return Piece(digest, compress(text, _QUICKLY), _span(list(pointers)), versions <= usual)
    if not closed(text):
        raise InvalidDocument("not a JSON object: something is opened and never closed", field=VERSION_MAP)
    refuse_depth(VERSION_MAP, text)
    good, problems, names = _read(text)
    kept = compress(msgspec.json.encode(good), _QUICKLY)
    told = tuple(problems) if len(problems) <= _MOST_TOLD else ()
    return Piece(digest, compress(text, _QUICKLY), _span(names), True, kept, len(problems), told)


def _span(names: list[str]) -> tuple[str, str] | None:
    return (names[0], names[-1]) if names and names == sorted(names) else None


def _why(text: bytes, error: InvalidDocument) -> str:
    """Why a document is refused, and at which byte."""
    try:
        refuse_depth(VERSION_MAP, text)
        _raw_map.decode(text)
    except FAILURES as failure:
        return f"not a JSON object: {failure}"
    except InvalidDocument as deep:
        return deep.detail
    return error.detail


def _table(pieces: Sequence[Piece]) -> Steps[tuple[dict[str, int] | None, set[str]]]:
    """The number of the piece that has each name, None where all names are in order; and the names that are in two.

    These have the number -1.
    """
    spans = [piece.span for piece in pieces]
    if all(spans) and all(left[1] < right[0] for left, right in itertools.pairwise(filter(None, spans))):
        return None, set()
    places: dict[str, int] = {}
    doubled: set[str] = set()
    for number, piece in enumerate(pieces):
        names = dict.fromkeys(piece.names(), number)
        doubled |= places.keys() & names.keys()
        places |= names
        if number % (_STEP // 4) == 0:
            yield
    places.update(dict.fromkeys(doubled, -1))
    return places, doubled


def _problems(pieces: Sequence[Piece], doubled: set[str]) -> Steps[tuple[Problem, ...]]:
    """All that was bad, up to a number."""
    problems: list[Problem] = []
    bad = 0
    for piece in pieces:
        if piece.bad:
            bad += piece.bad
            if len(problems) < _MOST_PROBLEMS:
                problems += piece.told or _read(piece.text)[1]
            yield
    problems = list(dict.fromkeys([*problems, *map(_twice, sorted(doubled))]))
    more = max(0, bad + len(doubled) - _MOST_PROBLEMS)
    if more:
        problems[_MOST_PROBLEMS:] = [Problem(VERSION_MAP, "", f"{more} more entries are as bad")]
    return tuple(problems)


def _read(text: bytes) -> tuple[dict[str, dict[str, str]], list[Problem], list[str]]:
    """What is good in an object of components, written canonically, what is bad, and all names that can be read.

    Raises `InvalidDocument`.
    """
    found = members(text)
    if found is None:
        raise InvalidDocument("not a JSON object: a comma, a colon or a name stands wrong", field=VERSION_MAP)
    problems: list[Problem] = []
    listed = {}
    twice = _unnamed_and_doubled(found, "", problems)
    for name, value, fault in found:
        component = None if fault else _component(name, value, problems)
        if component is not None and name not in twice:
            listed[name] = component
    return listed, problems, [name for name, _, fault in found if not fault]


def _unnamed_and_doubled(found: list[Member], prefix: str, problems: list[Problem]) -> list[str]:
    """The names that stand more than once; they and those that cannot be read are put down as problems."""
    twice = doubled(found)
    problems += [Problem(VERSION_MAP, prefix + name, fault) for name, _, fault in found if fault]
    problems += [_twice(prefix + name) for name in twice]
    return twice


def _twice(entry: str) -> Problem:
    return Problem(VERSION_MAP, entry, "it stands more than once, and each is dropped; keep one of them")


def _component(name: str, value: bytes, problems: list[Problem]) -> dict[str, str] | None:
    """The pointers of one component, without those that are bad; None where it is no object."""
    try:
        pointers = _pointers.decode(value)
        if quotes(value) == 4 * len(pointers) and pointers.get(TYPE, "prompt") in DIRECTORIES:
            return _canonical(pointers)
    except (*FAILURES, InvalidVersion):
        pass
    found = members(value)
    if found is None:
        problems.append(Problem(VERSION_MAP, name, f"{excerpt(value)} is not an object environment → version"))
        return None
    good: dict[str, str] = {}
    twice = _unnamed_and_doubled(found, f"{name}.", problems)
    for environment, version, fault in found:
        if fault or environment in twice:
            continue
        if environment == TYPE:
            _type(name, version, good, problems)
            continue
        try:
            good[environment] = canonical(_text.decode(version))
        except FAILURES:
            detail = f"{excerpt(version)} is not a version in quotes"
            problems.append(Problem(VERSION_MAP, f"{name}.{environment}", detail))
        except InvalidVersion as error:
            problems.append(Problem(VERSION_MAP, f"{name}.{environment}", error.detail))
    return good


def _type(name: str, written: bytes, good: dict[str, str], problems: list[Problem]) -> None:
    """A component's type, put where it is good."""
    try:
        type = _text.decode(written)
    except FAILURES:
        type = ""
    if type in DIRECTORIES:
        good[TYPE] = type
    else:
        detail = f"{excerpt(written)} is no type; there are {listed(DIRECTORIES)}"
        problems.append(Problem(VERSION_MAP, f"{name}.{TYPE}", detail))


def revision_of(text: str) -> str:
    """A revision for a map without one, as written by hand: the beginning of its SHA-256."""
    return _revision(sha256(text.encode(errors="surrogatepass")).hexdigest())


def _revision(digest: str) -> str:
    return f"sha256:{digest[:16]}"


def _canonical(component: Mapping[str, str]) -> dict[str, str]:
    return {name: found if name == TYPE else canonical(found) for name, found in component.items()}
