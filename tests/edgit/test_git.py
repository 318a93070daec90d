"""Git, asked in bulk: what is asked comes back, whatever it is called, and what is written is what git would write."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgit.errors import EdgitError, Refused
from edgit.git.objects import Object, TreeEntry
from edgit.git.process import Git, RefUpdate
from tests.edgit.repo import Repo, make


@pytest.fixture(params=["sha1", "sha256"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Repo:
    return make(tmp_path / "work", format=request.param)


bodies = st.binary(max_size=60) | st.sampled_from([b"", b"\n", b"x missing\n", b"a" * 70_000, b"\0\xff\n" * 40])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(bodies, max_size=6), st.sampled_from(["sha1", "sha256"]), st.booleans())
def test_what_is_written_is_read_and_has_gits_own_id(texts: list[bytes], format: str, many: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repo = make(Path(folder) / "work", format=format)
        if many:  # Enough for one pack.
            texts = [*texts, *(f"file {number}".encode() for number in range(120))]
        with repo.here():
            git = Git.open(repo.root)
            objects = [Object("blob", text) for text in texts]
            git.write(objects)
            ids = [git.id(object) for object in objects]
            assert git.read(ids) == dict(zip(ids, objects, strict=True))
            assert git.check(ids) == {id: id for id in ids}
        for id, text in list(zip(ids, texts, strict=True))[:6]:
            (repo.root / "file").write_bytes(text)
            assert repo.git("hash-object", "--no-filters", "file") == id
        repo.git("fsck", "--strict")


def test_what_is_missing_is_left_out_and_shifts_nothing(repo: Repo) -> None:
    repo.write("a b.txt", "spaces")
    repo.write("ü\u2028 blob", "odd")
    with repo.here():
        git = Git.open(repo.root)
        names = [
            "HEAD:a b.txt",
            "HEAD:nothing",
            git.none,
            "HEAD:ü\u2028 blob",
            "",
            "HEAD:x blob",
            "HEAD:bad\udcff",
            "a\nb",
        ]
        assert set(git.check(names)) == {"HEAD:a b.txt", "HEAD:ü\u2028 blob"}
        assert {name: object.body for name, object in git.read(names).items()} == {
            "HEAD:a b.txt": b"spaces",
            "HEAD:ü\u2028 blob": b"odd",
        }
        assert git.read([]) == {}
        assert git.check([]) == {}


def test_refs_of_any_name(repo: Repo) -> None:
    for name in ("components/x/a\u2028b", "n\u0085l", "a\x1f".strip("\x1f"), "ü"):
        repo.git("tag", name)
    with repo.here():
        git = Git.open(repo.root)
        found = git.refs("refs/tags")
        assert set(found) == {f"refs/tags/{name}" for name in ("components/x/a\u2028b", "n\u0085l", "a", "ü")}
        assert set(found.values()) == {git.commit_of("HEAD")}
        assert git.refs("refs/tags/nothing") == {}
        assert git.ref("refs/tags/nothing") is None


def test_trees_are_ordered_as_git_orders_them(repo: Repo) -> None:
    repo.write("a/b", "1")
    repo.write("a.b", "2")
    repo.write("a-b", "3")
    repo.write("ü\u2028", "4")
    (repo.root / os.fsdecode(b"bad-\xff")).write_text("5")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "more")
    with repo.here():
        git = Git.open(repo.root)
        id = git.text("rev-parse", "HEAD^{tree}")
        entries = git.tree(git.read([id])[id].body)
        assert set(entries) == {"a", "a.b", "a-b", "ü\u2028", "bad-\udcff"}
        assert [name for name, entry in entries.items() if entry.is_tree] == ["a"]
        assert git.id(git.tree_object(dict(sorted(entries.items())))) == id


def test_a_link_and_a_submodule_are_no_files() -> None:
    assert [mode for mode in ("100644", "100755", "120000", "160000", "40000") if TreeEntry(mode, "").is_file] == [
        "100644",
        "100755",
    ]


def test_refs_move_all_or_none(repo: Repo) -> None:
    with repo.here():
        git = Git.open(repo.root)
        head = git.commit_of("HEAD")
        git.update_refs([RefUpdate("refs/tags/a", head, None), RefUpdate("refs/tags/b", head, None)])
        before = git.refs()
        repo.write("x", "x")
        new = git.commit_of("HEAD")
        for wrong in (
            RefUpdate("refs/tags/b", new, None),
            RefUpdate("refs/tags/b", new, new),
            RefUpdate("refs/tags/c", new, head),
            RefUpdate("refs/tags/b", None, new),
            RefUpdate("refs/tags/b/below", new, None),
        ):
            with pytest.raises(Refused):
                git.update_refs([RefUpdate("refs/tags/a", new, head), wrong])
            assert {ref: id for ref, id in git.refs().items() if ref.startswith("refs/tags/")} == {
                ref: id for ref, id in before.items() if ref.startswith("refs/tags/")
            }
        git.update_refs([RefUpdate("refs/tags/a", None, head), RefUpdate("refs/tags/c", new, None)])
        assert set(git.refs("refs/tags")) == {"refs/tags/b", "refs/tags/c"}
        git.update_refs([])


@pytest.mark.parametrize(
    ("remotes", "named", "found"),
    [
        ([], None, None),
        (["origin", "b"], None, "origin"),
        (["b"], None, "b"),
        (["a", "b"], None, None),
        (["a", "b"], "b", "b"),
    ],
)
def test_the_remote_that_is_meant(remotes: list[str], named: str | None, found: str | None, tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    for remote in remotes:
        repo.git("remote", "add", remote, "nowhere")
    if named:
        repo.git("config", "edgit.remote", named)
    with repo.here():
        assert Git.open(repo.root).remote() == found


def test_a_remote_that_git_does_not_know(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.git("config", "edgit.remote", "gone")
    with repo.here(), pytest.raises(EdgitError, match="`gone`, and git knows no remote"):
        Git.open(repo.root).remote()


def test_who_acts(tmp_path: Path) -> None:
    repo = make(tmp_path / "work", name="Ada <x> B")
    with repo.here():
        name, address, at, zone = Git.open(repo.root).identity()
    assert (at, zone) == (repo.now, "+0000")
    assert "Ada" in name
    assert "@example.com" in address
    nobody = Repo(repo.root, env=dict.fromkeys(("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), ""))
    nobody.git("config", "user.useConfigOnly", "true")
    with nobody.here(), pytest.raises(EdgitError, match="git does not know who you are"):
        Git.open(repo.root).identity()


def test_words_of_git_that_are_read_do_not_depend_on_the_language(tmp_path: Path) -> None:
    folder = Repo(tmp_path, env={"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"})
    with folder.here(), pytest.raises(EdgitError, match="is not in a git repository"):
        Git.open(tmp_path)
