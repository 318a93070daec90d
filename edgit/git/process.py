"""Git, asked in bulk: one process for many refs or many objects, never one for each.

Rules:

- objects are read by `cat-file --batch`, and written as one pack made here, so that a command costs a handful of
  processes however much it moves;
- refs move in one `update-ref --stdin` transaction, each with the value that it must have had;
- whatever talks to a remote is bounded: one that accepts and never answers is no reason to wait for ever;
- nothing here knows what a component is.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import signal
import struct
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgit.errors import EdgitError, NotReached, Refused
from edgit.git.objects import PACK_KINDS, Object, TreeEntry, pack_header

#: Up to so many new objects are written loose, as git does for a small fetch; more stay one pack.
_LOOSE = 100
#: How long a remote may take to say what it has, and how long it may take or give, in seconds: beside a move, and where
#: that was asked for.
FIRST_CONTACT, TRANSFER, LONG_TRANSFER = 10.0, 120.0, 600.0
#: A remote that has many refs may take longer to list them: so many more in a second.
_REFS_A_SECOND = 5_000
#: And so many objects that a partial clone has left there.
_OBJECTS_A_SECOND = 50
_BROKEN = re.compile(r"ignoring broken ref (\S+)")
_CLASH = re.compile(r"'(refs/\S+)' exists; cannot create '(refs/\S+)'")


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A ref, the object it moves to (None: it is deleted) and the one it must be at (None: it must not exist)."""

    ref: str
    new: str | None
    old: str | None


class GitFailed(EdgitError):
    """A git command failed; `stderr` is what it said. `killed` where a signal ended it."""

    def __init__(self, detail: str, *, hint: str | None = None, stderr: str = "", killed: bool = False) -> None:
        super().__init__(detail, hint=hint)
        self.stderr = stderr
        self.killed = killed

    @staticmethod
    def of(arguments: Sequence[str], stderr: str, *, killed: bool = False) -> GitFailed:
        """The error of a command that said this."""
        said = stderr.strip() or ("it was killed" if killed else "it said nothing")
        return GitFailed(f"git {' '.join(arguments[:4])} failed: {said}", stderr=stderr, killed=killed)


#: The settings that are committed and so shared, in git's own form; the repository's own go before them.
SETTINGS = ".edgit/config"


class Git:
    """A repository. `root` is the work tree, or the git folder of a bare one."""

    def __init__(self, root: Path, folder: Path, format: str, *, bare: bool = False, shallow: bool = False) -> None:
        self.root = root
        #: The git folder that all work trees share.
        self.folder = folder
        self.bare = bare
        self.shallow = shallow
        self._hash = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}[format]
        #: Handed to the child that moves refs, so that a lock held here lives as long as it does. To no other: a fetch
        #: may leave a `git gc` behind that works for minutes.
        self.inherited: tuple[int, ...] = ()
        #: Whether a signal has ended one of the children, which may have left a lock file behind.
        self.child_killed = False
        #: Whether the remote of a partial clone did not give what was asked for.
        self._away = False

    @staticmethod
    def open(start: Path) -> Git:
        """The repository that `start` lies in. Raises `EdgitError` where there is none."""
        asked = ["--git-common-dir", "--show-object-format", "--is-bare-repository", "--is-shallow-repository"]
        found = _run(start, ["rev-parse", *asked])
        if found.returncode:
            said = found.stderr.decode(errors="replace").strip()
            if "not a git repository" in said:
                raise EdgitError(f"{start} is not in a git repository", hint="next: edgit init")
            raise GitFailed.of(["rev-parse"], said)
        common, format, bare, shallow = found.stdout.decode().splitlines()
        folder = (start / common).resolve()
        is_bare = bare == "true"
        root = folder
        if not is_bare:
            top = _run(start, ["rev-parse", "--show-toplevel"])
            if top.returncode and b"must be run in a work tree" in top.stderr:
                raise EdgitError(
                    f"{start} lies in the folder that git keeps for itself",
                    hint="next: cd to the files of the work tree",
                )
            if top.returncode:
                raise GitFailed.of(["rev-parse", "--show-toplevel"], top.stderr.decode(errors="replace"))
            root = Path(top.stdout.decode().rstrip("\n"))
        return Git(root, folder, format, bare=is_bare, shallow=shallow == "true")

    @property
    def none(self) -> str:
        """The object id that stands for "no object"."""
        return "0" * (self._hash().digest_size * 2)

    def run(self, *arguments: str, input: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        """What a git command prints. Raises `GitFailed`."""
        done = self.attempt(*arguments, input=input, env=env)
        if done.returncode:
            raise GitFailed.of(arguments, done.stderr.decode(errors="replace"))
        return done.stdout

    def attempt(
        self, *arguments: str, input: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """A git command, whatever becomes of it."""
        inherited = self.inherited if arguments[0] == "update-ref" else ()
        done = _run(self.root, arguments, input=input, env=env, inherited=inherited)
        self.child_killed |= done.returncode < 0
        return done

    def text(self, *arguments: str) -> str:
        """What a git command prints, as text without the last line's end."""
        return self.run(*arguments).decode(errors="replace").rstrip("\n")

    def config(self, key: str) -> str | None:
        """A setting: this repository's own, else for edgit's own keys the one that is committed; None where it is not
        set."""
        for place in self._places(key):
            done = self.attempt("config", *place, "--get", key)
            if done.returncode == 0:
                return done.stdout.decode().rstrip("\n")
        return None

    def flag(self, key: str) -> bool:
        """A setting that is true or false; false where it is not set."""
        for place in self._places(key):
            done = self.attempt("config", *place, "--type=bool", "--get", key)
            # What is committed and cannot be read stops no rollback; a move is refused for it.
            if done.returncode not in (0, 1) and not place:
                raise GitFailed.of(["config", key], done.stderr.decode(errors="replace"))
            if done.returncode == 0:
                return done.stdout.strip() == b"true"
        return False

    @property
    def committed(self) -> list[str] | None:
        """How `git config` is told to read the settings that are committed, `SETTINGS`; None where there are none."""
        file = self.root / SETTINGS
        if self.bare:
            there = self.attempt("cat-file", "-e", f"HEAD:{SETTINGS}").returncode == 0
            return ["--blob", f"HEAD:{SETTINGS}"] if there else None
        return ["--file", str(file)] if file.is_file() else None

    def _places(self, key: str) -> Iterator[list[str]]:
        yield []
        # Whoever may commit says nothing about git itself, such as a command that it runs.
        if key.startswith("edgit.") and (committed := self.committed):
            yield committed

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Ref → the id of the object it names, for all refs below the prefixes. Raises `EdgitError` for one that git
        cannot read: it would look as if it did not exist."""
        arguments = ["for-each-ref", "--format=%(objectname) %(refname)", *prefixes]
        done = self.attempt(*arguments)
        said = done.stderr.decode(errors="replace")
        if broken := _BROKEN.search(said):
            file = self.folder / broken[1]
            raise EdgitError(
                f"the ref {broken[1]} is damaged: {file} holds no object's id",
                hint=f"what it was at is among what `git fsck` calls dangling: echo ID > '{file}'\n"
                f"to take what the remote has: rm '{file}', then: edgit pull",
            )
        if done.returncode:
            raise GitFailed.of(arguments, said)
        # Not splitlines(): a ref may hold what Unicode counts as the end of a line.
        found = (line.split(" ", 1) for line in done.stdout.decode(errors="replace").split("\n") if line)
        return {ref: id for id, ref in found}

    def ref(self, name: str) -> str | None:
        """The object that one ref names."""
        done = self.attempt("rev-parse", "--verify", "--quiet", name)
        return done.stdout.decode().strip() or None

    def commit_of(self, revision: str) -> str | None:
        """The commit that a revision names; None where it names none."""
        return self.ref(revision + "^{commit}")

    def read(self, names: Iterable[str]) -> dict[str, Object]:
        """Objects by id, or by a name such as `commit:path`; those that are missing are left out."""
        wanted = [name for name in dict.fromkeys(names) if "\n" not in name]
        if wanted and self.promisor:
            return self._read_partial(wanted, self.promisor)
        return self._read(wanted)

    def _read(self, wanted: Sequence[str]) -> dict[str, Object]:
        if not wanted:
            return {}
        out = self.run("cat-file", "--batch", input=_lines(wanted))
        found: dict[str, Object] = {}
        place = 0
        for name in wanted:
            end = out.index(b"\n", place)
            words = out[place:end].rsplit(b" ", 2)
            place = end + 1
            if len(words) != 3 or not words[2].isdigit() or words[1].decode() not in PACK_KINDS:
                continue  # `<name> missing` or `<name> ambiguous`
            size = int(words[2])
            found[name] = Object(words[1].decode(), out[place : place + size])
            place += size + 1
        return found

    def check(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of objects by a name such as `commit:path`; those that are missing are left out. What a partial clone
        has left at the remote is not missing."""
        wanted = [name for name in dict.fromkeys(names) if "\n" not in name]
        found: dict[str, str] = {}
        if wanted and self.promisor:
            found = self._ids_in_trees(wanted)
            here = self._objects_here()
            wanted = [name for name in wanted if name not in found and (not self._is_id(name) or name in here)]
        return found | self._check(wanted)

    def _check(self, wanted: Sequence[str]) -> dict[str, str]:
        if not wanted:
            return {}
        command = ["cat-file", "--batch-check=%(objectname) %(objecttype)"]
        out = self.run(*command, input=_lines(wanted)).decode(errors="replace")
        answers = zip(wanted, out.split("\n")[:-1], strict=True)
        return {name: line.split(" ")[0] for name, line in answers if line.rpartition(" ")[2] in PACK_KINDS}

    # In a partial clone git would ask the remote for each object that is missing, one by one and as long as it takes.

    @functools.cached_property
    def promisor(self) -> str | None:
        """The remote at which a partial clone has left objects; None for a whole one."""
        with contextlib.suppress(OSError):
            if "promisor" in (self.folder / "config").read_text("utf-8", errors="replace"):
                found = self.attempt("config", "--name-only", "--get-regexp", r"^remote\..*\.promisor$").stdout.decode()
                return next((name.removeprefix("remote.").removesuffix(".promisor") for name in found.split()), None)
        return None

    def _is_id(self, name: str) -> bool:
        return len(name) == len(self.none) and set(name) <= set("0123456789abcdef")

    def _objects_here(self) -> set[str]:
        """The ids of all objects that a partial clone has."""
        command = ["cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)"]
        return set(self.run(*command).decode().split())

    def _ids_in_trees(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of files by names such as `commit:path`, as the folders say them that they are in."""
        places = {}
        for name in names:
            revision, colon, path = name.partition(":")
            folder, _, file = path.rpartition("/")
            if revision and colon:
                places[name] = (f"{revision}:{folder}" if folder else revision + "^{tree}", file)
        read = self._read(list({folder for folder, _ in places.values()}))
        trees = {folder: self.tree(object.body) for folder, object in read.items() if object.kind == "tree"}
        there = ((name, trees.get(folder, {}).get(file)) for name, (folder, file) in places.items())
        return {name: entry.id for name, entry in there if entry}

    def _read_partial(self, wanted: Sequence[str], remote: str) -> dict[str, Object]:
        """What is here, and what the remote has of the rest, asked for at once; where it is away that is left out."""
        ids = {name: name for name in wanted if self._is_id(name)} | self._ids_in_trees(wanted)
        here = self._objects_here()
        if (missing := set(ids.values()) - here) and not self._away:
            command = ["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--filter=blob:none"]
            command += ["--no-write-fetch-head", "--no-auto-maintenance", "--stdin", remote]
            bound = FIRST_CONTACT + len(missing) // _OBJECTS_A_SECOND
            try:
                self.over_network(*command, remote=remote, bound=bound, input=_lines(missing))
            except NotReached:
                self._away = True
            here = self._objects_here()
        others = [name for name in wanted if name not in ids and ":" not in name]
        read = self._read([*others, *({*ids.values()} & here)])
        return {name: read[ids.get(name, name)] for name in wanted if ids.get(name, name) in read}

    def id(self, object: Object) -> str:
        """The id that git gives an object."""
        return self._hash(f"{object.kind} {len(object.body)}\0".encode() + object.body).hexdigest()

    def write(self, objects: Iterable[Object]) -> None:
        """Put objects into the repository, all or none."""
        unique = {self.id(object): object for object in objects}
        if not unique:
            return
        pack = bytearray(b"PACK" + struct.pack(">II", 2, len(unique)))
        for object in unique.values():
            pack += pack_header(PACK_KINDS[object.kind], len(object.body)) + zlib.compress(object.body, 1)
        pack += self._hash(pack).digest()
        command = ["unpack-objects", "-q"] if len(unique) <= _LOOSE else ["index-pack", "--stdin"]
        self.run(*command, input=bytes(pack))

    def tree(self, body: bytes) -> dict[str, TreeEntry]:
        """The lines of a tree object by their names."""
        size = self._hash().digest_size
        entries: dict[str, TreeEntry] = {}
        place = 0
        while place < len(body):
            space = body.index(b" ", place)
            end = body.index(b"\0", space)
            id = body[end + 1 : end + 1 + size].hex()
            entries[os.fsdecode(body[space + 1 : end])] = TreeEntry(body[place:space].decode(), id)
            place = end + 1 + size
        return entries

    def tree_object(self, entries: Mapping[str, TreeEntry]) -> Object:
        """A tree of these lines, in git's order."""
        ordered = sorted(entries.items(), key=lambda item: os.fsencode(item[0]) + (b"/" if item[1].is_tree else b""))
        lines = (f"{e.mode} ".encode() + os.fsencode(name) + b"\0" + bytes.fromhex(e.id) for name, e in ordered)
        return Object("tree", b"".join(lines))

    def update_refs(self, updates: Sequence[RefUpdate]) -> None:
        """Move refs, all or none, in the order given. Raises `Refused` where one is not what it must be."""
        if not updates:
            return
        lines = ["start"]
        for update in updates:
            if update.new is None:
                lines.append(f"delete {update.ref}\0{update.old}")
            else:
                lines.append(f"update {update.ref}\0{update.new}\0{update.old or self.none}")
        lines += ["prepare", "commit"]
        done = self.attempt("update-ref", "--stdin", "-z", input="".join(f"{line}\0" for line in lines).encode())
        if done.returncode == 0:
            return
        said = done.stderr.decode(errors="replace").strip()
        if "but expected" in said or "reference already exists" in said or "unable to resolve" in said:
            raise Refused(f"a tag was moved by another command in this moment; nothing was changed ({said})")
        if clash := _CLASH.search(said):
            there, wanted = (ref.removeprefix("refs/tags/") for ref in clash.groups())
            raise Refused(
                f"the tag {there} is in the way of {wanted}: git keeps each as a file or a folder; nothing was changed",
                hint="choose another name, or look what that tag is: git show " + there,
            )
        raise GitFailed.of(["update-ref", "--stdin"], said, killed=done.returncode < 0)

    def identity(self, role: str = "COMMITTER") -> tuple[str, str, int, str]:
        """Who acts: name, address, now in seconds, and the offset of the zone. Raises `EdgitError`."""
        done = self.attempt("var", f"GIT_{role}_IDENT")
        if done.returncode:
            raise EdgitError(
                "git does not know who you are, and every move is signed with a name",
                hint='next: git config user.name "Your Name" && git config user.email you@example.com',
            )
        who, _, rest = done.stdout.decode(errors="replace").strip().rpartition("> ")
        name, _, address = who.rpartition(" <")
        seconds, zone = rest.split(" ")
        return name, address, int(seconds), zone

    def remote(self) -> str | None:
        """The remote that moves are shared by: `edgit.remote`, else `origin`, else the only one, else None."""
        named = self.config("edgit.remote")
        known = self.text("remote").splitlines()
        if named:
            if named not in known:
                raise EdgitError(f"edgit.remote is `{named}`, and git knows {', '.join(known) or 'no remote'}")
            return named
        if "origin" in known:
            return "origin"
        return known[0] if len(known) == 1 else None

    def remote_refs(self, remote: str, *patterns: str, known: int = 0, bound: float | None = None) -> dict[str, str]:
        """Ref → object id, as the remote has them now; without those of peeled tags. A remote that is expected to have
        many refs, about as many as `known`, may take longer."""
        bound = (FIRST_CONTACT if bound is None else bound) + known // _REFS_A_SECOND
        command = ["ls-remote", "--quiet", remote, *patterns]
        listed = self.over_network(*command, remote=remote, bound=bound).decode(errors="replace")
        found = (line.split("\t", 1) for line in listed.split("\n") if line)
        return {ref: id for id, ref in found if not ref.endswith("^{}")}

    def attempt_over_network(
        self, *arguments: str, remote: str, bound: float, input: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """A git command that talks to a remote, whatever becomes of it; off a terminal it asks for no password. Raises
        `NotReached` where that takes longer than `bound`, in seconds: it is ended then, with all that it has begun."""
        env = {} if os.isatty(0) and bound > FIRST_CONTACT else self._without_questions()
        try:
            return _run(self.root, arguments, input=input, env=env, bound=bound)
        except subprocess.TimeoutExpired:
            # What it has left is looked for by the next command. A question leaves nothing.
            self.child_killed |= arguments[0] != "ls-remote"
            did = "answer" if arguments[0] == "ls-remote" else f"finish git {arguments[0]}"
            raise NotReached(
                f"{remote} did not {did} within {bound:g} s", hint="nothing was changed here; try again"
            ) from None

    def _without_questions(self) -> dict[str, str]:
        """What lets git fail where it would ask for a password."""
        own = "GIT_SSH_COMMAND" in os.environ or "GIT_SSH" in os.environ or self.config("core.sshCommand")
        ssh = {} if own else {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
        return {"GIT_TERMINAL_PROMPT": "0", **ssh}

    def over_network(self, *arguments: str, remote: str, bound: float, input: bytes | None = None) -> bytes:
        """The same. Raises `NotReached` for every failure."""
        done = self.attempt_over_network(*arguments, remote=remote, bound=bound, input=input)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise NotReached(f"git {arguments[0]} failed: {said}", hint="nothing was changed here; try again")
        return done.stdout


def _run(
    folder: Path,
    arguments: Sequence[str],
    *,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    inherited: tuple[int, ...] = (),
    bound: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """A git command. Raises `TimeoutExpired` where it takes longer than `bound`."""
    # LC_ALL: what git says is read here in two places. The optional locks are those of `git status`.
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **(env or {})}
    command = ["git", *arguments]
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=inherited
        )
    except FileNotFoundError:
        raise EdgitError("git is not installed or not on the PATH") from None
    with child:
        try:
            # Without input it is empty: git must not read what was meant for somebody else.
            out, err = child.communicate(b"" if input is None else input, timeout=bound)
        except BaseException:
            # What talks to a remote for git, such as ssh, would go on waiting for it.
            for process in [*(_below(child.pid) if bound else ()), child.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _below(process: int) -> list[int]:
    """The processes that one has begun, and those that these have."""
    parents: list[tuple[int, int]] = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.append((int(file.parent.name), int(file.read_text().rpartition(")")[2].split()[1])))
    if not parents:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        parents = [(int(pid), int(parent)) for pid, parent in map(str.split, listed.splitlines())]
    found = [process]
    for each in found:
        found += [pid for pid, parent in parents if parent == each]
    return found[1:]


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode(errors="surrogateescape")
