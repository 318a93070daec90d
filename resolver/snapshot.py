"""A snapshot, from which a request is resolved, and the resolver that answers from it.

Rules:

- a request uses one snapshot for all that it resolves;
- a `Resolver` remembers what it has found out about its snapshot. That depends on the snapshot alone, so its answers
  are the same whether it remembers or not;
- the components of a group draw once: all that have a canary run it, or none does. The group's percentage is the
  smallest of theirs. A component without a canary, where another has one, runs its stable version, with a note;
- a pinned version is itself. Whoever can ask what exists says so in `Pins`;
- a component is found by its key. That is its name, or type and name (`schemas/answer`) where a component of another
  type had the name before. A reference that asks for a type takes the key with the type where there is one. Else it
  takes the name, unless the component of that name is known to have another type.

How a selector is looked up:

| Selector                               | Version                                              | Route     |
|----------------------------------------|------------------------------------------------------|-----------|
| `v1.2.3`                               | itself                                               | `pinned`  |
| environment E, or none: the request's  | with region R, `E-R` where that pointer exists       | `region`  |
|                                        | else `E`                                             | `pointer` |
|                                        | but that pointer's `-canary` if the bucket says so   | `canary`  |
| `latest`, `stable`                     | the pointer of that name                             | `pointer` |
|                                        | else the index's highest (without pre-release)       | `range`   |
| a range                                | the index's highest in it                            | `range`   |
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from resolver.errors import NotFound, listed, nearest
from resolver.expression import UNDEFINED, Scope
from resolver.reference import EXTENSIONS, Reference, renamed
from resolver.rollout import Canary, Percentage, RolloutTable, group_salt, salt
from resolver.version import highest, parse_range

Pointers = Mapping[str, Mapping[str, str]]
"""Component → environment (or `latest`, `stable`) → version."""

Pin: TypeAlias = tuple[str, str]
"""A component and a version of it that a reference names."""

Route = Literal["pinned", "pointer", "canary", "range", "region"]

# The structs below are `gc=False`: they hold text and JSON, which cannot refer back to them. So the garbage collector
# does not have to walk the hundreds that a request makes.

#: Names looked through for a "did you mean"; a map can hold 100,000.
_SUGGESTED_FROM = 500
#: How many draws a resolver remembers. Then it forgets all, so that made-up regions cannot turn the memory off.
MOST_REMEMBERED = 4_096

_Where: TypeAlias = str | tuple[object, ...]
"""Where versions are looked for: an environment alone, which is found quicker, or one with region and group."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a request is resolved from, read together.

    `rollout` is None where the percentages are not known, which only happens for an instant in the past. `indexes`
    holds the versions of the components whose index was wanted; None where there is no index.
    """

    pointers: Pointers
    rollout: RolloutTable | None = field(default_factory=RolloutTable)
    indexes: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    revision: str | None = None
    generation: int | None = None
    #: The types that are known, by component.
    types: Mapping[str, str] = field(default_factory=dict)


class Pins(NamedTuple):
    """What is known of pinned versions. One that stands in neither field exists.

    `absent` says that a version does not exist, and what exists instead. `unchecked` are those that nobody could ask
    about: they are served, with a note.
    """

    absent: Mapping[Pin, str] = {}
    unchecked: frozenset[Pin] = frozenset()


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a request says. Without a `key` no canary takes it; the edge draws one for a request that has none."""

    scope: Scope = Scope(UNDEFINED)
    environment: str = "prod"
    region: str | None = None
    key: str | None = None
    pins: Pins = Pins()


class Choice(msgspec.Struct, frozen=True, gc=False):
    """A component's version, why it was chosen, and what the reader should know about it besides."""

    component: str
    version: str
    route: Route
    note: str | None = None
    type: str | None = None


class Draw(msgspec.Struct, frozen=True, gc=False):
    """All that a pointer's choice depends on, except for the key: `stable` is what is served unless `canary` takes the
    request, which then runs `candidate`; `without` where no canary may take part."""

    without: Choice
    stable: Choice
    candidate: Choice
    canary: Canary | None = None


# Found by identity, not by its fields: it is looked up for each decision.
@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The components of an ensemble that draw together. `members` are its references that name a pointer."""

    name: str
    members: tuple[Reference, ...]


class Resolver:
    """Answers from one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        #: What was found out about pointers and ranges of the snapshot, by place and component.
        self._found: dict[_Where, dict[str, Draw]] = {}
        #: The components that were found by a type and a name.
        self._components: dict[str, str] = {}

    def component(self, reference: Reference) -> str:
        """The key of the component that is meant. Raises `NotFound` where one of that name has another type."""
        if reference.type is None:
            return reference.name
        typed = reference.typed
        try:
            return self._components[typed]
        except KeyError:
            found = _component(reference, self.snapshot)
            if len(self._components) >= MOST_REMEMBERED:
                self._components.clear()
            self._components[typed] = found
            return found

    def choose(
        self, reference: Reference, request: Request, group: Group | None = None, *, canary: bool = True
    ) -> Choice:
        """The version of one reference. Raises `NotFound`, which says what exists instead.

        With `canary=False` no canary takes part: the version that is served where a canary's content is missing.
        """
        selector = reference.selector
        wanted = request.environment if selector is None else selector.environment
        if wanted is None:
            return self._by_version(reference, request.pins)
        name = reference.name if reference.type is None else self.component(reference)
        region = request.region
        where = wanted if region is None and group is None else (wanted, region, group and (group, request.environment))
        try:
            draw = self._found[where][name]
        except KeyError:
            snapshot = self.snapshot
            members = [] if group is None else self._canaries(group, request)
            draw = _draw(_pointer(name, wanted, region, snapshot), group, members, request, snapshot)
            self._remember(where, name, draw)
        if not canary:
            return draw.without
        key, drawn = request.key, draw.canary
        if drawn is None or key is None:
            return draw.stable
        return draw.candidate if drawn.takes(key) else draw.stable

    def indexes_needed(self, references: Iterable[Reference]) -> frozenset[str]:
        """The components whose index is wanted to resolve the references and is not in the snapshot."""
        snapshot = self.snapshot
        needed: set[str] = set()
        for reference in references:
            selector = reference.selector
            if selector is None or selector.environment is not None or selector.kind == "version":
                continue
            name = self.known(reference)
            if name is None:
                continue
            pointed = selector.kind != "range" and selector.text in snapshot.pointers.get(name, {})
            if not pointed and name not in snapshot.indexes:
                needed.add(name)
        return frozenset(needed)

    def known(self, reference: Reference) -> str | None:
        """The key of the component that is meant; None where one of that name has another type."""
        try:
            return self.component(reference)
        except NotFound:
            return None

    def pins_of(self, references: Iterable[Reference]) -> frozenset[Pin]:
        """The versions that the references pin."""
        return frozenset(
            (name, found.selector.text)
            for found in references
            if found.selector is not None
            and found.selector.kind == "version"
            and (name := self.known(found)) is not None
        )

    def _canaries(self, group: Group, request: Request) -> list[_Pointer]:
        """Those pointers of a group that have a canary; a member that does not resolve is none."""
        found = []
        for member in group.members:
            wanted = request.environment if member.selector is None else member.selector.environment
            assert wanted is not None
            try:
                found.append(_pointer(self.component(member), wanted, request.region, self.snapshot))
            except NotFound:
                continue
        return [pointer for pointer in found if pointer.candidate is not None]

    def _by_version(self, reference: Reference, pins: Pins) -> Choice:
        """What a selector picks that is no environment. Raises `NotFound`."""
        selector, name = reference.selector, self.component(reference)
        assert selector is not None
        if selector.kind == "version":
            return _pinned((name, selector.text), pins, self.snapshot.types.get(name))
        # `@` is the name of no region: what is remembered here never meets a pointer's.
        where = (selector.text, "@", selector.kind)
        draw = self._found.get(where, {}).get(name)
        if draw is None:
            choice = _highest(name, selector.kind, selector.text, self.snapshot)
            draw = Draw(choice, choice, choice)
            self._remember(where, name, draw)
        return draw.stable

    def _remember(self, where: _Where, name: str, draw: Draw) -> None:
        if sum(map(len, self._found.values())) >= MOST_REMEMBERED:
            self._found.clear()
        self._found.setdefault(where, {})[name] = draw


def _component(reference: Reference, snapshot: Snapshot) -> str:
    name, wanted = reference.name, reference.type
    if reference.typed in snapshot.pointers:
        return reference.typed
    stem, _, ending = name.rpartition(".")
    if ending in EXTENSIONS and name not in snapshot.pointers:
        # `prompts/a.md` is how the file is called, and the component is `a`.
        return _component(renamed(reference, stem), snapshot)
    if (type := snapshot.types.get(name)) not in (None, wanted):
        raise NotFound(f"`{name}` is of the type {type}, and there is no {wanted} of that name")
    return name


def _pinned(pin: Pin, pins: Pins, type: str | None) -> Choice:
    if pins.absent and (why := pins.absent.get(pin)) is not None:
        raise NotFound(why)
    unchecked = bool(pins.unchecked) and pin in pins.unchecked
    return Choice(*pin, "pinned", "KV could not be asked whether this version exists" if unchecked else None, type)


class _Pointer(NamedTuple):
    """A pointer that a request reads: its component and environment, its version, and the canary's beside it."""

    name: str
    environment: str
    stable: Choice
    candidate: str | None


def _pointer(name: str, wanted: str, region: str | None, snapshot: Snapshot) -> _Pointer:
    """Raises `NotFound`."""
    pointers = snapshot.pointers.get(name)
    if pointers is None:
        raise NotFound(unknown_component(name, snapshot))
    environment = wanted
    version = pointers.get(wanted)
    route: Route = "pointer"
    if region and (regional := pointers.get(f"{wanted}-{region}")) is not None:
        environment, version, route = f"{wanted}-{region}", regional, "region"
    if version is None:
        raise NotFound(_unknown_environment(name, wanted, snapshot))
    stable = Choice(name, version, route, type=snapshot.types.get(name))
    return _Pointer(name, environment, stable, pointers.get(f"{environment}-canary"))


def _draw(
    pointer: _Pointer, group: Group | None, members: Sequence[_Pointer], request: Request, snapshot: Snapshot
) -> Draw:
    """What is drawn from at a pointer; `members` are those of its group that have a canary."""
    stable, candidate = pointer.stable, pointer.candidate
    if candidate is None:
        others = f", and `{members[0].name}` of its group `{group.name}` has one" if group and members else ""
        noted = replace(stable, note=f"`{pointer.name}` has no canary{others}") if others else stable
        return Draw(stable, noted, stable)
    if snapshot.rollout is None:
        note = f"the percentage of the canary {candidate} at that instant is not known"
        return Draw(stable, replace(stable, note=note), stable)
    salted = (
        salt(pointer.name, pointer.environment, candidate)
        if group is None
        else group_salt(group.name, request.environment)
    )
    share = _smallest([pointer, *members], snapshot)
    taken = replace(stable, version=candidate, route="canary")
    return Draw(stable, stable, taken, Canary.of(salted, share))


def _smallest(pointers: Iterable[_Pointer], snapshot: Snapshot) -> Percentage:
    """The smallest percentage of these: nobody faces a canary that its own percentage keeps from them."""
    rollout, types = snapshot.rollout, snapshot.types
    assert rollout is not None
    shares = [
        rollout.percentage(each.name, each.environment, types.get(each.name), each.candidate) for each in pointers
    ]
    return min(shares, key=lambda share: share.threshold)


def _highest(name: str, kind: str, text: str, snapshot: Snapshot) -> Choice:
    type = snapshot.types.get(name)
    if kind != "range" and (version := snapshot.pointers.get(name, {}).get(kind)) is not None:
        return Choice(name, version, "pointer", type=type)
    versions = snapshot.indexes.get(name)
    if versions is None:
        if name not in snapshot.pointers:
            raise NotFound(unknown_component(name, snapshot))
        raise NotFound(f"`{name}` has no list of its versions (index/{name} in KV), which `{text}` needs")
    found = parse_range(text).highest(versions) if kind == "range" else highest(versions, stable=kind == "stable")
    if found is None:
        wanted = f"no version of `{name}` " + (
            f"lies in `{text}`" if kind == "range" else "exists" if kind == "latest" else "is without pre-release"
        )
        raise NotFound(f"{wanted}; it has {listed(versions)}")
    return Choice(name, found, "range", type=type)


def unknown_component(name: str, snapshot: Snapshot) -> str:
    if not snapshot.pointers:
        return f"unknown component `{name}`; the version map is empty"
    known = list(itertools.islice(snapshot.pointers, _SUGGESTED_FROM))
    close = nearest(name, known)
    return f"unknown component `{name}`.{close}" if close else f"unknown component `{name}`; there are {listed(known)}"


def _unknown_environment(name: str, environment: str, snapshot: Snapshot) -> str:
    pointers = [pointer for pointer in snapshot.pointers[name] if pointer not in ("latest", "stable")]
    has = f"it has {listed(pointers)}" if pointers else "it has none"
    return f"unknown environment `{environment}` for `{name}`; {has}"
