"""The lock of a repository, transactions of refs, and what a killed command left behind.

Rules:

- one command moves at a time in a repository. Git holds the lock too while it moves refs, so that it ends with the
  last writer. It is marked while somebody works, so that the next command sees that one was killed;
- what a transaction will do is written down before it begins. The ledger moves first: where it has, the rest follows;
  where it has not, nothing has happened;
- lock files of git's are removed only after a command was killed, when no git works here and they stay as they are;
- whoever gets the lock finds the repository in order: unfinished moves are finished, and tags follow the ledger.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgit.components.tags import PREFIX
from edgit.errors import EdgitError, Refused
from edgit.git.process import Git, GitFailed, RefUpdate
from edgit.repository.following import follow_ledger
from edgit.repository.reading import Repository, read_repository

#: How long a command waits for another one, in seconds.
LOCK_WAIT = 30.0
#: How often, and how long each time in seconds, a ref that another git holds is waited for.
BUSY_TRIES, BUSY_PAUSE = 5, 0.5
#: How long a lock file of git's must have stayed as it is until it is taken for one that was left behind, in seconds.
STALE_AFTER = 1.0
_MARK = b"at work\n"


@dataclass
class RepositoryLock:
    """The repository, its lock, and what happened besides, for the operator to read."""

    git: Git
    sleep: Callable[[float], None] = time.sleep
    notes: list[str] = field(default_factory=list)
    _left: bool = False

    @property
    def _folder(self) -> Path:
        return self.git.folder / "edgit"

    @property
    def _pending(self) -> Path:
        return self._folder / "pending.json"

    @property
    def _unwritten(self) -> Path:
        return self._folder / "pending.new"

    @contextmanager
    def locked(self, *, from_tags: bool = True) -> Iterator[Repository]:
        """The repository, with the lock held and unfinished work finished. Notes about that are told with an error too.

        `from_tags` is as in `read_repository`."""
        try:
            self._folder.mkdir(exist_ok=True)
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise EdgitError(f"{self._folder} cannot be written: {error.strerror}") from None
        try:
            self._acquire(descriptor)
            with self._marked(descriptor) as killed:
                if killed:
                    self._clear_locks()
                self._finish()
                yield self.catch_up(read_repository(self.git, from_tags=from_tags))
        finally:
            os.close(descriptor)

    @contextmanager
    def _marked(self, descriptor: int) -> Iterator[bool]:
        """Mark the lock while it is held, whether it was marked still, and take the mark off at an orderly end."""
        killed = os.fstat(descriptor).st_size > 0
        os.pwrite(descriptor, _MARK, 0)
        self.git.inherited = (descriptor,)
        orderly = False
        try:
            yield killed
            orderly = True
        except Exception as error:
            # What ends by an exception has waited for its children. Not so what a signal ends.
            orderly = True
            for note in self.notes:
                error.add_note(note)
            raise
        finally:
            self.git.inherited = ()
            if orderly and not self._left and not self.git.child_killed:
                os.ftruncate(descriptor, 0)

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

    # Moving refs

    def transact(self, updates: Sequence[RefUpdate]) -> None:
        """Move refs, all or none; killed in between, the next command finishes it. Raises `Refused` where one is not
        what it must be, or stays in another git's hands."""
        whole = [[update.ref, update.new, update.old] for update in updates]
        self._unwritten.write_text(json.dumps(whole), "utf-8")
        self._unwritten.replace(self._pending)
        try:
            self._update(updates)
        except GitFailed as error:
            if not error.killed:
                self._pending.unlink(missing_ok=True)
                raise
            self._clear_locks()
            if not self._finish():
                raise EdgitError("git was killed; nothing was changed", hint="try again") from None
        except EdgitError:
            self._pending.unlink(missing_ok=True)
            raise
        else:
            self._pending.unlink(missing_ok=True)

    def _update(self, updates: Sequence[RefUpdate]) -> None:
        for tries in range(BUSY_TRIES):
            try:
                self.git.update_refs(updates)
            except GitFailed as error:
                if "File exists" not in error.stderr:
                    raise
                if tries + 1 == BUSY_TRIES:
                    raise _busy(error) from None
                self.sleep(BUSY_PAUSE)
            else:
                return

    # After a kill

    def _finish(self) -> bool:
        """Finish the transaction that a killed command had begun; whether it has taken place."""
        self._unwritten.unlink(missing_ok=True)
        try:
            told = json.loads(self._pending.read_text("utf-8"))
            updates = [RefUpdate(ref, new, old) for ref, new, old in told]
        except FileNotFoundError:
            return False
        except (ValueError, TypeError):
            updates = []
        refs = self.git.refs(*(update.ref for update in updates)) if updates else {}
        begun = bool(updates) and refs.get(updates[0].ref) == updates[0].new
        rest = [update for update in updates if refs.get(update.ref) == update.old != update.new]
        if begun and rest:
            self._update(rest)
            names = ", ".join(update.ref.removeprefix(PREFIX) for update in rest)
            self.notes.append(f"finished what an earlier command had begun: {names}")
        self._pending.unlink(missing_ok=True)
        return begun

    def _clear_locks(self) -> None:
        """Remove the lock files that a killed command's git has left: a live one's are gone, or other files, after a
        moment."""
        before = {path: stamp for path in self._locks() if (stamp := _stamp(path))}
        if not before:
            return
        self.sleep(STALE_AFTER)
        left = [path for path, stamp in before.items() if _stamp(path) == stamp]
        if left and git_at_work(self._folders()):
            # One of theirs, perhaps. The mark stays, and the next command looks again.
            self._left = True
            return
        for path in left:
            path.unlink(missing_ok=True)
            self.notes.append(f"removed a lock that a killed command had left: {path.relative_to(self.git.folder)}")

    def _locks(self) -> Iterable[Path]:
        folder = self.git.folder
        for pattern in ("*.lock", "packed-refs.new", "worktrees/*/*.lock", "reftable/*.lock", "refs/**/*.lock"):
            yield from folder.glob(pattern)

    def _folders(self) -> list[Path]:
        """Where a git that works in this repository is to be found: its work trees, and its git folder."""
        told = [file.read_text().strip() for file in self.git.folder.glob("worktrees/*/gitdir")]
        main = [self.git.folder.parent] if self.git.folder.name == ".git" else []
        return [self.git.root, self.git.folder, *main, *(Path(text).parent for text in told)]

    def catch_up(self, repository: Repository) -> Repository:
        """Tags that are not where the ledger says follow it now."""
        told = follow_ledger(self, repository)
        self.notes += told
        return read_repository(self.git) if told else repository


_TAKEN = re.compile(r"[Uu]nable to create (?:file )?'?(?P<file>.+?)'?: File exists")


def _busy(error: GitFailed) -> Refused:
    found = _TAKEN.search(error.stderr)
    lock = found["file"] if found else "a lock file"
    return Refused(
        f"another git holds {lock}; nothing was changed",
        hint=f"try again when it has ended; if none is at work here, it was killed: rm '{lock}'",
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def git_at_work(folders: Sequence[Path]) -> bool:
    """Whether a git process works in one of these folders; where that cannot be told, whether there is any."""
    processes = Path("/proc")
    if not (processes / "self" / "cwd").exists():
        listed = subprocess.run(["ps", "-A", "-o", "comm="], capture_output=True, text=True, check=False).stdout
        return any(Path(line.strip()).name.startswith("git") for line in listed.splitlines())
    for process in processes.glob("[0-9]*"):
        try:
            if not (process / "comm").read_text().startswith("git"):
                continue
            where = (process / "cwd").readlink()
        except OSError:
            continue  # It has ended, or is somebody else's.
        if any(where.is_relative_to(folder) for folder in folders):
            return True
    return False
