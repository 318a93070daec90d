"""Everything that changes the ledger and the tags.

Rules:

- one command moves at a time in a repository: a lock that its children share, and that ends with the last of them;
- objects are written first; then the ledger and the tags move in one transaction, the ledger before the tags;
- what a transaction will do is written down before it begins, so that the next command finishes what a kill cut short;
- what other tools have moved is put on record before it is moved again: nothing that was live is ever lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from edgit.errors import EdgitError, Refused
from edgit.git import FILE_MODE, TREE_MODE, Git, Object, RefUpdate, TreeEntry
from edgit.ledger import LEDGER, Change, Created, Entry, Moved, State, instant, seconds, write_message
from edgit.repository import Foreign, World
from edgit.tags import Tag, tag_name, tag_ref
from resolver.version import canonical

#: How long a command waits for another one, in seconds.
LOCK_WAIT = 30.0
#: How long a lock file of git's must have stayed until it is taken for one that was left behind, in seconds.
STALE_AFTER = 1.0


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

    @property
    def moved(self) -> tuple[Moved, ...]:
        """The pointers that the wishes moved."""
        last = self.entries[-1:] if self.entries else ()
        return tuple(change for entry in last for change in entry.changes if isinstance(change, Moved))

    @property
    def generation(self) -> int | None:
        return self.entries[-1].generation if self.entries else None


class Chain:
    """New entries on top of the ledger, with all objects that they need; nothing is written until `commit`."""

    def __init__(self, git: Git, tip: Entry | None, state: State) -> None:
        self.git = git
        self.before = tip.id if tip else None
        self.tip = tip
        self.entries: list[Entry] = []
        self.pointers = {name: dict(found) for name, found in state.pointers.items()}
        self.versions = {name: dict(found) for name, found in state.versions.items()}
        self._objects: dict[str, Object] = {}
        self._tree = self._tree_of(tip.id) if tip else None
        #: Ref → (what it must be at, what it becomes). The first word of a command about a ref is what it must be at.
        self.updates: dict[str, tuple[str | None, str | None]] = {}

    def put(self, object: Object) -> str:
        """Keep an object for `commit`; its id."""
        id = self.git.id(object)
        self._objects[id] = object
        return id

    def tag(self, name: str, target: str, kind: str, message: str, at: int | None = None) -> str:
        """An annotated tag; its id."""
        who, address, now, zone = self.git.identity()
        head = f"object {target}\ntype {kind}\ntag {name}\ntagger {who} <{address}> {at or now} {zone}\n\n"
        return self.put(Object("tag", (head + message.strip() + "\n").encode()))

    def set_ref(self, ref: str, new: str | None, old: str | None) -> None:
        """Move a ref in the transaction."""
        must = self.updates[ref][0] if ref in self.updates else old
        self.updates[ref] = (must, new)

    def add(
        self,
        summary: str,
        changes: Sequence[Change],
        files: Mapping[tuple[str, str], str],
        *,
        reason: str | None = None,
        author: tuple[str, datetime] | None = None,
        at: datetime | None = None,
    ) -> Entry:
        """One more entry. `files` holds the object ids of new versions' files; `author` is who made a move that is only
        recorded now, and when."""
        name, address, now, zone = self.git.identity()
        floor = seconds(self.tip.at) if self.tip else 0
        moment = max(seconds(at) if at else now, floor)
        edits: dict[str, str | None] = {}
        for change in changes:
            if isinstance(change, Created):
                blob = files[change.component, change.version]
                edits[f"versions/{change.component}/{change.version}"] = blob
                self.versions.setdefault(change.component, {})[change.version] = blob
            else:
                value = None if change.after is None else self.put(Object("blob", f"{change.after}\n".encode()))
                edits[f"components/{change.component}/{change.environment}"] = value
                found = self.pointers.setdefault(change.component, {})
                if change.after is None:
                    found.pop(change.environment, None)
                else:
                    found[change.environment] = change.after
        self._tree = self.edited(self._tree, edits)
        generation = self.tip.generation + 1 if self.tip else 1
        committer = f"{name} <{address}>"
        who, authored = author or (committer, instant(moment))
        parent = f"parent {self.tip.id}\n" if self.tip else ""
        message = write_message(summary, changes, generation, reason)
        body = (
            f"tree {self._tree}\n{parent}author {_person(who)} {seconds(authored)} {zone}\n"
            f"committer {committer} {moment} {zone}\n\n{message}"
        )
        id = self.put(Object("commit", body.encode()))
        entry = Entry(
            id,
            self.tip.id if self.tip else None,
            generation,
            instant(moment),
            _person(who),
            summary,
            tuple(changes),
            reason,
            authored,
        )
        self.tip = entry
        self.entries.append(entry)
        return entry

    def commit(self, desk: Desk) -> None:
        """Write the objects and move the ledger and the tags, all or none."""
        updates = [RefUpdate(ref, new, old) for ref, (old, new) in self.updates.items() if new != old]
        if self.tip and self.tip.id != self.before:
            updates.insert(0, RefUpdate(LEDGER, self.tip.id, self.before))
        if updates:
            self.git.write(self._objects.values())
            desk.transact(updates)

    def _tree_of(self, commit: str) -> str:
        return self.git.text("rev-parse", commit + "^{tree}")

    def _trees(self, ids: Iterable[str]) -> dict[str, dict[str, TreeEntry]]:
        wanted = set(ids)
        here = {id: self._objects[id] for id in wanted if id in self._objects}
        here |= self.git.read(wanted - set(here))
        return {id: self.git.tree(object.body) for id, object in here.items()}

    def edited(self, root: str | None, edits: Mapping[str, str | None]) -> str:
        """The tree with these files set, or taken away where the id is None. Reads a level of folders at a time."""
        folders: dict[str, dict[str, TreeEntry]] = {"": self._trees([root])[root] if root else {}}
        needed = {"/".join(path.split("/")[:depth]) for path in edits for depth in range(1, path.count("/") + 1)}
        for level in range(1, max((path.count("/") for path in edits), default=0) + 1):
            at_level = [folder for folder in needed if folder.count("/") == level - 1]
            ids: dict[str, str] = {}
            for folder in at_level:
                parent, _, name = folder.rpartition("/")
                entry = folders[parent].get(name)
                if entry and not entry.is_tree:
                    raise _clash(folder)
                if entry:
                    ids[folder] = entry.id
            read = self._trees(ids.values())
            for folder in at_level:
                folders[folder] = read[ids[folder]] if folder in ids else {}
        for path, blob in edits.items():
            folder, _, name = path.rpartition("/")
            there = folders[folder].get(name)
            if there and there.is_tree:
                raise _clash(path)
            if blob is None:
                folders[folder].pop(name, None)
            else:
                folders[folder][name] = TreeEntry(FILE_MODE, blob)
        for folder in sorted(needed, key=lambda folder: -folder.count("/")):
            parent, _, name = folder.rpartition("/")
            if folders[folder]:
                folders[parent][name] = TreeEntry(TREE_MODE, self.put(self.git.tree_object(folders[folder])))
            else:
                folders[parent].pop(name, None)
        return self.put(self.git.tree_object(folders[""]))


def _clash(path: str) -> EdgitError:
    shown = path.partition("/")[2]
    return Refused(
        f"`{shown}` cannot be both a component's folder and a name in it: git keeps each as a file or a folder",
        hint="choose another name for the component or the environment",
    )


def _person(text: str) -> str:
    name, _, address = text.rpartition(" <")
    clean = "".join(character for character in name if character not in "<>\n;").strip() or "unknown"
    return f"{clean} <{address.rstrip('>')}>"


@dataclass
class Desk:
    """Where a command works: the repository, its lock, and what happened besides."""

    git: Git
    sleep: Callable[[float], None] = time.sleep
    notes: list[str] = field(default_factory=list)

    @property
    def _folder(self) -> Path:
        return self.git.folder / "edgit"

    @property
    def _pending(self) -> Path:
        return self._folder / "pending.json"

    @contextmanager
    def locked(self) -> Iterator[World]:
        """The world, with the lock held and whatever was left unfinished finished."""
        self._folder.mkdir(exist_ok=True)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._acquire(descriptor)
            self.git.inherited = (descriptor,)
            self._recover()
            world = World(self.git)
            yield self._catch_up(world)
        finally:
            self.git.inherited = ()
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refused(
                        "another edgit command is at work in this repository", hint="wait for it to end, then try again"
                    ) from None
                self.sleep(0.05)
            else:
                return

    def transact(self, updates: Sequence[RefUpdate]) -> None:
        """Move refs, all or none; killed in between, the next command finishes it."""
        whole = [[update.ref, update.new, update.old] for update in updates]
        temporary = self._pending.with_suffix(".new")
        temporary.write_text(json.dumps(whole), "utf-8")
        temporary.replace(self._pending)
        try:
            self.git.update_refs(updates)
        except Refused:
            self._pending.unlink(missing_ok=True)
            raise
        except EdgitError:
            # git itself was killed, or found a lock that nobody holds: finish, or say why not.
            self._recover(retry=True)
            return
        self._pending.unlink(missing_ok=True)

    def _recover(self, *, retry: bool = False) -> None:
        """Finish a transaction that was cut short. Its writers are dead: the lock that we hold was theirs too."""
        if not self._pending.exists():
            return
        try:
            updates = [RefUpdate(*update) for update in json.loads(self._pending.read_text("utf-8"))]
        except (ValueError, TypeError):
            updates = []
        self._clear_locks(updates)
        refs = self.git.refs(*[update.ref for update in updates]) if updates else {}
        first = updates[0] if updates else None
        begun = first is not None and refs.get(first.ref) == first.new
        if begun or retry:
            rest = [update for update in updates if refs.get(update.ref) == update.old and update.new != update.old]
            self.git.update_refs(rest)
            if begun and rest:
                names = ", ".join(update.ref.removeprefix("refs/tags/") for update in rest)
                self.notes.append(f"finished what an earlier command had begun: {names}")
        self._pending.unlink(missing_ok=True)

    def _clear_locks(self, updates: Sequence[RefUpdate]) -> None:
        locks = [self.git.folder / f"{name}.lock" for name in (*(update.ref for update in updates), "packed-refs")]
        left = [lock for lock in locks if lock.exists()]
        if not left:
            return
        self.sleep(STALE_AFTER)
        for lock in left:
            try:
                lock.unlink()
            except FileNotFoundError:
                continue
            self.notes.append(f"removed a lock that a killed command had left: {lock.relative_to(self.git.folder)}")

    def _catch_up(self, world: World) -> World:
        """Tags that have not followed the ledger follow it now."""
        _, behind = world.differences
        updates = []
        for pointer in behind:
            name = tag_name(pointer.component, pointer.environment)
            if pointer.tag is not None and not world.git.check([pointer.tag]):
                self.notes.append(f"{name} lacks its tag, and the tag's object is not here; next: edgit pull")
                continue
            updates.append(RefUpdate(pointer.ref, pointer.tag, pointer.found))
            self.notes.append(f"{name} follows the ledger: {pointer.version or 'removed'}")
        if not updates:
            return world
        self.transact(updates)
        return World(self.git)


# What commands do


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
    foreign = {(f.component, f.environment): f for f in world.differences[0]}
    for wish in wishes:
        if found := foreign.get((wish.component, wish.environment)):
            record_foreign(desk, world, chain, found)
    versions: dict[str, dict[str, Tag]] = {}
    for wish in wishes:
        live = chain.pointers.get(wish.component, {}).get(wish.environment)
        if expected is not None and expected.get((wish.component, wish.environment), live) != live:
            raise Refused(f"{wish.component} {wish.environment} is at {live or 'nothing'} by now; nothing was moved")
        if wish.version is None:
            continue
        tag = world.version_tag(wish.component, canonical(wish.version))
        _unchanged_file(world, wish.component, canonical(wish.version), tag)
        if canonical(wish.version) not in chain.versions.get(wish.component, {}):
            versions.setdefault(wish.component, {})[canonical(wish.version)] = tag
    created = world.creations(versions, dated=True)
    _all_found(versions, created)
    moved: list[Moved] = []
    unchanged: list[Wish] = []
    for wish in wishes:
        live = chain.pointers.get(wish.component, {}).get(wish.environment)
        version = canonical(wish.version) if wish.version is not None else None
        if live == version:
            unchanged.append(wish)
            continue
        existing = world.tags.environments.get(wish.component, {}).get(wish.environment)
        ref = tag_ref(wish.component, wish.environment)
        if existing and existing.ref != ref:
            # A tag of an older form, which the tool that wrote it still reads: it goes on under its name.
            ref = existing.ref
        version_tag = world.version_tag(wish.component, version).id if version else None
        new: str | None = None
        if version_tag is not None:
            message = f"Deploy {wish.component}@{version} to {wish.environment}"
            new = chain.tag(ref.removeprefix("refs/tags/"), version_tag, kind_of(world.git, version_tag), message)
        before = existing.id if existing else None
        chain.set_ref(ref, new, before)
        moved.append(Moved(wish.component, wish.environment, live, version, before, new, version_tag))
    if not moved:
        if chain.entries and not dry_run:
            chain.commit(desk)
        return Outcome(tuple(chain.entries), tuple(unchanged), tuple(desk.notes), dry_run)
    files = {(c.component, c.version): world.located[c.component, c.commit].blob for c in created}
    summary = f"{verb}: {moved[0]}" if len(moved) == 1 else f"{verb}: {len(moved)} pointers, {_environments(moved)}"
    chain.add(summary, [*created, *moved], files, reason=reason)
    if not dry_run:
        chain.commit(desk)
    return Outcome(tuple(chain.entries), tuple(unchanged), tuple(desk.notes), dry_run)


def _environments(moved: Sequence[Moved]) -> str:
    return ", ".join(sorted({move.environment for move in moved}))


def kind_of(git: Git, id: str) -> str:
    """What kind of object an id names."""
    return git.text("cat-file", "-t", id)


def _unchanged_file(world: World, component: str, version: str, tag: Tag) -> None:
    """A version is immutable: one whose tag was moved to another file must not go live under the same name."""
    recorded = world.state.versions.get(component, {}).get(version) if world.ledger else None
    if recorded is None:
        return
    commit = world.commits_of([tag.id]).get(tag.id)
    file = world.file_at(component, commit) if commit else None
    if file and file.blob != recorded:
        raise Refused(
            f"the tag of {component} {version} was moved to another file; the ledger has the one that was released",
            hint=f"next: edgit tag restore {component} {version}, and release the other file under a new version",
        )


def _all_found(wanted: Mapping[str, Mapping[str, Tag]], created: Sequence[Created]) -> None:
    found = {(created.component, created.version) for created in created}
    for component, tags in wanted.items():
        for version in tags:
            if (component, version) not in found:
                raise Refused(
                    f"{component} {version} has no file at the commit of its tag",
                    hint=f"name the file in .edgit/components.json, or look: git show {tag_name(component, version)}",
                )


def begin(desk: Desk, world: World) -> Chain:
    """A chain on top of the ledger, begun from the tags where there is none yet."""
    if world.ledger:
        return Chain(world.git, world.ledger.last, world.ledger.state())
    chain = Chain(world.git, None, State())
    first = world.genesis
    if first:
        files = {
            (c.component, c.version): world.located[c.component, c.commit].blob
            for c in first.changes
            if isinstance(c, Created)
        }
        chain.add(first.summary, first.changes, files)
        desk.notes.append(f"began the ledger from {len(first.changes)} tags that were here")
    return chain


def record_foreign(desk: Desk, world: World, chain: Chain, found: Foreign) -> Entry | None:
    """Put on record that another tool moved a pointer: by whom and when its tag says."""
    said = found.meaning
    name = tag_name(found.component, found.environment)
    if said.version is None:
        desk.notes.append(f"{name} was moved by another tool, and what it means cannot be told: {said.problem}")
        return None
    tags = world.tags.versions.get(found.component, {})
    wanted = {found.component: {said.version: tags[said.version]}} if said.version in tags else {}
    fresh = {
        component: {
            version: tag for version, tag in versions.items() if version not in chain.versions.get(component, {})
        }
        for component, versions in wanted.items()
    }
    created = world.creations(fresh, dated=True)
    files = {(c.component, c.version): world.located[c.component, c.commit].blob for c in created}
    before = chain.pointers.get(found.component, {}).get(found.environment)
    previous = world.ledger.touching(found.component, found.environment) if world.ledger else None
    moved = Moved(
        found.component,
        found.environment,
        before,
        said.version,
        previous.tag if previous else None,
        found.tag.id,
        said.version_tag,
    )
    _, _, now, _ = world.git.identity()
    when = instant(min(said.at, now)) if said.at is not None else instant(now)
    who = said.actor or "unknown <>"
    entry = chain.add(f"adopt: {moved}", [*created, moved], files, author=(who, when), at=when)
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
        files = {(c.component, c.version): world.located[c.component, c.commit].blob for c in created}
        what = created[0].name if len(created) == 1 else f"{len(created)} versions"
        chain.add(f"adopt: {what}", created, files)
    if not dry_run:
        chain.commit(desk)
    return Outcome(tuple(chain.entries), (), tuple(desk.notes), dry_run)


def create_version(
    desk: Desk, world: World, component: str, version: str, commit: str, message: str, *, dry_run: bool = False
) -> Outcome:
    """Tag a version of a component at a commit, and put it on record."""
    version = canonical(version)
    existing = world.tags.versions.get(component, {}).get(version)
    recorded = world.state.versions.get(component, {}).get(version)
    file = world.file_at(component, commit)
    if file is None:
        raise Refused(
            f"{component} has no file at {commit[:10]}", hint="commit it first, or name it in .edgit/components.json"
        )
    if existing or recorded:
        at = world.commits_of([existing.id]).get(existing.id) if existing else None
        before = world.file_at(component, at) if at else None
        same = (before.blob if before else recorded) == file.blob
        if existing and same and (not world.ledger or recorded):
            chain = begin(desk, world)
            if chain.entries and not dry_run:
                chain.commit(desk)
            return Outcome(tuple(chain.entries), (Wish(component, version, version),), tuple(desk.notes), dry_run)
        if not (existing and same):
            raise Refused(
                f"{component} {version} exists already, and versions never change",
                hint=f"next: edgit tag create {component} with a version that is free; "
                f"the highest is {world.versions(component)[0]}",
            )
    blob = world.git.read([file.blob])[file.blob].body
    try:
        blob.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{file.path} is not UTF-8 text (byte {error.start}), and KV holds text") from None
    chain = begin(desk, world)
    if existing and version in chain.versions.get(component, {}):
        if not dry_run:
            chain.commit(desk)
        return Outcome(tuple(chain.entries), (Wish(component, version, version),), tuple(desk.notes), dry_run)
    tag = existing.id if existing else chain.tag(tag_name(component, version), commit, "commit", message)
    if not existing:
        chain.set_ref(tag_ref(component, version), tag, None)
    created = Created(component, version, tag, commit, file.type, file.path)
    chain.add(f"version: {created}", [created], {(component, version): file.blob})
    if not dry_run:
        chain.commit(desk)
    return Outcome(tuple(chain.entries), (), tuple(desk.notes), dry_run)


def restore_version(desk: Desk, world: World, component: str, version: str, *, dry_run: bool = False) -> Outcome:
    """Bring back the tag of a version that the ledger knows, at its commit, or at a new one that holds its file."""
    world.known(component)
    version = canonical(version)
    recorded = world.state.versions.get(component, {}).get(version) if world.ledger else None
    if recorded is None or world.ledger is None:
        raise EdgitError(
            f"the ledger has no {component} {version}; it has "
            f"{', '.join(sorted(world.state.versions.get(component, {}))) or 'none'}"
        )
    existing = world.tags.versions.get(component, {}).get(version)
    made = next(
        created
        for entry in reversed(world.entries)
        for created, _, _ in entry.creations
        if (created.component, created.version) == (component, version)
    )
    if existing:
        commit = world.commits_of([existing.id]).get(existing.id)
        file = world.file_at(component, commit) if commit else None
        if file and file.blob == recorded:
            return Outcome((), (Wish(component, version, version),), tuple(desk.notes), dry_run)
    chain = begin(desk, world)
    name = tag_name(component, version)
    ref = existing.ref if existing else tag_ref(component, version)
    there = world.git.check([made.tag, made.commit])
    if made.tag in there:
        tag = made.tag
    else:
        commit = made.commit if made.commit in there else _lone_commit(chain, made, recorded)
        tag = chain.tag(name, commit, "commit", f"{component} {version}, restored from the ledger")
    chain.set_ref(ref, tag, existing.id if existing else None)
    if not dry_run:
        chain.commit(desk)
    return Outcome(tuple(chain.entries), (), (*desk.notes, f"{name} is back"), dry_run)


def _lone_commit(chain: Chain, made: Created, blob: str) -> str:
    """A commit without parents that holds a version's file and nothing else: its own commit is gone for good."""
    name, address, now, zone = chain.git.identity()
    path = made.path or f"components/{made.component}"
    tree = chain.edited(None, {path: blob})
    person = f"{name} <{address}> {now} {zone}"
    message = f"{made.component} {made.version}, restored from the ledger\n\nIts commit {made.commit} is gone.\n"
    return chain.put(Object("commit", f"tree {tree}\nauthor {person}\ncommitter {person}\n\n{message}".encode()))


def take_over(desk: Desk, world: World, generation: int, reason: str, *, dry_run: bool = False) -> Outcome:
    """An entry without a change whose generation is above that of a KV that this ledger shall replace."""
    chain = begin(desk, world)
    if chain.tip is None:
        raise Refused("there is nothing to publish yet", hint="next: edgit tag create NAME v1.0.0")
    if chain.tip.generation <= generation:
        chain.tip = replace(chain.tip, generation=generation)
        chain.add(f"take over a KV at generation {generation}", [], {}, reason=reason)
    if not dry_run:
        chain.commit(desk)
    return Outcome(tuple(chain.entries), (), tuple(desk.notes), dry_run)
