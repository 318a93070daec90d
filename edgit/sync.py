"""Sharing the ledger: push and pull.

Rules:

- a push is atomic. The ledger only goes forward, and a tag that moves must be one that the ledger accounts for, so that
  a stale clone is refused, and what another tool has moved at the remote is never overwritten;
- a pull fetches objects, replays the moves that the remote has not, on top of its own, and lets the tags follow, in one
  transaction: whoever pushes later comes after, and nothing is lost;
- a move that the remote has already, under whatever commit, is not made again;
- a clone without the ledger, the tags or the history (a CI checkout) needs a pull and nothing else.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgit.desk import Desk
from edgit.errors import EdgitError, NotReached, Refused
from edgit.git import Git, RefUpdate
from edgit.ledger import LEDGER, Entry
from edgit.merge import Merged, Pointer, merge, pointer_ref
from edgit.repository import Ledger, World
from edgit.tags import PREFIX, Tagged, read_name, read_tags
from resolver.version import is_version

#: So many refs go into one git command: a command line is bounded.
_AT_ONCE = 500

#: Why git refuses a ref of a push where the remote has moved on.
_MOVED_ON = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "already exists",
    "atomic push failed",
    "atomic transaction failed",
)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: refs that are new or moved at the remote, and how many entries it had not had."""

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
    """Where the remote's ledger is kept, as it was last seen. Not below refs/remotes: `git fetch --prune` clears what
    is no branch there."""
    return f"refs/edgit/remotes/{remote}"


def has_ledger(git: Git, remote: str) -> bool:
    """Whether the remote keeps a ledger."""
    return LEDGER in git.remote_refs(remote, LEDGER)


def unpushed(world: World, remote: str) -> int:
    """How many entries the remote has not, as far as it was last seen."""
    if world.ledger is None:
        return 0
    tracked = world.git.ref(tracking_ref(remote))
    return len(world.ledger.since(tracked if tracked and _contains(world, tracked) else None))


def _contains(world: World, commit: str) -> bool:
    """Whether this repository's ledger goes on from a commit."""
    tip = world.ledger.tip if world.ledger else ""
    return commit == tip or world.git.attempt("merge-base", "--is-ancestor", commit, tip).returncode == 0


def _there(git: Git, remote: str) -> dict[str, str]:
    return git.remote_refs(remote, LEDGER, f"{PREFIX}*")


def _names(world: World, there: Mapping[str, str]) -> Tagged:
    """The names of tags, here and at the remote. A tag of an older form keeps its name wherever it is."""
    return read_tags({**there, **world.refs})


@dataclass(frozen=True, slots=True)
class _Apart:
    """A version's tag that is not the same object here and at the remote; their files' ids, and what the ledger has."""

    ref: str
    here: str
    there: str
    our_file: str | None
    their_file: str | None
    released: str | None
    #: The object that the tag was when the version was released.
    original: str | None

    @property
    def same_file(self) -> bool:
        return self.our_file is not None and self.our_file == self.their_file

    @property
    def ours_counts(self) -> bool:
        """Whether ours is what was released, and theirs is not, or only a later tag of the same file."""
        if self.here == self.original:
            return True
        return self.our_file is not None and self.our_file == self.released and self.their_file not in (
            None, self.released
        )  # fmt: skip


def _apart(world: World, there: Mapping[str, str]) -> list[_Apart]:
    """The versions' tags that are other objects at the remote than here."""
    tags = {
        (name, version): tag
        for name, found in world.tags.versions.items()
        for version, tag in found.items()
        if there.get(tag.ref, tag.id) != tag.id
    }
    commits = world.commits_of(id for tag in tags.values() for id in (tag.id, there[tag.ref]))
    ends = [(name, commits.get(id)) for (name, _), tag in tags.items() for id in (tag.id, there[tag.ref])]
    files = world.files_at((name, commit) for name, commit in ends if commit)
    blobs = {pair: file.blob for pair, file in files.items()}
    made = world.ledger.made if tags and world.ledger else {}
    return [
        _Apart(
            tag.ref,
            tag.id,
            there[tag.ref],
            blobs.get((name, commits.get(tag.id, ""))),
            blobs.get((name, commits.get(there[tag.ref], ""))),
            world.state.versions.get(name, {}).get(version) if world.ledger else None,
            found.tag if (found := made.get((name, version))) else None,
        )
        for (name, version), tag in tags.items()
    ]


# Push


def push(world: World) -> Pushed:
    """Bring the ledger and the tags to the remote. Raises `Refused` where the remote has moves that are not here."""
    git = world.git
    remote = _remote(git)
    there = _there(git, remote)
    theirs = there.get(LEDGER)
    new = {tag.ref: tag.id for tags in world.tags.versions.values() for tag in tags.values() if tag.ref not in there}
    if world.ledger is None:
        if theirs:
            raise Refused(f"{remote} has a ledger, and this clone has none", hint="next: edgit pull")
        return Pushed(remote, 0, _push_new(world, remote, there, new))
    if theirs and not (git.check([theirs]) and _contains(world, theirs)):
        raise Refused(
            f"{remote} has moves that this clone has not; nothing was pushed", hint="next: edgit pull, then edgit push"
        )
    entries = world.ledger.since(theirs)
    leases = _leases(world, world.ledger, there, entries, remote)
    # New versions go first: they are in nobody's way, and a command line would not hold all of them.
    count = _push_new(world, remote, there, new)
    if leases or theirs != world.ledger.tip:
        _push_moves(world, remote, world.ledger.tip, {**there, **new}, leases)
    if git.ref(tracking_ref(remote)) != world.ledger.tip:
        git.attempt("update-ref", tracking_ref(remote), world.ledger.tip)
    return Pushed(remote, len(entries), count + len(leases))


def _push_new(world: World, remote: str, there: Mapping[str, str], refs: Mapping[str, str]) -> int:
    """Create versions' tags at the remote, by component."""
    # `refs/tags/components/x/v1.0.0` goes with all that begins as `refs/tags/components/x/v`.
    specs = _specs(world, there, refs, lambda ref: ref[: ref.rindex("/") + 2])
    for start in range(0, len(specs), _AT_ONCE):
        part = specs[start : start + _AT_ONCE]
        world.git.over_network("push", "--quiet", "--atomic", "--no-verify", remote, *part)
    return len(refs)


def _specs(
    world: World, there: Mapping[str, str], refs: Mapping[str, str], prefix_of: Callable[[str], str]
) -> list[str]:
    """What tells git to push these refs and no other. It compares each refspec with every ref at the remote, so those
    that are new are named by a pattern, where nothing else would go along."""
    groups: dict[str, list[str]] = {}
    for ref in refs:
        groups.setdefault(prefix_of(ref), []).append(ref)
    others = sorted(ref for ref, id in world.refs.items() if id not in (there.get(ref), refs.get(ref)))
    specs = []
    for prefix, group in sorted(groups.items()):
        after = bisect_left(others, prefix)
        alone = not any(other.startswith(prefix) for other in others[after : after + 1])
        if len(group) > 1 and alone and all(ref not in there and world.refs.get(ref) == refs[ref] for ref in group):
            specs.append(f"{prefix}*:{prefix}*")
        else:
            specs += [f"{refs[ref]}:{ref}" for ref in group]
    return specs


def _push_moves(
    world: World, remote: str, tip: str, there: Mapping[str, str], leases: Mapping[str, tuple[str | None, str | None]]
) -> None:
    """Move the ledger and the tags at the remote, all or none; each tag only from what was seen there."""
    # A tag that is new there needs no lease: without force git creates one, and moves none.
    new = {ref: new for ref, (new, old) in leases.items() if new and old is None}
    moved = {ref: lease for ref, lease in leases.items() if ref not in new}
    specs = [f"{tip}:{LEDGER}", *(f"{new or ''}:{ref}" for ref, (new, _) in moved.items())]
    specs += _specs(world, there, new, lambda ref: "/".join([*ref.split("/")[:3], ""]))
    guards = [f"--force-with-lease={ref}:{old}" for ref, (_, old) in moved.items()]
    done = world.git.attempt_over_network("push", "--quiet", "--atomic", "--no-verify", *guards, remote, *specs)
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").strip()
    if "stale info" in said or "rejected" in said:
        # What a hook there says is told; that a ref had moved between the look and the push says itself.
        told = {
            line.strip() for line in re.findall(r"^remote: (.+)$", said, re.MULTILINE) if "but expected" not in line
        }
        told |= {why for why in re.findall(r"^ ! .*\((.+)\)$", said, re.MULTILINE) if why not in _MOVED_ON}
        why = "; ".join(sorted(told)) or "it has moved on meanwhile"
        raise Refused(
            f"{remote} did not take the push, and nothing was moved there: {why}",
            hint="next: edgit pull, then edgit push",
        )
    raise NotReached(f"git push to {remote} failed: {said}", hint="your moves are safe here; next: edgit push")


def _leases(
    world: World, ledger: Ledger, there: Mapping[str, str], entries: Sequence[Entry], remote: str
) -> dict[str, tuple[str | None, str | None]]:
    """Ref → (the object that it moves to, None to delete it; what the remote has now), for all that is not there what
    it is here. Raises `Refused` where another tool has moved at the remote what these entries move."""
    names = _names(world, there)
    foreign = {(found.component, found.environment) for found in world.differences[0]}
    ours = {(moved.component, moved.environment) for entry in entries for moved, _, _ in entry.moves}
    leases: dict[str, tuple[str | None, str | None]] = {}
    strange = []
    for pointer, moved in ledger.last_moves.items():
        ref = pointer_ref(names, *pointer)
        want = moved.tag if pointer in foreign else world.refs.get(ref)
        have = there.get(ref)
        if have == want:
            continue
        if have is None or have in ledger.known_tags[pointer]:
            leases[ref] = (want, have)
        elif pointer in ours:
            strange.append(ref.removeprefix(PREFIX))
    if strange:
        raise Refused(
            f"another tool has moved {', '.join(strange)} at {remote}; nothing was pushed",
            hint="next: edgit pull, then edgit adopt to keep what it did, or edgit deploy set to move it on",
        )
    # Versions never change: a version's tag at the remote that is of another file than what was released.
    leases |= {apart.ref: (apart.here, apart.there) for apart in _apart(world, there) if apart.ours_counts}
    return leases


# Pull


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
    there = _there(git, remote)
    theirs = there.get(LEDGER)
    wanted = [ref for ref, id in there.items() if world.refs.get(ref) != id and (ref == LEDGER or read_name(ref))]
    if wanted:
        # Objects only, and by their ids, since git looks each name up among all: which refs move, and where to, is
        # decided here, all at once.
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--stdin", remote]
        git.over_network(*command, input="".join(f"{id}\n" for id in {there[ref] for ref in wanted}).encode())
    new = [ref for ref in wanted if ref not in world.refs and (name := read_name(ref)) and is_version(name.slot)]
    here = git.check(there[ref] for ref in new)
    updates = [RefUpdate(ref, there[ref], None) for ref in new if there[ref] in here]
    if updates:
        desk.transact(updates)
        world = World(git)
    merged = Merged()
    if theirs and not (world.ledger and _contains(world, theirs)):
        merged = merge(desk, world, theirs, _names(world, there), tracking_ref(remote))
    elif theirs and git.ref(tracking_ref(remote)) != theirs:
        git.attempt("update-ref", tracking_ref(remote), theirs)
    world = desk.catch_up(World(git))
    other = Ledger(git, theirs) if theirs else None
    if _take_versions(desk, world, there, remote):
        world = World(git)
    if other:
        _tell_lost(desk, world, there, other, remote)
    _bring_foreign(desk, world, there, other, remote)
    return Pulled(remote, merged.received, merged.replayed, merged.dropped, len(updates), tuple(desk.notes))


def _take_versions(desk: Desk, world: World, there: Mapping[str, str], remote: str) -> bool:
    """Versions' tags that are other objects here than at the remote, and of the same file, become the remote's; but not
    those that count, which a push brings there. Whether there were any."""
    taken = [apart for apart in _apart(world, there) if apart.same_file and not apart.ours_counts]
    if taken:
        desk.transact([RefUpdate(apart.ref, apart.there, apart.here) for apart in taken])
    names = (apart.ref.removeprefix(PREFIX) for apart in taken)
    desk.notes += [f"{name} is the tag that {remote} has, of the same file" for name in names]
    return bool(taken)


def _tell_lost(desk: Desk, world: World, there: Mapping[str, str], theirs: Ledger, remote: str) -> None:
    """Tell which environments' tags at the remote are not where its ledger says: deleted, or ones of before. A push
    sets them right. One that another tool has moved is no such: it is new."""
    known = world.ledger.known_tags if world.ledger else {}
    names = _names(world, there)
    for pointer, moved in sorted(theirs.last_moves.items()):
        ref = pointer_ref(names, *pointer)
        at = there.get(ref)
        if at != moved.tag and (at is None or at in known.get(pointer, ())) and world.refs.get(ref) != at:
            desk.notes.append(f"{ref.removeprefix(PREFIX)} at {remote} is not where its ledger says; next: edgit push")


def _bring_foreign(desk: Desk, world: World, there: Mapping[str, str], theirs: Ledger | None, remote: str) -> None:
    """Tags of environments at the remote that no ledger accounts for come here as they are, to be adopted."""
    known = world.ledger.known_tags if world.ledger else {}
    strange: dict[str, Pointer] = {}
    for ref, id in there.items():
        name = read_name(ref)
        if name is None or is_version(name.slot) or world.refs.get(ref) == id:
            continue
        if id not in known.get((name.component, name.slot), ()):
            strange[ref] = (name.component, name.slot)
    here = world.git.check(there[ref] for ref in strange)
    updates = [RefUpdate(ref, there[ref], world.refs.get(ref)) for ref in strange if there[ref] in here]
    if updates:
        desk.transact(updates)
    for update in updates if world.ledger else ():
        moved = theirs.last_moves.get(strange[update.ref]) if theirs else None
        desk.notes.append(
            f"{update.ref.removeprefix(PREFIX)} was moved at {remote} by another tool "
            f"(the ledger says {(moved.after if moved else None) or 'none'}); "
            "next: edgit adopt, or edgit deploy set to move it on"
        )
