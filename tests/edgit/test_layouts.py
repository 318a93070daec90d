"""A component goes on in the layout of tags that it has: the forms that each version of the real Edgit writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edgit.repo import Repo, make

#: Edgit to 0.4.0; 0.4.1 to 0.4.4; 0.5.0 and 0.5.1, also for files of a folder `logic/`.
LAYOUTS = ["components/{}", "prompts/{}", "components/prompts/{}", "logic/prompts/{}"]


def begun(folder: Path, layout: str, *names: str) -> Repo:
    """What that Edgit leaves: a version of each component, and one that is live."""
    repo = make(folder / "work")
    for name in names:
        repo.write(f"components/prompts/{name}.md", "one\n")
        tag = layout.format(name)
        repo.git("tag", "-a", f"{tag}/v1.0.0", "-m", f"Tag prompt {name} as v1.0.0")
        repo.git("tag", "-a", f"{tag}/prod", f"{tag}/v1.0.0^{{}}", "-m", f"Deploy {name}@v1.0.0 to prod")
    return repo


def tags(repo: Repo) -> set[str]:
    return set(repo.git("tag").splitlines())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_versions_and_moves_go_on_in_it(tmp_path: Path, layout: str) -> None:
    repo = begun(tmp_path, layout, "my-prompt", "other")
    before = tags(repo)
    assert repo.live("my-prompt") == "v1.0.0"
    repo.write("components/prompts/my-prompt.md", "two\n")
    repo.edgit("tag", "create", "my-prompt", "v1.1.0")
    repo.deploy("my-prompt", "v1.1.0", to="staging")
    repo.deploy("my-prompt", "v1.1.0")
    mine = layout.format("my-prompt")
    assert tags(repo) - before == {f"{mine}/v1.1.0", f"{mine}/staging"}
    assert repo.git("rev-parse", f"{mine}/prod^{{}}") == repo.git("rev-parse", f"{mine}/v1.1.0^{{}}")
    assert repo.git("cat-file", "tag", f"{mine}/v1.1.0").splitlines()[2] == f"tag {mine}/v1.1.0"
    # A version whose tag was deleted comes back under its own name.
    repo.git("tag", "-d", f"{mine}/v1.1.0")
    repo.edgit("tag", "restore", "my-prompt", "v1.1.0")
    assert f"{mine}/v1.1.0" in tags(repo)
    # A component without versions begins in the form that all others have.
    repo.write("components/prompts/new.md", "new\n")
    repo.edgit("tag", "create", "new", "v1.0.0")
    first = {"logic/prompts/{}": "components/prompts/{}"}.get(layout, layout)
    assert f"{first.format('new')}/v1.0.0" in tags(repo)
    assert repo.edgit("status").err.count("warning") == 0


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_the_highest_version_says_which_of_several_goes_on(tmp_path: Path, layout: str) -> None:
    repo = begun(tmp_path, "components/{}", "my-prompt")
    mine = layout.format("my-prompt")
    repo.git("tag", "-a", f"{mine}/v1.10.0", "-m", "x")
    repo.git("tag", "-a", "components/my-prompt/v1.9.0", "-m", "x")
    repo.edgit("adopt")
    repo.write("components/prompts/my-prompt.md", "two\n")
    repo.edgit("tag", "create", "my-prompt", "v1.11.0")
    assert f"{mine}/v1.11.0" in tags(repo)
    assert "components/my-prompt/v1.11.0" not in tags(repo)


UNUSABLE = ["my prompt", "a~b", "🙂", "x..y", "ends.lock", "ends."]


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_name_that_can_be_no_tag_is_told(tmp_path: Path, name: str) -> None:
    repo = make(tmp_path / "work")
    repo.version("good", "v1.0.0")
    path = f"components/prompts/{name}.md"
    repo.write(path, "text")
    said = f"{path}: the name `{name}` cannot be a git tag; rename it, or name it in .edgit/components.json"
    assert f"warning: {said}\n" in repo.edgit("components", "list").err
    assert f"warning: {said}\n" in repo.edgit("status").err
    assert f"{path}: warning: the name `{name}` cannot be a git tag" in repo.edgit("check").out
    # The way out that it names.
    repo.write(".edgit/components.json", f'{{"components": {{"other": {{"path": "{path}", "type": "prompt"}}}}}}')
    repo.edgit("tag", "create", "other", "v1.0.0")
    assert "cannot be a git tag" not in repo.edgit("components", "list").err


def test_a_link_is_told(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("good", "v1.0.0")
    (repo.root / "components/prompts/link.md").symlink_to("good.md")
    assert "components/prompts/link.md: it is a link; put a file there" in repo.edgit("components", "list").err


def test_the_registry_refuses_a_name_that_can_be_no_tag(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write(".edgit/components.json", '{"components": {"x..y": {"path": "a/b.md", "type": "prompt"}}}')
    assert "`x..y` cannot be a git tag" in repo.edgit("components", "list", code=1).err
