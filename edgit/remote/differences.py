"""A remote, and how its tags and its ledger stand to those here.

Rules:

- what the remote has is asked of it; what it had when it was last seen is kept in a ref of its own;
- where one version is two tags, the files that they are decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgit.components.files import locate
from edgit.components.tags import PREFIX, ComponentTags, read_tags
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.git.tags import commits_of
from edgit.ledger.entries import LEDGER
from edgit.ledger.published import PUBLISHED
from edgit.ledger.reading import descends_from, read_entries, read_index
from edgit.repository.reading import Repository


def needed_remote(git: Git) -> str:
    """The remote that moves are shared by. Raises `EdgitError` where there is none."""
    remote = git.remote()
    if remote is None and (several := unchosen_remotes(git)):
        raise EdgitError(several, hint=f"next: git config edgit.remote {git.text('remote').split()[0]}")
    if remote is None:
        raise EdgitError(
            "this repository has no remote to share moves with", hint="next: git remote add origin URL, then edgit push"
        )
    return remote


def unchosen_remotes(git: Git) -> str | None:
    """What is wrong where there are several remotes and none of them is chosen."""
    names = git.text("remote").split()
    if len(names) < 2 or git.remote() is not None:
        return None
    return f"of the remotes {', '.join(names)} none is `origin`, and edgit.remote names none"


def tracking_ref(remote: str) -> str:
    """Where the remote's ledger is kept, as it was last seen. Not below refs/remotes: `git fetch --prune` clears what
    is no branch there."""
    return f"refs/edgit/remotes/{remote}"


def has_ledger(git: Git, remote: str) -> bool:
    """Whether the remote keeps a ledger."""
    return LEDGER in git.remote_refs(remote, LEDGER)


def count_unpushed(repository: Repository, remote: str) -> int:
    """How many entries the remote has not, as far as it was last seen."""
    git, tip = repository.git, repository.tip
    if tip is None:
        return 0
    seen = git.ref(tracking_ref(remote))
    return len(read_entries(git, tip, after=seen if seen and descends_from(git, tip, seen) else None))


def refs_at(repository: Repository, remote: str) -> dict[str, str]:
    """The ledger, the tags and the records of the remote: ref → object id."""
    return repository.git.remote_refs(remote, LEDGER, f"{PREFIX}*", f"{PUBLISHED}*", known=len(repository.refs))


def all_tags(repository: Repository, there: Mapping[str, str], keys: Iterable[str] = ()) -> ComponentTags:
    """The names of tags, here and at the remote. A tag of an older form keeps its name wherever it is. `keys` are those
    of the remote's ledger, as far as they may be new here."""
    return read_tags({**there, **repository.refs}, {*repository.types, *keys})


@dataclass(frozen=True, slots=True)
class TagConflict:
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


def read_tag_conflicts(repository: Repository, there: Mapping[str, str]) -> list[TagConflict]:
    """The versions' tags that are other objects at the remote than here."""
    git = repository.git
    tags = {
        (name, version): tag
        for name, found in repository.tags.versions.items()
        for version, tag in found.items()
        if there.get(tag.ref, tag.id) != tag.id
    }
    if not tags:
        return []
    commits = commits_of(git, (id for tag in tags.values() for id in (tag.id, there[tag.ref])))
    ends = [(name, commits.get(id)) for (name, _), tag in tags.items() for id in (tag.id, there[tag.ref])]
    files = locate(git, ((name, commit) for name, commit in ends if commit), repository.types)
    blobs = {pair: file.blob for pair, file in files.items()}
    created = read_index(git, repository.tip).created
    recorded = repository.state.versions if repository.tip else {}
    return [
        TagConflict(
            ref=tag.ref,
            here=tag.id,
            there=there[tag.ref],
            our_file=blobs.get((name, commits.get(tag.id, ""))),
            their_file=blobs.get((name, commits.get(there[tag.ref], ""))),
            released=recorded.get(name, {}).get(version),
            original=found.tag if (found := created.get((name, version))) else None,
        )
        for (name, version), tag in tags.items()
    ]
