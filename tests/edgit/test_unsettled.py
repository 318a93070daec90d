"""Making a version while git is in the middle of something, with hooks, and of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edgit.repo import Repo, copied, make, with_remote

FILE = "components/prompts/my-prompt.md"


def two_branches(folder: Path) -> Repo:
    """`main` and `other` have changed the same line."""
    made = make(folder / "work")
    made.version("my-prompt", "v1.0.0", "one\n")
    made.git("switch", "--quiet", "-c", "other")
    made.write(FILE, "theirs\n")
    made.git("switch", "--quiet", "main")
    made.write(FILE, "ours\n")
    return made


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(two_branches, tmp_path)


def whole(repo: Repo) -> tuple[str, str, str]:
    """All that a user could lose: the index, the file, and the refs."""
    return repo.git("ls-files", "--stage"), (repo.root / FILE).read_text(), str(repo.refs())


def test_a_merge_with_a_conflict_stays_as_it_is(repo: Repo) -> None:
    assert repo.run("merge", "other").code == 1
    before = whole(repo)
    answer = repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3)
    assert f"{FILE} is in the middle of a merge" in answer.err
    assert "edgit tag create my-prompt v1.1.0 HEAD" in answer.err
    assert whole(repo) == before
    assert (repo.root / ".git/MERGE_HEAD").is_file()
    # The way round that it names works, and disturbs nothing either.
    repo.edgit("tag", "create", "my-prompt", "v1.1.0", "HEAD")
    assert whole(repo)[:2] == before[:2]
    assert repo.git("show", f"components/my-prompt/v1.1.0:{FILE}") == "ours"


@pytest.mark.parametrize(
    ("begin", "doing"),
    [
        (("merge", "--no-commit", "--no-ff", "side"), "merge"),
        (("cherry-pick", "other"), "cherry-pick"),
        (("revert", "--no-edit", "HEAD~1"), "revert"),
        (("rebase", "other"), "rebase"),
    ],
)
def test_what_is_under_way_is_not_committed_into(repo: Repo, begin: tuple[str, ...], doing: str) -> None:
    repo.git("branch", "side", "HEAD~1")
    repo.git("switch", "--quiet", "side")
    repo.write("elsewhere.txt", "x")
    repo.git("switch", "--quiet", "main")
    repo.run(*begin)
    # Whatever became of it, the file is settled and has a change.
    (repo.root / FILE).write_text("settled\n")
    repo.git("add", FILE)
    before = whole(repo)
    answer = repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3)
    assert f"a {doing} is under way, and {FILE} has changes" in answer.err
    assert whole(repo) == before


def test_a_hook_that_reformats_makes_the_version(repo: Repo) -> None:
    repo.hook("pre-commit", f"tr a-z A-Z < {FILE} > x && cat x > {FILE} && rm x && git add {FILE}")
    repo.write(FILE, "quiet\n", commit=False)
    repo.edgit("tag", "create", "my-prompt", "v1.1.0")
    assert repo.git("show", f"components/my-prompt/v1.1.0:{FILE}") == "QUIET"
    assert repo.git("status", "--porcelain") == ""


def test_a_hook_that_refuses_leaves_a_new_file_unknown_to_git(repo: Repo) -> None:
    repo.hook("pre-commit", "echo no such luck >&2; exit 1")
    repo.write("components/prompts/new.md", "new\n", commit=False)
    before = whole(repo)
    answer = repo.edgit("tag", "create", "new", "v1.0.0", code=1)
    assert "no such luck\nno version was made" in answer.err
    assert whole(repo) == before
    assert repo.git("status", "--porcelain") == "?? components/prompts/new.md"


def test_the_branch_with_the_new_commit_is_named(tmp_path: Path) -> None:
    repo, remote = with_remote(tmp_path)
    repo.git("config", "edgit.autoPush", "true")
    repo.write(FILE, "one\n", commit=False)
    answer = repo.edgit("tag", "create", "my-prompt", "v1.0.0")
    assert answer.err.splitlines()[-1] == "next: git push origin main"
    assert "refs/tags/components/my-prompt/v1.0.0" in remote.refs()
    repo.git("push", "--quiet", "origin", "main")
    assert "git push" not in repo.edgit("tag", "create", "my-prompt", "v1.0.1", "HEAD").err


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
MARKERS = b"one\n<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> other\n"
FILES = {
    "not UTF-8 text (byte 9, line 2), and looks like Latin-1: iconv": (b"Title\nsch\xf6ne\n", 1),
    "not UTF-8 text (byte 5, line 1), and looks binary": (b"PNG\x00\x01\xff", 1),
    "and looks like UTF-16": ("one".encode("utf-16"), 1),
    "it has 26,214,401 bytes, and KV takes 26,214,400 (25 MiB)": (b"x" * (25 * 1024 * 1024 + 1), 1),
    "it is a pointer of Git LFS": (LFS, 0),
    "the markers of a merge conflict (line 2)": (MARKERS, 0),
}


@pytest.mark.parametrize(
    ("said", "data", "exits"), [(said, *each) for said, each in FILES.items()], ids=range(len(FILES))
)
def test_files_that_are_no_versions(repo: Repo, said: str, data: bytes, exits: int) -> None:
    (repo.root / FILE).write_bytes(data)
    before = repo.refs()
    assert said in repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3).err
    assert repo.git("status", "--porcelain") == f" M {FILE}"
    assert repo.refs() == before
    assert said in repo.edgit("check", code=exits).out
    # Committed by other means, it is refused as well.
    repo.git("commit", "--quiet", "-am", "Whatever")
    assert said in repo.edgit("tag", "create", "my-prompt", "v1.1.0", code=3).err
    if not exits:
        repo.edgit("tag", "create", "my-prompt", "v1.1.0", "--as-is")
    else:
        repo.edgit("tag", "create", "my-prompt", "v1.1.0", "--as-is", code=3)


def test_what_only_looks_like_a_conflict_is_none(repo: Repo) -> None:
    repo.write(FILE, "Title\n=======\n\n<<<<<<< is how a conflict begins\n")
    repo.edgit("tag", "create", "my-prompt", "v1.1.0")
    assert "no ensembles" in repo.edgit("check", code=1).err
