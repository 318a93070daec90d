"""Where a moving command works: the repository's lock, its ref transactions, and what a killed one left behind.

Rules:

- one command moves at a time in a repository. The lock is also held by git while it moves refs, so that it ends with
  the last writer; and it is marked while somebody works, so that the next command sees that one was killed;
- what a transaction will do is written down before it begins. The ledger moves first: where it has, the rest follows;
  where it has not, nothing has happened;
- lock files of git's are removed only after a command was killed, when no git works here and they stay as they are;
- a tag that is not where the ledger says follows it, and that is told: the ledger is the truth.
"""

from __future__ import annotations

from typing import NamedTuple

from edgit.components.tags import PREFIX, read_name, tag_name, tag_ref
from edgit.errors import EdgitError
from edgit.git.objects import Object, read_tag_object
from edgit.ledger.entries import Created
from edgit.ledger.writer import LedgerWriter
from edgit.repository.reading import Repository, StaleTag

# Tags from the ledger


class VersionTag(NamedTuple):
    """The object that a version's tag names; `kind` is `commit` for one without annotation, else `tag`."""

    id: str
    kind: str


def follow_ledger(chain: LedgerWriter, world: Repository, pointer: StaleTag, tag: Object | None) -> str:
    """Let a pointer's tag be what the ledger says, in the chain's transaction; what there is to tell about it. Where
    the tag's object is gone it is made anew, and so is the version's tag, from the file that the ledger keeps."""
    name = tag_name(pointer.component, pointer.environment)
    if pointer.version is None:
        chain.set_ref(pointer.ref, None, pointer.found)
        return f"{name} follows the ledger: removed"
    try:
        version_tag = kept_version(chain, world, pointer.component, pointer.version)
    except EdgitError as error:
        return f"{name} lacks its tag, which cannot be made anew: {error.detail}"
    ref = pointer.ref if pointer.found else (_made_for(tag, pointer) or pointer.ref)
    new = pointer.tag
    if tag is None:
        new = pointer_tag(chain, ref, pointer.component, pointer.version, pointer.environment, version_tag)
    chain.set_ref(ref, new, pointer.found)
    return f"{name} follows the ledger: {pointer.version}"


def _made_for(tag: Object | None, pointer: StaleTag) -> str | None:
    """The ref that a tag was made for, where that is one of this pointer's names."""
    if tag is None or tag.kind != "tag":
        return None
    ref = PREFIX + read_tag_object(tag.body).name
    named = read_name(ref)
    return ref if named and (named.component, named.slot) == (pointer.component, pointer.environment) else None


def pointer_tag(chain: LedgerWriter, ref: str, component: str, version: str, environment: str, at: VersionTag) -> str:
    """A new tag of an environment at a version's tag; its id."""
    return chain.tag(ref.removeprefix(PREFIX), at.id, at.kind, f"Deploy {component}@{version} to {environment}")


def kept_version(chain: LedgerWriter, world: Repository, component: str, version: str) -> VersionTag:
    """A version's tag; where it is gone, one that comes back in the chain's transaction."""
    existing = world.tags.versions.get(component, {}).get(version)
    if existing:
        return VersionTag(existing.id, "commit" if existing.id in world.lightweight else "tag")
    tag = restored_version(chain, world, component, version)
    chain.set_ref(tag_ref(component, version), tag.id, None)
    return tag


def restored_version(chain: LedgerWriter, world: Repository, component: str, version: str) -> VersionTag:
    """The tag of a version that the ledger knows. Raises `EdgitError` where the ledger has it not."""
    known = world.state.versions.get(component, {}) if world.ledger else {}
    made = world.ledger.made.get((component, version)) if world.ledger else None
    if version not in known or made is None:
        raise EdgitError(f"the ledger has no {component} {version}; it has {', '.join(sorted(known)) or 'none'}")
    return remade(chain, made, known[version])


def remade(chain: LedgerWriter, made: Created, blob: str, *, said: str = "restored from the ledger") -> VersionTag:
    """A version's tag as it was, or else a new one at its commit, or else at a new commit that holds its file."""
    here = chain.git.check([made.tag, made.commit])
    if made.tag in here:
        return VersionTag(made.tag, "commit" if made.tag == made.commit else "tag")
    commit = made.commit if made.commit in here else _lone_commit(chain, made, blob)
    return VersionTag(chain.tag(made.name, commit, "commit", f"{made.component} {made.version}, {said}"), "tag")


def _lone_commit(chain: LedgerWriter, made: Created, blob: str) -> str:
    """A commit without parents that holds a version's file and nothing else: its own commit is gone for good."""
    _, _, now, zone = chain.identity
    path = made.path or f"components/{made.component}"
    tree = chain.edited(None, {path: blob})
    person = f"{chain.person} {now} {zone}"
    message = f"{made.component} {made.version}, restored from the ledger\n\nIts commit {made.commit} is gone.\n"
    return chain.put(Object("commit", f"tree {tree}\nauthor {person}\ncommitter {person}\n\n{message}".encode()))
