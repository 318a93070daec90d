"""A ledger in memory, for what publishes from one: a `Source` whose past can be looked at, and branched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1

from edgit.kv.publication import Content, Publication
from edgit.kv.store import Kv, KvFailed, KvValue, KvWrite
from resolver.documents import (
    VERSION_MAP,
    Move,
    Release,
    content_key,
    decode_history,
    decode_index,
    decode_map_metadata,
    history_key,
    index_key,
)
from resolver.snapshot import Pointers
from resolver.version import highest
from resolver.version_map import decode_version_map

BEGIN = datetime(2024, 11, 1, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """One entry: a version that was tagged (`data` is its file), or a pointer that was moved."""

    component: str
    version: str | None
    environment: str | None = None
    data: bytes = b""
    actor: str = "somebody"


@dataclass(frozen=True)
class Ledger:
    """Entries in order. Every step is a generation; the revision is a digest of all of them."""

    steps: tuple[Step, ...] = ()
    salt: str = ""
    asked: list[str] = field(default_factory=list, compare=False)

    def tag(self, component: str, version: str, data: str | bytes | None = None) -> Ledger:
        raw = f"{component} {version}\n" if data is None else data
        step = Step(component, version, data=raw.encode() if isinstance(raw, str) else raw)
        return Ledger((*self.steps, step), self.salt)

    def move(self, component: str, environment: str, version: str | None, actor: str = "somebody") -> Ledger:
        return Ledger((*self.steps, Step(component, version, environment, actor=actor)), self.salt)

    def at(self, generation: int) -> Ledger:
        return Ledger(self.steps[:generation], self.salt)

    @property
    def generation(self) -> int:
        return len(self.steps)

    @property
    def revision(self) -> str:
        return sha1(repr((self.salt, self.steps)).encode()).hexdigest()

    def pointers_at(self, revision: str) -> Pointers | None:
        for generation in range(len(self.steps), -1, -1):
            if self.at(generation).revision == revision:
                return self.at(generation).pointers
        return None

    @property
    def pointers(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for step in self.steps:
            pointers = found.setdefault(step.component, {})
            if step.environment is None or step.version is None:
                pointers.pop(step.environment or "", None)
            else:
                pointers[step.environment] = step.version
        for name, pointers in found.items():
            versions = [s.version for s in self.steps if s.component == name and not s.environment and s.version]
            named = {"latest": highest(versions), "stable": highest(versions, stable=True)}
            pointers |= {environment: version for environment, version in named.items() if version}
        return found

    def publication(self) -> Publication:
        self.asked.append("publication")
        moves: dict[str, list[Move]] = {}
        releases: dict[str, list[Release]] = {}
        contents: dict[tuple[str, str], Content] = {}
        for generation, step in enumerate(self.steps, start=1):
            at = BEGIN + timedelta(hours=generation)
            if step.environment is not None:
                move = Move(at, step.environment, step.version, step.actor, generation)
                moves.setdefault(step.component, []).append(move)
            elif step.version is not None:
                releases.setdefault(step.component, []).append(Release(step.version, at))
                blob = sha1(step.data).hexdigest()
                contents[step.component, step.version] = Content("prompt", f"{generation:040x}", blob, generation)
        return Publication(
            self.generation,
            self.revision,
            self.pointers,
            {name: tuple(found) for name, found in moves.items()},
            {name: tuple(found) for name, found in releases.items()},
            contents,
        )

    def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        self.asked.append(f"read {len(blobs)}")
        known = {sha1(step.data).hexdigest(): step.data for step in self.steps if step.environment is None}
        return {blob: known[blob] for blob in blobs if blob in known}


def sample() -> Ledger:
    """The page's story: v1.1.0 goes to production, is bad, and is rolled back."""
    return (
        Ledger()
        .tag("my-prompt", "v1.0.0")
        .move("my-prompt", "prod", "v1.0.0", "ci")
        .tag("other", "v0.1.0-rc.1")
        .tag("my-prompt", "v1.1.0")
        .move("my-prompt", "prod", "v1.1.0", "ci")
        .move("my-prompt", "prod", "v1.0.0", "on-call")
        .move("my-prompt", "prod-canary", "v1.1.0", "ci")
        .move("my-prompt", "prod-canary", None, "on-call")
    )


class MemoryKv:
    """A KV in memory that can break off: the call that would be one too many raises, as a killed process would."""

    name = "KV in memory"
    record = "memory"

    def __init__(self, data: Mapping[str, KvValue] | None = None) -> None:
        self.data: dict[str, KvValue] = dict(data or {})
        self.calls: list[tuple[str, int]] = []
        self.written: list[str] = []
        #: How many single writes are left until it breaks off; a bulk write is cut in its middle.
        self.left: int | None = None

    def get_many(self, keys: Sequence[str]) -> dict[str, KvValue | None]:
        self.calls.append(("get", len(keys)))
        return {key: self.data.get(key) for key in keys}

    def put_many(self, writes: Sequence[KvWrite]) -> None:
        self.calls.append(("put", len(writes)))
        for write in writes:
            if self.left == 0:
                raise KvFailed("broken off")
            if self.left is not None:
                self.left -= 1
            self.data[write.key] = KvValue(write.value, write.metadata)
            self.written.append(write.key)

    def list_keys(self, prefix: str) -> dict[str, object]:
        self.calls.append(("list", 1))
        return {key: self.data[key].metadata for key in sorted(self.data) if key.startswith(prefix)}

    def delete_many(self, keys: Sequence[str]) -> None:
        self.calls.append(("delete", len(keys)))
        for key in keys:
            self.data.pop(key, None)


def everything(kv: Kv) -> dict[str, KvValue | None]:
    """All that a KV holds."""
    return kv.get_many(list(kv.list_keys("")))


def assert_right(kv: Kv) -> int:
    """What a reader relies on at every instant: each pointer has its content, index and history entry, and all can be
    decoded. The generation of the map, 0 for none."""
    held = everything(kv)
    entry = held.get(VERSION_MAP)
    if entry is None:
        return 0
    decoded = decode_version_map(entry.value)
    assert decoded.problems == ()
    generation = decode_map_metadata(entry.metadata).generation or 0
    for name, pointers in decoded.value.items():
        index, history = held.get(index_key(name)), held.get(history_key(name))
        assert index is not None
        releases = decode_index(index_key(name), index.value)
        moves = decode_history(history_key(name), history.value if history else "[]")
        assert (releases.problems, moves.problems) == ((), ())
        for version in pointers.values():
            assert held.get(content_key(name, version)) is not None, (name, version)
            assert version in {release.version for release in releases.value}
        # Of the moves that the map shows the last one of each pointer is what the map says; later ones may be there.
        last = {m.environment: m.version for m in moves.value if (m.generation or 0) <= generation}
        live = {environment: version for environment, version in last.items() if version is not None}
        assert live == {e: v for e, v in pointers.items() if e not in ("latest", "stable")}
    return generation
