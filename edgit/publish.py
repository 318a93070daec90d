"""Publishing: bringing a KV to what git says, in an order in which it can be stopped anywhere.

    publish(source, kv) -> Report          contents, then index/ and history/, then the map, then a read that verifies
    status(source, kv) -> Status           what is published, what is not yet, and what only KV has
    snapshot(kv) -> dict                   what a deployment bundles, from what is published

Rules:

- nothing is written before everything that can be refused has been refused;
- the map is read again right before it is written, and once more after. KV has no compare-and-set: this tells when
  another publisher got between, it cannot prevent it;
- a publish that is stopped anywhere has at most written things that nothing points at yet; the next one goes on;
- where generations are announced, the map stands under the key of its generation before it is the map, and its number
  is told after it. That fails no publish.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol, TypeVar

from edgit.errors import Refused
from edgit.kv import Entry, Kv, LocalKv, Write, settled
from edgit.publication import (
    DERIVED,
    WITH_LESS,
    Difference,
    Fit,
    Held,
    Kind,
    Needs,
    Plan,
    Publication,
    Source,
    Standing,
    Version,
    attributed,
    content_metadata,
    differences,
    fitness,
    judged,
    map_write,
    nearly_outgrown,
    needs,
    outgrown,
    oversized,
    plan,
    read_map,
    shown,
    some,
    standing,
    trimmed,
)
from resolver.documents import (
    ROLLOUT,
    VERSION_MAP,
    Move,
    content_key,
    decode_content_metadata,
    decode_rollout,
    encode_rollout,
    history_key,
    version_map_key,
)
from resolver.errors import InvalidDocument
from resolver.history import format_instant
from resolver.rollout import RolloutTable
from resolver.version_map import revision_of

T = TypeVar("T")
Progress = Callable[[int, int, str], None]
"""Called with how many writes are done, how many there are, and what is being done."""


class Announcing(Protocol):
    """Tells isolates the number of a generation; `edgit.announce` has those that there are."""

    @property
    def url(self) -> str:
        """Where isolates hear it."""

    def announce(self, generation: int) -> tuple[str, ...]:
        """Tell it; what went wrong."""

    def standing(self) -> int | None:
        """The number that is told now, as far as it is known."""


#: So many contents are looked up one by one; of more, KV's keys are listed.
_ASKED_FOR = 100
#: How long the map of one generation stays under its own key, in seconds: isolates ask for it within a minute.
KEPT_FOR = 86_400
#: So many files are read from git, and written, at once.
_AT_ONCE = 1000
#: Bytes of text that are kept between the look at a file and its writing; what is more is read twice.
_KEPT = 64 * 1024 * 1024


class PublishRefused(Refused):
    """KV holds what git does not know; `differences` are where."""

    def __init__(self, detail: str, *, hint: str | None = None, differences: Sequence[Difference] = ()) -> None:
        super().__init__(detail, hint=hint)
        self.differences = tuple(differences)


@dataclass(frozen=True, slots=True)
class Report:
    """What a publish did, or would do with `dry_run`.

    `written` counts by kind: contents, indexes, histories, map. `changed` are the pointers that requests see
    differently now; in them `kv` is what KV had before, and `git` what it has now. `announced` is the URL at which the
    generation was announced, None where it was not.
    """

    target: str
    dry_run: bool
    generation_before: int | None
    generation: int
    revision: str
    written: Mapping[str, int] = field(default_factory=dict)
    changed: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    announced: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether KV was up to date."""
        return not any(self.written.values())

    def as_json(self) -> dict[str, object]:
        """As the command prints it."""
        return {
            "target": self.target,
            "dry_run": self.dry_run,
            "generation_before": self.generation_before,
            "generation": self.generation,
            "revision": self.revision,
            "written": dict(self.written),
            "changed": [
                {"component": d.component, "environment": d.environment, "from": d.kv, "to": d.git}
                for d in self.changed
            ],
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
            **({"announced": self.announced} if self.announced else {}),
        }


def utc_now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


def _no_progress(_done: int, _total: int, _what: str) -> None:
    pass


def publish(
    source: Source,
    kv: Kv,
    *,
    now: Callable[[], datetime] = utc_now,
    progress: Progress = _no_progress,
    dry_run: bool = False,
    replace: bool = False,
    full: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    announcer: Announcing | None = None,
) -> Report:
    """Bring KV to the tip of the ledger.

    `replace` publishes over a map that git does not know, which takes a generation above KV's; `full` compares
    everything with KV and not only what has changed since KV's generation. Raises `PublishRefused`, `Refused` for
    contents that KV cannot hold, and `KvFailed`.
    """
    started = time.monotonic()
    held, found = _look(source, kv)
    _refuse(source, kv, held, found, replace)
    before = held.generation if held else None
    written = {"contents": 0, "indexes": 0, "histories": 0, "map": 0}
    if found.kind == "current" and not full:
        assert held is not None
        told = None if dry_run else _caught_up(kv, announcer, held.entry, source.generation)
        return Report(
            target=kv.name,
            dry_run=dry_run,
            generation_before=before,
            generation=source.generation,
            revision=source.revision,
            written=written,
            warnings=(*nearly_outgrown(held.entry.value), *(told or ())),
            seconds=time.monotonic() - started,
            announced=_where(announcer, told),
        )
    publication = source.publication()
    work = _prepared(source, kv, publication, held, found, now, full or replace)
    told = None if dry_run else _carry_out(kv, work, held, progress, sleep, announcer)
    return Report(
        target=kv.name,
        dry_run=dry_run,
        generation_before=before,
        generation=publication.generation,
        revision=publication.revision,
        written=work.plan.counts,
        changed=differences(held.pointers if held else {}, trimmed(publication.pointers)),
        warnings=(*work.warnings, *(told or ())),
        seconds=time.monotonic() - started,
        announced=_where(announcer, told),
    )


def _look(source: Source, kv: Kv) -> tuple[Held | None, Standing]:
    held = read_map(kv.get_many([VERSION_MAP])[VERSION_MAP])
    ours = source.pointers_at(source.revision) or {}
    if held is None or held.revision is None:
        theirs = None
    else:
        theirs = ours if held.revision == source.revision else source.pointers_at(held.revision)
    return held, standing(held, source.generation, source.revision, ours, theirs)


# Refusals


def _refuse(source: Source, kv: Kv, held: Held | None, found: Standing, replace: bool) -> None:
    if found.publishable:
        return
    assert held is not None
    lower = held.generation is None or held.generation < source.generation
    if replace and lower:
        return
    told = attributed(found.differences, _histories(kv, found.differences))
    ours = shown(source.generation, source.revision)
    listed = some([*map(str, told), *found.faults]) or "  no pointer differs, the ledgers do"
    if replace:
        raise PublishRefused(
            f"{kv.name} holds {held.shown}, git has {ours}: what replaces it must have a higher generation\n{listed}",
            hint="`edgit pull`, or any move (`edgit deploy set …`), makes one",
            differences=told,
        )
    raise PublishRefused(
        f"{kv.name} {_reason(found.kind, held, ours)}\n{listed}", hint=_hint(found.kind, told), differences=told
    )


def _reason(kind: Kind, held: Held, ours: str) -> str:
    unknown = "publishing would undo what git does not know"
    return {
        "ahead": f"holds {held.shown}, git has {ours}: {unknown}",
        "diverged": f"holds {held.shown}, which git's ledger ({ours}) does not know: {unknown}",
        "edited": f"was changed by hand since {held.shown} was published: publishing would undo it",
        "by hand": "holds a version map that was written by hand: publishing would undo it",
    }.get(kind, "holds a version map that cannot be read")


def _hint(kind: Kind, told: Sequence[Difference]) -> str:
    if kind in ("ahead", "diverged"):
        return (
            "`edgit pull` brings what was published from elsewhere; then publish again. "
            "If that ledger is lost, or was sample data: `edgit publish --replace`"
        )
    takes = [
        f"edgit deploy set {d.component} {d.kv} --to {d.environment}"
        if d.kv
        else f"edgit deploy unset {d.component} --from {d.environment}"
        for d in told
        if d.environment not in DERIVED and (d.kv or kind == "edited")
    ]
    replace = "publish git's state over it: `edgit publish --replace`"
    return f"take each over into git:\n{some(takes)}\nor {replace}" if takes else replace


def _histories(kv: Kv, found: Iterable[Difference]) -> dict[str, Entry | None]:
    """KV's history of the components that differ, for who and when."""
    names = sorted({difference.component for difference in found if difference.kv})
    entries = kv.get_many([history_key(name) for name in names]) if names else {}
    return {name: entries[history_key(name)] for name in names}


# Preparing


@dataclass(frozen=True, slots=True)
class _Work:
    """A plan, and what it takes to carry it out."""

    publication: Publication
    plan: Plan
    fits: Mapping[Version, Fit]
    warnings: tuple[str, ...]
    files: _Files


class _Files:
    """Git's files, as many kept in memory as there is room for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kept: dict[str, bytes] = {}
        self._room = _KEPT

    def read(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        wanted = list(dict.fromkeys(blobs))
        found = {blob: self._kept[blob] for blob in wanted if blob in self._kept}
        rest = [blob for blob in wanted if blob not in found]
        fresh = self._source.read(rest) if rest else {}
        for blob, data in fresh.items():
            if len(data) <= self._room:
                self._kept[blob] = data
                self._room -= len(data)
        return {**found, **fresh}


def _prepared(
    source: Source,
    kv: Kv,
    publication: Publication,
    held: Held | None,
    found: Standing,
    now: Callable[[], datetime],
    everything: bool,
) -> _Work:
    """What is to be written. Raises `Refused` where something cannot be."""
    since = held.generation if held and found.same_ledger else None
    asked = needs(publication, held.pointers if held else {}, None if everything else since)
    files = _Files(source)
    fits, refusals, warnings = judged(asked, _looked_at(publication, asked, files))
    if refusals:
        raise Refused(
            f"nothing was published: KV cannot hold\n{some(refusals)}",
            hint="tag a version whose file is UTF-8 text of at most 25 MiB, and let the pointers name that one",
        )
    contents = [version for version in asked.contents if version in fits]
    keys = {version: content_key(*version) for version in contents}
    stored, digests = _stored(kv, asked.documents, list(keys.values()))
    _refuse_rewriting(kv, [(keys[version], digests, fits[version]) for version in contents])
    missing = [version for version in contents if keys[version] not in digests]
    planned = plan(publication, asked, fits, held, stored, missing, since, now())
    if too_large := oversized(planned):
        raise Refused(f"nothing was published: KV cannot hold\n{some(too_large)}")
    whole = map_write(publication)
    if why := outgrown(whole, publication.pointers, held):
        raise Refused(f"nothing was published: {why}", hint=WITH_LESS)
    return _Work(publication, planned, fits, (*warnings, *nearly_outgrown(whole.value)), files)


def _looked_at(publication: Publication, asked: Needs, files: _Files) -> dict[Version, Fit | str]:
    found: dict[Version, Fit | str] = {}
    for part in _parts(asked.looked_at, _AT_ONCE):
        known = {version: publication.contents.get(version) for version in part}
        data = files.read(content.blob for content in known.values() if content)
        for version, content in known.items():
            found[version] = fitness(version, content, data.get(content.blob) if content else None)
    return found


def _stored(
    kv: Kv, documents: Sequence[str], contents: Sequence[str]
) -> tuple[dict[str, Entry | None], dict[str, str]]:
    """KV's documents, and the digest of each content that it holds."""
    few = list(contents) if len(contents) <= _ASKED_FOR else []
    entries = kv.get_many([*documents, *few])
    listed: dict[str, object] = {}
    if not few and contents:
        listed = kv.list_keys(content_key("", "").rstrip("/") + "/")
    digests = {key: digest for key in contents if (digest := decode_content_metadata(listed.get(key)).sha256)}
    # What another writer has put has no digest in its metadata: the value is the only one to ask.
    undigested = [key for key in contents if key in listed and key not in digests]
    values = entries | (kv.get_many(undigested) if undigested else {})
    for key in contents:
        entry = values.get(key)
        if entry is not None:
            digests[key] = decode_content_metadata(entry.metadata).sha256 or sha256(entry.value.encode()).hexdigest()
    return {key: entries[key] for key in documents}, digests


def _refuse_rewriting(kv: Kv, contents: Iterable[tuple[str, Mapping[str, str], Fit]]) -> None:
    other = [
        f"`{key}` has the SHA-256 {digests[key][:12]}…, git's file {fit.sha256[:12]}…"
        for key, digests, fit in contents
        if digests.get(key, fit.sha256) != fit.sha256
    ]
    if other:
        raise Refused(
            f"nothing was published: {kv.name} holds another content under a version that git has too\n{some(other)}",
            hint="a version's content never changes: tag git's file as a new version, or, if KV's was never meant, "
            "delete that key and publish again",
        )


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


# Carrying out


def _carry_out(
    kv: Kv,
    work: _Work,
    held: Held | None,
    progress: Progress,
    sleep: Callable[[float], None],
    announcer: Announcing | None,
) -> tuple[str, ...] | None:
    """Write what is planned. Gives what went wrong when it was announced, None where it was not."""
    told = None
    planned = work.plan
    done, total = 0, planned.total
    for part in _parts(planned.contents, _AT_ONCE):
        progress(done, total, "contents")
        kv.put_many(_content_writes(work, part))
        done += len(part)
    for documents in _parts(planned.documents, _AT_ONCE):
        progress(done, total, "index and history")
        kv.put_many(documents)
        done += len(documents)
    if planned.map is not None:
        progress(done, total, "version map")
        _refuse_overtaking(kv, held)
        generation = work.publication.generation
        if announcer is not None:
            kv.put_many([_kept(planned.map, generation)])
        kv.put_many([planned.map])
        if announcer is not None:
            progress(done + 1, total, "announcing")
            told = announcer.announce(generation)
        progress(done + 1, total, "verifying")
        _verify(kv, planned.map, held, sleep)
        if announcer is not None:
            _forget(kv, generation)
    elif held is not None:
        told = _caught_up(kv, announcer, held.entry, work.publication.generation)
    progress(total, total, "done")
    return told


def _caught_up(kv: Kv, announcer: Announcing | None, entry: Entry, generation: int) -> tuple[str, ...] | None:
    """Announce what KV has already, if that was not done: an earlier publish may have been stopped before it."""
    if announcer is None or announcer.standing() == generation:
        return None
    kv.put_many([_kept(Write(VERSION_MAP, entry.value, entry.metadata), generation)])
    return announcer.announce(generation)


def _kept(map: Write, generation: int) -> Write:
    """The version map under the key of its generation, which never has another value."""
    return map._replace(key=version_map_key(generation), expires_after=KEPT_FOR)


def _where(announcer: Announcing | None, told: tuple[str, ...] | None) -> str | None:
    return announcer.url if announcer is not None and told == () else None


def _forget(kv: Kv, generation: int) -> None:
    """Remove the maps of earlier generations from a file, in which nothing expires by itself."""
    if isinstance(kv, LocalKv):
        known = kv.list_keys(version_map_key(0).removesuffix("0"))
        kv.delete_many([key for key in known if key != version_map_key(generation)])


def _content_writes(work: _Work, versions: Sequence[Version]) -> list[Write]:
    contents = {version: work.publication.contents[version] for version in versions}
    data = work.files.read(content.blob for content in contents.values())
    return [
        Write(content_key(*version), data[content.blob].decode(), content_metadata(content, work.fits[version]))
        for version, content in contents.items()
    ]


def _refuse_overtaking(kv: Kv, held: Held | None) -> None:
    entry = kv.get_many([VERSION_MAP])[VERSION_MAP]
    if entry != (held.entry if held else None):
        there = read_map(entry)
        raise PublishRefused(
            f"another publisher got between: {kv.name} now holds {there.shown if there else 'no map'}; "
            "the map was not written",
            hint="let one publish at a time; then publish again",
        )


def _verify(kv: Kv, written: Write, held: Held | None, sleep: Callable[[float], None]) -> None:
    entry = settled(kv, written, held.entry if held else None, sleep)
    if entry != Entry(written.value, written.metadata):
        there = read_map(entry)
        raise PublishRefused(
            f"another publisher got between: {kv.name} holds {there.shown if there else 'no map'}, "
            "not what was just written",
            hint="let one publish at a time; `edgit status` shows what KV has, `edgit publish` goes on from there",
        )


# Looking


@dataclass(frozen=True, slots=True)
class Status:
    """How a KV stands to git.

    `moves` and `versions` are those that git has and KV's map does not show yet, known only where KV's generation is
    one of git's ledger. `differences` are the pointers that differ now (for `edited`: from what was published).
    """

    target: str
    kind: Kind
    kv_generation: int | None
    kv_revision: str | None
    generation: int
    revision: str
    moves: tuple[tuple[str, Move], ...] = ()
    versions: tuple[Version, ...] = ()
    differences: tuple[Difference, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def kv_only(self) -> tuple[Difference, ...]:
        """What KV has and git has not."""
        return () if self.kind == "behind" else tuple(found for found in self.differences if found.kv)

    def as_json(self) -> dict[str, object]:
        """As the command prints it."""
        return {
            "target": self.target,
            "state": self.kind,
            "kv": {"generation": self.kv_generation, "revision": self.kv_revision},
            "git": {"generation": self.generation, "revision": self.revision},
            "unpublished_moves": [
                {
                    "component": name,
                    "environment": move.environment,
                    "version": move.version,
                    "actor": move.actor,
                    "at": format_instant(move.at),
                    "generation": move.generation,
                }
                for name, move in self.moves
            ],
            "unpublished_versions": [{"component": name, "version": version} for name, version in self.versions],
            "differences": [difference.as_json() for difference in self.differences],
            "faults": list(self.faults),
        }


def status(source: Source, kv: Kv) -> Status:
    """How KV stands to git. Raises `KvFailed`."""
    held, found = _look(source, kv)
    moves: tuple[tuple[str, Move], ...] = ()
    versions: tuple[Version, ...] = ()
    if found.kind in ("empty", "behind", "edited") and source.generation != (held.generation if held else None):
        since = (held.generation if held else None) or 0
        publication = source.publication()
        fresh = ((name, move) for name, all_ in publication.moves.items() for move in all_)
        unpublished = [(name, move) for name, move in fresh if (move.generation or 0) > since]
        moves = tuple(sorted(unpublished, key=lambda found: (found[1].generation or 0, found[0], found[1].environment)))
        versions = tuple(sorted(v for v, content in publication.contents.items() if content.generation > since))
    return Status(
        target=kv.name,
        kind=found.kind,
        kv_generation=held.generation if held else None,
        kv_revision=held.revision if held else None,
        generation=source.generation,
        revision=source.revision,
        moves=moves,
        versions=versions,
        differences=attributed(found.differences, _histories(kv, found.differences)),
        faults=found.faults,
    )


def snapshot(kv: Kv) -> dict[str, object]:
    """What is published, as a deployment bundles it: `{"component-versions", "rollout-percentage", "generation",
    "revision"}`.

    Bad entries are left out, and a bad percentage is 0, as the edge would have it. Raises `KvFailed`, and `Refused`
    where there is nothing to bundle or it cannot be read.
    """
    entries = kv.get_many([VERSION_MAP, ROLLOUT])
    held, percentages = read_map(entries[VERSION_MAP]), entries[ROLLOUT]
    if held is None:
        raise Refused(f"{kv.name} holds no `{VERSION_MAP}`", hint="`edgit publish` writes one")
    if held.faults and not held.pointers:
        raise Refused(f"{kv.name}: `{VERSION_MAP}` cannot be read: {held.faults[0]}", hint="`edgit publish --replace`")
    try:
        table = decode_rollout(percentages.value).value if percentages else RolloutTable()
    except InvalidDocument as error:
        raise Refused(f"{kv.name}: `{ROLLOUT}` cannot be read: {error.detail}", hint="`edgit canary get`") from None
    return {
        VERSION_MAP: held.pointers,
        ROLLOUT: encode_rollout(table),
        "generation": held.generation,
        "revision": held.revision or revision_of(held.entry.value),
    }
