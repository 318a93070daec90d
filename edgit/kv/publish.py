"""Publishing: bringing a KV to what git says, in an order in which it can be stopped anywhere.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from edgit.errors import Refused
from edgit.kv.comparison import (
    MapComparison,
    MapKind,
    PointerDifference,
    PublishedMap,
    attributed,
    compare_with_git,
    differences,
    histories_of,
    read_map,
    shown,
    trimmed,
    without_derived,
)
from edgit.kv.conductor import Layout, SlotWrite, layout_of
from edgit.kv.local import LocalKv
from edgit.kv.plan import bullet_list, content_metadata, nearly_outgrown
from edgit.kv.prepare import CHUNK, PreparedPublish, chunks, prepare
from edgit.kv.publication import DERIVED, PublicationSource, VersionKey
from edgit.kv.quarantine import HeldBack
from edgit.kv.store import Kv, KvValue, KvWrite, wait_until_visible
from edgit.ledger.published import PublishedChange, PublishedState
from resolver.documents import VERSION_MAP, content_key, version_map_key
from resolver.snapshot import Pointers

Progress = Callable[[int, int, str], None]
"""Called with how many writes are done, how many there are, and what is being done."""


class GenerationAnnouncer(Protocol):
    """Tells isolates the number of a generation; `edgit.announce` has those that there are."""

    @property
    def url(self) -> str:
        """Where isolates hear it."""

    def announce(self, generation: int) -> tuple[str, ...]:
        """Tell it; what went wrong."""

    def standing(self) -> int | None:
        """The number that is told now, as far as it is known."""


#: How long the map of one generation stays under its own key, in seconds: isolates ask for it within a minute.
KEPT_FOR = 86_400


class PublishRefused(Refused):
    """KV holds what git does not know; `differences` are where."""

    def __init__(self, detail: str, *, hint: str | None = None, differences: Sequence[PointerDifference] = ()) -> None:
        super().__init__(detail, hint=hint)
        self.differences = tuple(differences)


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publish did, or would do with `dry_run`.

    `written` counts by kind: contents, indexes, histories, map. `changed` are the pointers that requests see
    differently now; in them `kv` is what KV had before, and `git` what it has now. `announced` is the URL at which the
    generation was announced, None where it was not. `held_back` are the pointers whose versions KV cannot hold; all
    else is published. `change` is what requests saw of it, None for a dry run.
    """

    target: str
    dry_run: bool
    generation_before: int | None
    generation: int
    revision: str
    written: Mapping[str, int] = field(default_factory=dict)
    changed: tuple[PointerDifference, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    announced: str | None = None
    held_back: tuple[HeldBack, ...] = ()
    change: PublishedChange | None = None

    @property
    def nothing(self) -> bool:
        """Whether KV was up to date."""
        return not any(self.written.values())


def utc_now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


def _no_progress(_done: int, _total: int, _what: str) -> None:
    pass


def publish(
    source: PublicationSource,
    kv: Kv,
    *,
    now: Callable[[], datetime] = utc_now,
    progress: Progress = _no_progress,
    dry_run: bool = False,
    replace: bool = False,
    full: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    announcer: GenerationAnnouncer | None = None,
    layout: Layout | None = None,
    recorded: PublishedState | None = None,
) -> PublishReport:
    """Bring KV to the tip of the ledger.

    `layout` says which further keys there shall be; None keeps to what KV was published with.

    `recorded` is what is on record as published last: what of it a pull has put after others is no stranger's.

    `replace` publishes over a map that git does not know, which takes a generation above KV's; `full` compares
    everything with KV and not only what has changed since KV's generation. Raises `PublishRefused`, `Refused` for
    what KV cannot hold as a whole, and `KvFailed`.
    """
    # In whole seconds, as git dates its record: `?at=` and `edgit history --date` have one answer.
    started, at = time.monotonic(), now().replace(microsecond=0)
    held, found = compare_with_git(source, kv, recorded)
    _refuse(source, kv, held, found, replace)
    before_layout = layout_of(held.entry if held else None) or "plain"
    layout = layout or before_layout
    changed: tuple[PointerDifference, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    if found.kind == "current" and not full and layout == before_layout and not found.held_back:
        assert held is not None
        written, warnings = {"contents": 0, "indexes": 0, "histories": 0, "map": 0}, nearly_outgrown(held.entry.value)
        told = None if dry_run else _caught_up(kv, announcer, held.entry, source.generation)
        pointers = held.pointers
    else:
        publication = source.publication()
        work = prepare(source, kv, publication, held, found, lambda: at, full or replace, layout)
        written, warnings = work.plan.counts | ({"slots": work.slots.total} if work.slots.total else {}), work.warnings
        held_back, publication = work.held_back, work.publication
        changed = differences(held.pointers if held else {}, trimmed(publication.pointers))
        told = None if dry_run else _carry_out(kv, work, held, progress, sleep, announcer)
        pointers = trimmed(publication.pointers)
    return PublishReport(
        target=kv.name,
        dry_run=dry_run,
        generation_before=held.generation if held else None,
        generation=source.generation,
        revision=source.revision,
        written=written,
        changed=changed,
        warnings=(*warnings, *(told or ())),
        seconds=time.monotonic() - started,
        announced=_where(announcer, told),
        held_back=held_back,
        change=None if dry_run else _change(source, held, pointers, at),
    )


def _change(source: PublicationSource, held: PublishedMap | None, pointers: Pointers, at: datetime) -> PublishedChange:
    """What requests see differently since a publish."""
    shown = PublishedState(without_derived(pointers), source.generation, source.revision)
    before = PublishedState(without_derived(held.pointers), held.generation, held.revision) if held else None
    return PublishedChange(before, shown, at)


# Refusals


def _refuse(source: PublicationSource, kv: Kv, held: PublishedMap | None, found: MapComparison, replace: bool) -> None:
    if found.publishable:
        return
    assert held is not None
    lower = held.generation is None or held.generation < source.generation
    if replace and lower:
        return
    told = attributed(found.differences, histories_of(kv, found.differences))
    ours = shown(source.generation, source.revision)
    listed = bullet_list([*map(str, told), *found.faults]) or "  no pointer differs, the ledgers do"
    if replace:
        raise PublishRefused(
            f"{kv.name} holds {held.shown}, git has {ours}: what replaces it must have a higher generation\n{listed}",
            hint="`edgit pull`, or any move (`edgit deploy set …`), makes one",
            differences=told,
        )
    raise PublishRefused(
        f"{kv.name} {_reason(found.kind, held, ours)}\n{listed}", hint=_hint(found.kind, told), differences=told
    )


def _reason(kind: MapKind, held: PublishedMap, ours: str) -> str:
    unknown = "publishing would undo what git does not know"
    return {
        "ahead": f"holds {held.shown}, git has {ours}: {unknown}",
        "diverged": f"holds {held.shown}, which git's ledger ({ours}) does not know: {unknown}",
        "edited": f"was changed by hand since {held.shown} was published: publishing would undo it",
        "by hand": "holds a version map that was written by hand: publishing would undo it",
    }.get(kind, "holds a version map that cannot be read")


def _hint(kind: MapKind, told: Sequence[PointerDifference]) -> str:
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
    return f"take each over into git:\n{bullet_list(takes)}\nor {replace}" if takes else replace


# Carrying out


def _carry_out(
    kv: Kv,
    work: PreparedPublish,
    held: PublishedMap | None,
    progress: Progress,
    sleep: Callable[[float], None],
    announcer: GenerationAnnouncer | None,
) -> tuple[str, ...] | None:
    """Write what is planned. Gives what went wrong when it was announced, None where it was not."""
    told = None
    planned = work.plan
    done, total = 0, planned.total + work.slots.total
    for part in chunks(planned.contents, CHUNK):
        progress(done, total, "contents")
        kv.put_many(_content_writes(work, part))
        done += len(part)
    for documents in chunks(planned.documents, CHUNK):
        progress(done, total, "index and history")
        kv.put_many(documents)
        done += len(documents)
    if planned.map is not None:
        _refuse_overtaking(kv, held)
    for slots in chunks(work.slots.writes, CHUNK):
        progress(done, total, "Conductor's keys")
        kv.put_many(_slot_writes(work, slots))
        done += len(slots)
    if work.slots.gone:
        kv.delete_many(work.slots.gone)
        done += len(work.slots.gone)
    if planned.map is not None:
        progress(done, total, "version map")
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


def _caught_up(
    kv: Kv, announcer: GenerationAnnouncer | None, entry: KvValue, generation: int
) -> tuple[str, ...] | None:
    """Announce what KV has already, if that was not done: an earlier publish may have been stopped before it."""
    if announcer is None or announcer.standing() == generation:
        return None
    kv.put_many([_kept(KvWrite(VERSION_MAP, entry.value, entry.metadata), generation)])
    return announcer.announce(generation)


def _kept(map: KvWrite, generation: int) -> KvWrite:
    """The version map under the key of its generation, which never has another value."""
    return map._replace(key=version_map_key(generation), expires_after=KEPT_FOR)


def _where(announcer: GenerationAnnouncer | None, told: tuple[str, ...] | None) -> str | None:
    return announcer.url if announcer is not None and told == () else None


def _forget(kv: Kv, generation: int) -> None:
    """Remove the maps of earlier generations from a file, in which nothing expires by itself."""
    if isinstance(kv, LocalKv):
        known = kv.list_keys(version_map_key(0).removesuffix("0"))
        kv.delete_many([key for key in known if key != version_map_key(generation)])


def _content_writes(work: PreparedPublish, versions: Sequence[VersionKey]) -> list[KvWrite]:
    contents = {version: work.publication.contents[version] for version in versions}
    data = work.files.read(content.blob for content in contents.values())
    return [
        KvWrite(content_key(*version), data[content.blob].decode(), content_metadata(content, work.fits[version]))
        for version, content in contents.items()
    ]


def _slot_writes(work: PreparedPublish, slots: Sequence[SlotWrite]) -> list[KvWrite]:
    contents = work.publication.contents
    data = work.files.read(contents[slot.content].blob for slot in slots if not isinstance(slot.content, str))
    return [
        KvWrite(
            slot.key,
            slot.content if isinstance(slot.content, str) else data[contents[slot.content].blob].decode(),
            slot.metadata,
        )
        for slot in slots
    ]


def _refuse_overtaking(kv: Kv, held: PublishedMap | None) -> None:
    entry = kv.get_many([VERSION_MAP])[VERSION_MAP]
    if entry != (held.entry if held else None):
        there = read_map(entry)
        raise PublishRefused(
            f"another publisher got between: {kv.name} now holds {there.shown if there else 'no map'}; "
            "the map was not written",
            hint="let one publish at a time; then publish again",
        )


def _verify(kv: Kv, written: KvWrite, held: PublishedMap | None, sleep: Callable[[float], None]) -> None:
    entry = wait_until_visible(kv, written, held.entry if held else None, sleep)
    if entry != KvValue(written.value, written.metadata):
        there = read_map(entry)
        raise PublishRefused(
            f"another publisher got between: {kv.name} holds {there.shown if there else 'no map'}, "
            "not what was just written",
            hint="let one publish at a time; `edgit status` shows what KV has, `edgit publish` goes on from there",
        )
