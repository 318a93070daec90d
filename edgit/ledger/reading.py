"""The ledger as git keeps it, read into values.

Rules:

- every function here starts git processes, and their number does not grow with the ledger;
- the past (`read_entries`) is read only where somebody asks for it: a ledger may have a hundred thousand entries;
- a ledger that cannot be read is an error that says how to get it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from edgit.errors import EdgitError
from edgit.git.objects import Object
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER, LedgerEntry, LedgerState, instant, seconds
from edgit.ledger.history import LedgerIndex, fold, index_entries
from edgit.ledger.message import read_message

_FORMAT = "--format=%H%n%P%n%ct%n%at%n%an <%ae>%n%B"


def read_entries(git: Git, tip: str, *, after: str | None = None) -> tuple[LedgerEntry, ...]:
    """The entries up to `tip`, oldest first: all of them, or those after an ancestor."""
    return tuple(_read_log(git, tip, "--reverse", tip if after is None else f"{after}..{tip}"))


def read_entries_about(git: Git, tip: str, components: Sequence[str]) -> tuple[LedgerEntry, ...]:
    """The entries up to `tip` that name one of these components, oldest first; git itself passes over the others."""
    named = [f"--grep=components/{component}/" for component in components]
    return tuple(_read_log(git, tip, "--reverse", "--fixed-strings", *named, tip))


def read_index(git: Git, tip: str | None) -> LedgerIndex:
    """What all entries up to `tip` say of each pointer and each version; nothing where there is no ledger."""
    return index_entries(read_entries(git, tip)) if tip else LedgerIndex()


def read_last_entry(git: Git, tip: str) -> LedgerEntry:
    """The newest entry."""
    for entry in _read_log(git, tip, "-1", tip):
        return entry
    raise damaged(git, tip, "it is no commit")


def read_pointers_at(git: Git, tip: str, moment: datetime) -> dict[str, dict[str, str]]:
    """Component → environment → version at an instant."""
    commit = git.text("rev-list", "-1", "--first-parent", f"--min-age={seconds(moment)}", tip)
    if commit:
        return {name: dict(found) for name, found in read_state(git, commit, "components").pointers.items()}
    # Before the ledger began: what was found then, by the dates of the tags.
    first = git.text("rev-list", "--max-parents=0", "--first-parent", tip)
    return fold(_read_log(git, tip, "-1", first), until=moment)


def read_state(git: Git, commit: str, *folders: str) -> LedgerState:
    """The state that a ledger commit holds."""
    # A partial clone may have left a pointer's file at the remote. Its id says which of the versions it holds.
    known_by_id = git.promisor is not None
    done = git.attempt("ls-tree", "-r", "-z", "--full-tree", commit, *(() if known_by_id else folders))
    if done.returncode:
        raise damaged(git, commit, done.stderr.decode(errors="replace").strip())
    pointers: dict[str, dict[str, str]] = {}
    versions: dict[str, dict[str, str]] = {}
    withdrawn: dict[str, dict[str, str]] = {}
    kinds = {"components": pointers, "versions": versions, "withdrawn": withdrawn}
    for line in done.stdout.decode(errors="surrogateescape").split("\0"):
        if not line:
            continue
        blob, path = line.split(" ", 2)[2].split("\t", 1)
        folder, _, rest = path.partition("/")
        component, _, slot = rest.rpartition("/")
        if folder in kinds:
            kinds[folder].setdefault(component, {})[slot] = blob
    # Few versions are live, however many pointers there are: each value is read once.
    blobs = {blob for found in pointers.values() for blob in found.values()}
    names = {version for found in versions.values() for version in found} if known_by_id else set()
    live = {id: version for version in names if (id := git.id(Object("blob", f"{version}\n".encode()))) in blobs}
    live |= {b: object.body.decode(errors="replace").strip() for b, object in git.read(blobs - set(live)).items()}
    if missing := blobs - set(live):
        raise damaged(git, commit, f"the object {min(missing)} is missing")
    return LedgerState(
        {name: {env: live[blob] for env, blob in found.items()} for name, found in pointers.items()},
        versions,
        withdrawn,
    )


def descends_from(git: Git, tip: str | None, commit: str) -> bool:
    """Whether a ledger goes on from a commit."""
    if tip is None:
        return False
    return commit == tip or git.attempt("merge-base", "--is-ancestor", commit, tip).returncode == 0


def damaged(git: Git, commit: str, why: str) -> EdgitError:
    """The error of a ledger that cannot be read: what is wrong where, and how to get it back."""
    remote = git.remote()
    ways = [f"what the ledger is at: git log {LEDGER}"]
    if git.attempt("log", "-1", commit + "^").returncode == 0:
        ways.append(f"to take that commit off: git update-ref {LEDGER} {commit[:10]}^")
    if remote:
        ways.append(f"to take the ledger of {remote}: git fetch {remote} +{LEDGER}:{LEDGER}")
    return EdgitError(f"{LEDGER} is damaged at {commit[:10]}: {why}", hint="\n".join(ways))


def _read_log(git: Git, tip: str, *which: str) -> Iterator[LedgerEntry]:
    command = ["-c", "i18n.logOutputEncoding=UTF-8", "log", "-z", "--first-parent", "--no-show-signature", _FORMAT]
    done = git.attempt(*command, *which)
    if done.returncode:
        raise damaged(git, tip, done.stderr.decode(errors="replace").strip())
    for record in done.stdout.decode(errors="replace").split("\0"):
        if record:
            yield _read_record(git, record)


def _read_record(git: Git, record: str) -> LedgerEntry:
    id, parents, committed, authored, actor, message = record.split("\n", 5)
    try:
        summary, reason, changes, generation = read_message(message)
    except (ValueError, KeyError, IndexError) as error:
        raise damaged(git, id, f"that commit is no entry of the ledger; {error}") from None
    return LedgerEntry(
        id=id,
        parent=parents.split(" ")[0] or None,
        generation=generation,
        at=instant(int(committed)),
        actor=actor,
        summary=summary,
        changes=changes,
        reason=reason,
        authored=instant(int(authored)),
    )
