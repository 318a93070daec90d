"""Sharing the ledger: push and pull.

Rules:

- a push is atomic. The ledger only goes forward, and a tag that moves must be one that the ledger accounts for, so that
  a stale clone is refused, and what another tool has moved at the remote is never overwritten;
- a pull fetches into a tracking ref, replays the moves that the remote has not, on top of its own, and lets the tags
  follow: whoever pushes later comes after, and nothing is lost;
- a clone without the ledger, the tags or the history (a CI checkout) needs a pull and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgit.errors import EdgitError, Refused
from edgit.git import Git, RefUpdate
from edgit.ledger import LEDGER, Change, Created, Entry, Moved, fold, replayed
from edgit.moves import Chain, Desk, kind_of, name_of
from edgit.repository import Ledger, World
from edgit.tags import PREFIX, read_name, tag_name, tag_ref
from resolver.version import is_version

#: So many refs go into one git command: a command line is bounded.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: refs that are new or moved at the remote, and how many moves it had not had."""

    remote: str
    entries: int
    tags: int

    @property
    def nothing(self) -> bool:
        return not self.entries and not self.tags


def _remote(git: Git) -> str:
    remote = git.remote()
    if remote is None:
        raise EdgitError(
            "this repository has no remote to share moves with", hint="next: git remote add origin URL, then edgit push"
        )
    return remote


def tracking_ref(remote: str) -> str:
    """Where the remote's ledger is kept, as it was last fetched."""
    return f"refs/remotes/{remote}/edgit/ledger"


def has_ledger(git: Git, remote: str) -> bool:
    """Whether the remote keeps a ledger."""
    return LEDGER in git.remote_refs(remote, LEDGER)


def unpushed(world: World, remote: str) -> int:
    """How many entries the remote has not, as far as it was last seen."""
    if world.ledger is None:
        return 0
    tracked = world.git.ref(tracking_ref(remote))
    known = tracked and world.git.attempt("merge-base", "--is-ancestor", tracked, world.ledger.tip).returncode == 0
    return len(world.ledger.since(tracked if known else None))


def push(world: World) -> Pushed:
    """Bring the ledger and the tags to the remote. Raises `Refused` where the remote has moves that are not here."""
    git = world.git
    remote = _remote(git)
    there = git.remote_refs(remote, LEDGER, f"{PREFIX}*")
    theirs = there.get(LEDGER)
    if world.ledger is None:
        if theirs:
            raise Refused(f"{remote} has a ledger, and this clone has none", hint="next: edgit pull")
        return Pushed(remote, 0, _push_refs(git, remote, _new_versions(world, there)))
    if theirs and not git.check([theirs]):
        raise _pull_first(remote)
    if theirs and git.attempt("merge-base", "--is-ancestor", theirs, world.ledger.tip).returncode:
        raise _pull_first(remote)
    entries = world.ledger.since(theirs)
    leases = _leases(world, there, entries, remote)
    # New versions go first: they are in nobody's way, and a command line would not hold all of them.
    count = _push_refs(git, remote, _new_versions(world, there))
    if leases or theirs != world.ledger.tip:
        refspecs = [f"{LEDGER}:{LEDGER}", *(f"{new or ''}:{ref}" for ref, (new, _) in leases.items())]
        guards = [f"--force-with-lease={ref}:{old or ''}" for ref, (_, old) in leases.items()]
        done = git.attempt("push", "--quiet", "--atomic", "--no-verify", *guards, remote, *refspecs)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            if "stale info" in said or "rejected" in said:
                raise Refused(
                    f"{remote} has moved on meanwhile; nothing was pushed", hint="next: edgit pull, then edgit push"
                )
            raise EdgitError(f"git push to {remote} failed: {said}", hint="your moves are safe here; next: edgit push")
    git.update_refs([RefUpdate(tracking_ref(remote), world.ledger.tip, git.ref(tracking_ref(remote)))])
    return Pushed(remote, len(entries), count + len(leases))


def _pull_first(remote: str) -> Refused:
    return Refused(
        f"{remote} has moves that this clone has not; nothing was pushed", hint="next: edgit pull, then edgit push"
    )


def _new_versions(world: World, there: Mapping[str, str]) -> list[str]:
    refs = [tag.ref for tags in world.tags.versions.values() for tag in tags.values()]
    return sorted(ref for ref in refs if ref not in there)


def _push_refs(git: Git, remote: str, refs: Sequence[str]) -> int:
    for start in range(0, len(refs), _AT_ONCE):
        part = refs[start : start + _AT_ONCE]
        git.over_network("push", "--quiet", "--no-verify", remote, *(f"{ref}:{ref}" for ref in part))
    return len(refs)


def _leases(
    world: World, there: Mapping[str, str], entries: Sequence[Entry], remote: str
) -> dict[str, tuple[str | None, str | None]]:
    """Ref → (the object that it moves to, None to delete it; what the remote has now), for all that moved since."""
    accounted: dict[str, set[str | None]] = {}
    last: dict[str, str | None] = {}
    for entry in entries:
        for moved, _, _ in entry.moves:
            ref = pointer_ref(world, moved.component, moved.environment)
            accounted.setdefault(ref, {None}).update((moved.tag_before, moved.tag))
            last[ref] = moved.tag
    strange = [ref.removeprefix(PREFIX) for ref, known in accounted.items() if there.get(ref) not in known]
    if strange:
        raise Refused(
            f"another tool has moved {', '.join(strange)} at {remote}; nothing was pushed",
            hint="next: edgit pull, which tells you what it was",
        )
    return {ref: (new, there.get(ref)) for ref, new in last.items() if new != there.get(ref)}


@dataclass(frozen=True, slots=True)
class Pulled:
    """How a pull brought two ledgers together."""

    remote: str
    #: Entries that the remote had and this repository had not.
    received: tuple[Entry, ...] = ()
    #: Entries of this repository, replayed on top.
    replayed: tuple[Entry, ...] = ()
    #: Entries of this repository that said nothing new any more.
    dropped: tuple[Entry, ...] = ()
    versions: int = 0
    notes: tuple[str, ...] = ()


def pull(desk: Desk, world: World) -> Pulled:
    """Bring the remote's ledger and tags here, and replay on top what it has not."""
    git = world.git
    remote = _remote(git)
    there = git.remote_refs(remote, LEDGER, f"{PREFIX}*")
    theirs = there.get(LEDGER)
    versions, pointers = _wanted(world, there)
    refspecs = [*versions, *pointers]
    if theirs:
        refspecs.insert(0, f"+{LEDGER}:{tracking_ref(remote)}")
    if refspecs:
        # Tags come as objects only: which of them count is decided here, all at once.
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--stdin", remote]
        git.over_network(*command, input="".join(f"{spec}\n" for spec in refspecs).encode())
    updates = [RefUpdate(ref, there[ref], None) for ref in versions if git.check([there[ref]])]
    git.update_refs(updates)
    if theirs is None:
        _foreign_there(desk, world, there, {}, remote)
        return Pulled(remote, versions=len(versions), notes=tuple(desk.notes))
    # What another tool has moved at the remote shows as a moved tag here, and is adopted like any other.
    world = World(git)
    pulled = merge(desk, world, theirs, remote)
    _foreign_there(desk, World(git), there, fold(Ledger(git, theirs).entries), remote)
    return replace(pulled, versions=len(versions), notes=tuple(desk.notes))


def _wanted(world: World, there: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The remote's tags that are not here: versions, and environments' tags that are other objects than ours."""
    versions, pointers = [], []
    for ref, id in there.items():
        name = read_name(ref)
        if name is None or world.refs.get(ref) == id:
            continue
        if is_version(name.slot):
            if ref not in world.refs:
                versions.append(ref)
        else:
            pointers.append(ref)
    return versions, pointers


def _foreign_there(
    desk: Desk, world: World, there: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]], remote: str
) -> None:
    """Tags of environments at the remote that its ledger does not account for come here as they are, to be adopted."""
    accounted = {
        moved.tag: moved
        for entry in (world.ledger.entries if world.ledger else ())
        for moved, _, _ in entry.moves
        if moved.tag
    }
    updates = []
    for ref, id in there.items():
        name = read_name(ref)
        if name is None or is_version(name.slot) or id in accounted or world.refs.get(ref) == id:
            continue
        if not world.git.check([id]):
            continue
        live = theirs.get(name.component, {}).get(name.slot)
        updates.append(RefUpdate(ref, id, world.refs.get(ref)))
        desk.notes.append(
            f"{ref.removeprefix(PREFIX)} was moved at {remote} by another tool (the ledger says {live or 'none'}); "
            "next: edgit adopt, or edgit deploy set to move it on"
        )
    if updates:
        desk.transact(updates)


def merge(desk: Desk, world: World, theirs: str, remote: str) -> Pulled:
    """Make the ledger `theirs` with this repository's own entries replayed on top, and let the tags follow."""
    git = world.git
    other = Ledger(git, theirs)
    if world.ledger is None:
        local: tuple[Entry, ...] = ()
        base = None
    else:
        base = git.attempt("merge-base", theirs, world.ledger.tip).stdout.decode().strip() or None
        local = world.ledger.since(base)
    if base is None:
        # Two ledgers with two beginnings. What ours was begun from are tags that may be old: theirs count.
        local = tuple(entry for entry in local if entry.parent is not None)
    received = other.since(base)
    chain = Chain(git, other.last, other.state())
    refs = _follow(world, chain, received)
    replays: list[Entry] = []
    dropped: list[Entry] = []
    renamed: dict[tuple[str, str], str] = {}
    for made in local:
        entry = _renamed(world, chain, made, renamed, desk)
        fresh = replayed(entry, chain.pointers, chain.versions)
        if not fresh.changes:
            dropped.append(entry)
            continue
        for change in fresh.changes:
            if isinstance(change, Moved):
                _tell_overtaken(desk, received, change)
        files = {
            (c.component, c.version): world.state.versions[c.component][_original(c, renamed)]
            for c in fresh.changes
            if isinstance(c, Created)
        }
        changes = [_retagged(c, refs) for c in fresh.changes]
        author = (entry.actor, entry.authored or entry.at)
        replays.append(
            chain.add(entry.summary, changes, files, reason=entry.reason, author=author, at=entry.authored or entry.at)
        )
        for change in changes:
            if isinstance(change, Moved):
                ref = pointer_ref(world, change.component, change.environment)
                refs[ref] = change.tag
    for ref, id in refs.items():
        chain.set_ref(ref, id, world.refs.get(ref))
    chain.before = world.ledger.tip if world.ledger else None
    chain.commit(desk)
    return Pulled(remote, received, tuple(replays), tuple(dropped))


def pointer_ref(world: World, component: str, environment: str) -> str:
    """The ref of a pointer: under the name that it has already, else this tool's own."""
    existing = world.tags.environments.get(component, {}).get(environment)
    return existing.ref if existing else tag_ref(component, environment)


def _follow(world: World, chain: Chain, received: Iterable[Entry]) -> dict[str, str | None]:
    """Where the tags of all pointers that the received entries moved must be, if their objects are here."""
    last: dict[tuple[str, str], Moved] = {}
    made: dict[tuple[str, str], Created] = {}
    for entry in received:
        for moved, _, _ in entry.moves:
            last[moved.component, moved.environment] = moved
        for created, _, _ in entry.creations:
            made[created.component, created.version] = created
    tags = [*(moved.tag for moved in last.values()), *(created.tag for created in made.values())]
    here = world.git.check(tag for tag in tags if tag)
    refs: dict[str, str | None] = {}
    for (component, version), created in made.items():
        existing = world.tags.versions.get(component, {}).get(version)
        if created.tag in here:
            refs[existing.ref if existing else tag_ref(component, version)] = created.tag
    for (component, environment), moved in last.items():
        ref = pointer_ref(world, component, environment)
        if moved.tag is None or moved.tag in here:
            refs[ref] = moved.tag
            continue
        # The remote's tag has moved on since, by another tool: ours is made anew from what the ledger says.
        version_tag = world.tags.versions.get(component, {}).get(moved.after or "")
        if version_tag:
            message = f"Deploy {component}@{moved.after} to {environment}"
            name = ref.removeprefix("refs/tags/")
            refs[ref] = chain.tag(name, version_tag.id, kind_of(world.git, version_tag.id), message)
    return refs


def _retagged(change: Change, refs: Mapping[str, str | None]) -> Change:
    if isinstance(change, Created):
        return change
    ref = tag_ref(change.component, change.environment)
    return replace(change, tag_before=refs[ref]) if ref in refs else change


def _tell_overtaken(desk: Desk, received: Iterable[Entry], change: Moved) -> None:
    for entry in received:
        for moved, _, actor in entry.moves:
            same = (moved.component, moved.environment) == (change.component, change.environment)
            if same and moved.after != change.after:
                desk.notes.append(
                    f"{change.name}: {name_of(actor)} had set {moved.after or 'none'} meanwhile; "
                    f"your {change.after or 'removal'} comes after it"
                )


def _renamed(world: World, chain: Chain, entry: Entry, renamed: dict[tuple[str, str], str], desk: Desk) -> Entry:
    """The entry with those versions under a name of their own that the remote has with another file."""

    def under_its_name(change: Change) -> Change:
        if isinstance(change, Created):
            theirs = chain.versions.get(change.component, {}).get(change.version)
            ours = world.state.versions.get(change.component, {}).get(change.version)
            if theirs is None or theirs == ours:
                return change
            separator = "." if "-" in change.version else "-"
            name = f"{change.version}{separator}clash.g{change.commit[:10]}"
            renamed[change.component, change.version] = name
            tag = chain.tag(tag_name(change.component, name), change.commit, "commit", f"{change.component} {name}")
            chain.set_ref(tag_ref(change.component, name), tag, None)
            desk.notes.append(
                f"{change.name} was made from two different files; the remote's keeps the name, yours is {name}"
            )
            return replace(change, version=name, tag=tag)
        version = renamed.get((change.component, change.after or ""))
        if version is None:
            return change
        version_tag = chain.updates[tag_ref(change.component, version)][1] or ""
        name = pointer_ref(world, change.component, change.environment).removeprefix(PREFIX)
        tag = chain.tag(name, version_tag, "tag", f"Deploy {change.component}@{version} to {change.environment}")
        return replace(change, after=version, tag=tag, version_tag=version_tag)

    return replace(entry, changes=tuple(under_its_name(change) for change in entry.changes))


def _original(created: Created, renamed: Mapping[tuple[str, str], str]) -> str:
    for (component, version), name in renamed.items():
        if component == created.component and name == created.version:
            return version
    return created.version
