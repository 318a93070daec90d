"""What a repository says: its components, its tags, its ledger, and where tags and ledger differ.

Rules:

- this module reads; nothing here changes a ref or a file;
- a command loads the world once and decides on it. What is read lazily (the ledger's past) is read once;
- a repository without a ledger is read as if its tags had begun one: `World.genesis` is that entry, not yet written;
- what tags, files or the registry say that cannot be used is in `World.doubts`, for a person to read, never dropped in
  silence;
- git is asked as often for a thousand components as for one.
"""

from __future__ import annotations

from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER, LedgerEntry, LedgerState, instant
from edgit.ledger.message import read_message


def damaged(git: Git, commit: str, why: str) -> EdgitError:
    """The error of a ledger that cannot be read: what is wrong where, and how to get it back."""
    remote = git.remote()
    ways = [f"what the ledger is at: git log {LEDGER}"]
    if git.attempt("log", "-1", commit + "^").returncode == 0:
        ways.append(f"to take that commit off: git update-ref {LEDGER} {commit[:10]}^")
    if remote:
        ways.append(f"to take the ledger of {remote}: git fetch {remote} +{LEDGER}:{LEDGER}")
    return EdgitError(f"{LEDGER} is damaged at {commit[:10]}: {why}", hint="\n".join(ways))


def _entry(git: Git, record: str) -> LedgerEntry:
    id, parent, committed, authored, actor, message = record.split("\n", 5)
    try:
        summary, reason, changes, generation = read_message(message)
    except (ValueError, KeyError, IndexError) as error:
        raise damaged(git, id, f"that commit is no entry of the ledger; {error}") from None
    return LedgerEntry(
        id,
        parent.split(" ")[0] or None,
        generation,
        instant(int(committed)),
        actor,
        summary,
        changes,
        reason,
        instant(int(authored)),
    )


def read_state(git: Git, commit: str, *folders: str) -> LedgerState:
    """The state that a ledger commit holds."""
    done = git.attempt("ls-tree", "-r", "-z", "--full-tree", commit, *folders)
    if done.returncode:
        raise damaged(git, commit, done.stderr.decode(errors="replace").strip())
    listed_ = done.stdout.decode(errors="surrogateescape")
    pointers: dict[str, dict[str, str]] = {}
    versions: dict[str, dict[str, str]] = {}
    for line in listed_.split("\0"):
        if not line:
            continue
        blob, path = line.split(" ", 2)[2].split("\t", 1)
        folder, _, rest = path.partition("/")
        component, _, slot = rest.rpartition("/")
        kind = pointers if folder == "components" else versions
        kind.setdefault(component, {})[slot] = blob
    # Few versions are live, however many pointers there are: each value is read once.
    values = git.read(dict.fromkeys(blob for found in pointers.values() for blob in found.values()))
    live = {blob: object.body.decode(errors="replace").strip() for blob, object in values.items()}
    if missing := {blob for found in pointers.values() for blob in found.values()} - set(live):
        raise damaged(git, commit, f"the object {min(missing)} is missing")
    return LedgerState(
        {name: {env: live[blob] for env, blob in found.items()} for name, found in pointers.items()},
        versions,
    )
