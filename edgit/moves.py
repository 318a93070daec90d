"""What commands do to the ledger and the tags: move pointers, make versions, adopt, restore.

Rules:

- each is one entry, or none where nothing would change, and one transaction; all or nothing;
- a version is immutable: what goes live under its name is the file that was released under it;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgit.chain import Chain
from edgit.desk import Desk, VersionTag, kept_version, pointer_tag, restored_version
from edgit.errors import Refused
from edgit.ledger import Created, Entry, Moved, State, instant
from edgit.repository import Foreign, World
from edgit.tags import Tag, tag_name, tag_ref
from resolver.version import canonical

__all__ = ["Desk", "Outcome", "Wish", "adopt", "create_version", "move", "restore_version", "take_over"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A pointer and where it shall be; None to remove it."""

    component: str
    environment: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did to the repository."""

    entries: tuple[Entry, ...] = ()
    #: Wishes that were so already.
    unchanged: tuple[Wish, ...] = ()
    #: What was done besides, for the operator to read.
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    #: The pointers that were moved, or put on record.
    moved: tuple[Moved, ...] = ()

    @property
    def generation(self) -> int | None:
        return self.entries[-1].generation if self.entries else None


def move(
    desk: Desk,
    world: World,
    wishes: Sequence[Wish],
    *,
    verb: str = "deploy",
    reason: str | None = None,
    dry_run: bool = False,
    expected: Mapping[tuple[str, str], str | None] | None = None,
) -> Outcome:
    """Move pointers, all or none, as one entry. `expected` says what must be live before, for a careful caller."""
    chain = begin(desk, world)
    wishes = [replace(wish, version=canonical(wish.version)) if wish.version else wish for wish in wishes]
    foreign = {(found.component, found.environment): found for found in world.differences[0]}
    strange = [foreign[pointer] for wish in wishes if (pointer := (wish.component, wish.environment)) in foreign]
    # A tag that means nothing is moved on, even to the version that is live already.
    lost = {(f.component, f.environment) for f in strange if record_foreign(desk, world, chain, f) is None}
    created = _released(desk, world, chain, wishes)
    moved: list[Moved] = []
    unchanged: list[Wish] = []
    for wish in wishes:
        pointer = (wish.component, wish.environment)
        live = chain.pointers.get(wish.component, {}).get(wish.environment)
        if expected is not None and expected.get(pointer, live) != live:
            raise Refused(f"{wish.component} {wish.environment} is at {live or 'nothing'} by now; nothing was moved")
        if live == wish.version and pointer not in lost:
            unchanged.append(wish)
        else:
            moved.append(_moved(world, chain, wish, live))
    if moved:
        summary = f"{verb}: {moved[0]}" if len(moved) == 1 else f"{verb}: {len(moved)} pointers, {_environments(moved)}"
        chain.add(summary, [*created, *moved], _files(world, created), reason=reason)
    return _done(desk, chain, moved, unchanged, dry_run=dry_run)


def _moved(world: World, chain: Chain, wish: Wish, live: str | None) -> Moved:
    """A pointer's move, with its tag moved in the chain's transaction."""
    existing = world.tags.environments.get(wish.component, {}).get(wish.environment)
    # A tag of an older form, which the tool that wrote it still reads, goes on under its name.
    ref = existing.ref if existing else tag_ref(wish.component, wish.environment)
    before = existing.id if existing else None
    tag: str | None = None
    at: VersionTag | None = None
    if wish.version is not None:
        at = kept_version(chain, world, wish.component, wish.version)
        tag = pointer_tag(chain, ref, wish.component, wish.version, wish.environment, at)
    chain.set_ref(ref, tag, before)
    return Moved(wish.component, wish.environment, live, wish.version, before, tag, at.id if at else None)


def _released(desk: Desk, world: World, chain: Chain, wishes: Sequence[Wish]) -> list[Created]:
    """The versions among the wishes that the ledger does not know yet. Raises `EdgitError` where a version is not
    there, `Refused` where it has no file, or by now another one than it was released with."""
    tags: dict[tuple[str, str], Tag] = {}
    for wish in wishes:
        if wish.version is None:
            continue
        tagged = world.tags.versions.get(wish.component, {})
        if wish.version not in tagged and world.ledger and wish.version in chain.versions.get(wish.component, {}):
            desk.notes.append(f"{tag_name(wish.component, wish.version)} was deleted, and is back from the ledger")
        else:
            tags[wish.component, wish.version] = world.version_tag(wish.component, wish.version)
    commits = world.commits_of(tag.id for tag in tags.values())
    files = world.files_at((name, commits[tag.id]) for (name, _), tag in tags.items() if tag.id in commits)
    unknown: dict[str, dict[str, Tag]] = {}
    for (name, version), tag in tags.items():
        recorded = chain.versions.get(name, {}).get(version)
        file = files.get((name, commits.get(tag.id, "")))
        if recorded is None:
            if file is None:
                raise Refused(
                    f"{name} {version} has no file at the commit of its tag",
                    hint=f"name the file in .edgit/components.json, or look: git show {tag_name(name, version)}",
                )
            unknown.setdefault(name, {})[version] = tag
        elif file and file.blob != recorded:
            raise Refused(
                f"the tag of {name} {version} was moved to another file; the ledger has the one that was released",
                hint=f"next: edgit tag restore {name} {version}, and release the other file under a new version",
            )
    return world.creations(unknown, dated=True) if unknown else []


def _files(world: World, created: Sequence[Created]) -> dict[tuple[str, str], str]:
    return {(c.component, c.version): world.located[c.component, c.commit].blob for c in created}


def _done(
    desk: Desk, chain: Chain, moved: Sequence[Moved] = (), unchanged: Sequence[Wish] = (), *, dry_run: bool
) -> Outcome:
    """Commit the chain, unless it is only to be told."""
    if not dry_run:
        chain.commit(desk)
    return Outcome(tuple(chain.entries), tuple(unchanged), tuple(desk.notes), dry_run, tuple(moved))


def _environments(moved: Sequence[Moved]) -> str:
    return ", ".join(sorted({move.environment for move in moved}))


def begin(desk: Desk, world: World) -> Chain:
    """A chain on top of the ledger, begun from the tags where there is none yet."""
    if world.ledger:
        return Chain(world.git, world.ledger.last, world.state)
    chain = Chain(world.git, None, State())
    first = world.genesis
    if first:
        chain.add(first.summary, first.changes, _files(world, [c for c in first.changes if isinstance(c, Created)]))
        desk.notes.append(f"began the ledger from {len(first.changes)} tags that were here")
    return chain


def record_foreign(desk: Desk, world: World, chain: Chain, found: Foreign) -> Entry | None:
    """Put on record that another tool moved a pointer: by whom and when its tag says."""
    said = found.meaning
    name = tag_name(found.component, found.environment)
    if said.version is None:
        desk.notes.append(f"{name} was moved by another tool, and what it means cannot be told: {said.problem}")
        return None
    known = said.version in chain.versions.get(found.component, {})
    version_tag = None if known else world.trace_of(found.component, said.version)
    created = world.creations({found.component: {said.version: version_tag}}, dated=True) if version_tag else []
    if not known and not created:
        desk.notes.append(f"{name} was moved by another tool to {said.version}, whose file is nowhere to be found")
        return None
    previous = world.ledger.last_moves.get((found.component, found.environment)) if world.ledger else None
    moved = Moved(
        found.component,
        found.environment,
        chain.pointers.get(found.component, {}).get(found.environment),
        said.version,
        previous.tag if previous else None,
        found.tag.id,
        said.version_tag,
    )
    _, _, now, _ = chain.identity
    when = instant(min(said.at, now) if said.at is not None else now)
    who = said.actor or "unknown <>"
    entry = chain.add(f"adopt: {moved}", [*created, moved], _files(world, created), author=(who, when))
    desk.notes.append(f"on record now: {name} was moved to {said.version} by {name_of(who)}, with another tool")
    return entry


def name_of(actor: str) -> str:
    """A person without the address."""
    return actor.rpartition(" <")[0] or actor


def adopt(desk: Desk, world: World, only: Sequence[str] = (), *, dry_run: bool = False) -> Outcome:
    """Put on record what other tools have moved and which versions they have made."""
    chain = begin(desk, world)
    foreign = [found for found in world.differences[0] if not only or found.component in only]
    for found in sorted(foreign, key=lambda found: (found.meaning.at or 0, found.component, found.environment)):
        record_foreign(desk, world, chain, found)
    rest = {
        name: {v: tag for v, tag in tags.items() if v not in chain.versions.get(name, {})}
        for name, tags in world.untold_versions.items()
        if not only or name in only
    }
    created = world.creations({name: tags for name, tags in rest.items() if tags}, dated=True)
    if created:
        what = created[0].name if len(created) == 1 else f"{len(created)} versions"
        chain.add(f"adopt: {what}", created, _files(world, created))
    moved = [change for entry in chain.entries for change in entry.changes if isinstance(change, Moved)]
    return _done(desk, chain, moved, dry_run=dry_run)


def create_version(
    desk: Desk, world: World, component: str, version: str, commit: str, message: str, *, dry_run: bool = False
) -> Outcome:
    """Tag a version of a component at a commit, and put it on record. From the same file again it is the same version;
    from another one it is refused."""
    version = canonical(version)
    file = world.file_at(component, commit)
    if file is None:
        raise Refused(
            f"{component} has no file at {commit[:10]}", hint="commit it first, or name it in .edgit/components.json"
        )
    chain = begin(desk, world)
    existing = world.tags.versions.get(component, {}).get(version)
    recorded = chain.versions.get(component, {}).get(version)
    tagged = world.commits_of([existing.id]).get(existing.id) if existing else None
    there = world.file_at(component, tagged) if tagged else None
    if (existing or recorded) and (recorded or (there.blob if there else None)) != file.blob:
        raise Refused(
            f"{component} {version} exists already, and versions never change",
            hint=f"next: edgit tag create {component} with a version that is free; "
            f"the highest is {world.versions(component)[0]}",
        )
    if recorded and not (there and there.blob == recorded):
        became = "moved to another file" if existing else "deleted"
        raise Refused(
            f"{component} {version} exists already, and its tag was {became}",
            hint=f"next: edgit tag restore {component} {version}",
        )
    if recorded:
        return _done(desk, chain, unchanged=[Wish(component, version, version)], dry_run=dry_run)
    _check_text(world, file.path, file.blob)
    tag = existing.id if existing else chain.tag(tag_name(component, version), commit, "commit", message)
    if not existing:
        chain.set_ref(tag_ref(component, version), tag, None)
    created = Created(component, version, tag, tagged or commit, file.type, file.path)
    chain.add(f"version: {created}", [created], {(component, version): file.blob})
    return _done(desk, chain, dry_run=dry_run)


def _check_text(world: World, path: str, blob: str) -> None:
    try:
        world.git.read([blob])[blob].body.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text (byte {error.start}), and KV holds text") from None


def restore_version(desk: Desk, world: World, component: str, version: str, *, dry_run: bool = False) -> Outcome:
    """Bring back the tag of a version that the ledger knows, at its commit, or at a new one that holds its file."""
    world.known(component)
    version = canonical(version)
    recorded = world.state.versions.get(component, {}).get(version) if world.ledger else None
    existing = world.tags.versions.get(component, {}).get(version)
    commit = world.commits_of([existing.id]).get(existing.id) if existing else None
    file = world.file_at(component, commit) if commit else None
    if recorded and file and file.blob == recorded:
        return Outcome((), (Wish(component, version, version),), tuple(desk.notes), dry_run)
    chain = begin(desk, world)
    tag = restored_version(chain, world, component, version)
    chain.set_ref(existing.ref if existing else tag_ref(component, version), tag.id, existing.id if existing else None)
    desk.notes.append(f"{tag_name(component, version)} is back")
    return _done(desk, chain, dry_run=dry_run)


def take_over(desk: Desk, world: World, generation: int, reason: str, *, dry_run: bool = False) -> Outcome:
    """An entry without a change whose generation is above that of a KV that this ledger shall replace."""
    chain = begin(desk, world)
    if chain.tip is None:
        raise Refused("there is nothing to publish yet", hint="next: edgit tag create NAME v1.0.0")
    if chain.tip.generation <= generation:
        chain.tip = replace(chain.tip, generation=generation)
        chain.add(f"take over a KV at generation {generation}", [], {}, reason=reason)
    return _done(desk, chain, dry_run=dry_run)
