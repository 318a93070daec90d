"""`edgit check`: every reference of an ensemble that leads nowhere is found at its place, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.components.check import Finding, KnownComponents, check
from resolver.snapshot import Resolver, Snapshot
from tests.edgit.repo import Repo, make

VERSIONS = {
    "my-prompt": ("v1.1.0", "v1.0.0"),
    "company": ("v2.0.0-rc.1", "v1.5.0", "v1.4.2"),
    "mail/header": ("v0.9.0",),
}
POINTERS = {
    "my-prompt": {"prod": "v1.0.0", "latest": "v1.1.0", "stable": "v1.1.0"},
    "company": {"prod": "v1.5.0", "staging": "v2.0.0-rc.1", "latest": "v2.0.0-rc.1", "stable": "v1.5.0"},
    "mail/header": {"latest": "v0.9.0", "stable": "v0.9.0"},
}
TYPES: Mapping[str, str] = {"my-prompt": "prompt", "company": "query"}


def known(lost: frozenset[tuple[str, str]] = frozenset()) -> KnownComponents:
    return KnownComponents(
        Resolver(Snapshot(pointers=POINTERS, indexes=VERSIONS, types=TYPES)),
        VERSIONS,
        reachable=lambda component, version: (component, version) not in lost,
    )


def findings(text: str, environment: str = "prod", **more: frozenset[tuple[str, str]]) -> list[Finding]:
    return check([("flow.yaml", text)], known(**more), environment)[0]


def ensemble(*references: str, field: str = "component") -> str:
    """An ensemble of one agent for each reference; the first one stands in line 6, the next in line 9."""
    agents = "".join(
        f"  - name: agent-{place}\n    operation: think\n    {field}: {reference}\n"
        for place, reference in enumerate(references)
    )
    return f"ensemble: sample\n\nagents:\n{agents}"


@pytest.mark.parametrize(
    ("reference", "kind", "said"),
    [
        ("nobody@v1.0.0", "dangling", "unknown component `nobody`"),
        ("my-promt@prod", "dangling", "Did you mean `my-prompt`?"),
        ("my-prompt@v1.2.0", "dangling", "my-prompt has no v1.2.0; it has v1.0.0, v1.1.0"),
        ("my-prompt@^2.0.0", "out of range", "2.0.0"),
        ("my-prompt@staging", "dangling", "staging"),
        ("mail/header", "dangling", "prod"),
        ("query://my-prompt@prod", "type", "of the type prompt, and there is no query of that name"),
    ],
)
def test_what_leads_nowhere(reference: str, kind: str, said: str) -> None:
    (found,) = findings(ensemble("my-prompt", f'"{reference}"'))
    assert (found.file, found.line, found.column) == ("flow.yaml", 9, 16)
    assert found.kind == kind
    assert said in found.detail
    assert str(found).startswith(f"flow.yaml:9:16: {kind}: ")


def test_a_version_without_a_file_is_unreachable() -> None:
    lost = frozenset({("my-prompt", "v1.0.0")})
    (pointer, pin) = findings(ensemble("my-prompt@prod", "my-prompt@v1.0.0", "my-prompt@v1.1.0"), lost=lost)
    assert {pointer.kind, pin.kind} == {"unreachable"}
    assert "my-prompt v1.0.0 has no file in git any more" in pointer.detail


def test_the_environment_is_that_of_references_without_one() -> None:
    assert not findings(ensemble("company"), environment="staging")
    (found,) = findings(ensemble("my-prompt"), environment="staging")
    assert "staging" in found.detail


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("ensemble: [", 1, None),
        ("ensemble: a\nagents:\n  - name: x\n    name: y\n", 4, 5),
        ("just text\n", 1, 1),
    ],
)
def test_an_ensemble_that_cannot_be_read_is_a_finding(text: str, line: int, column: int | None) -> None:
    (found,) = findings(text)
    assert found.kind == "invalid"
    assert found.line == line
    assert column is None or found.column == column


def test_all_files_are_looked_at_to_their_end() -> None:
    texts = [
        ("b.yaml", ensemble("nobody@prod", "nothing@prod")),
        ("a.yaml", "ensemble: ["),
        ("c.yaml", ensemble("my-prompt")),
    ]
    found, count = check(texts, known(), "prod")
    assert [(each.file, each.line) for each in found] == [("a.yaml", 1), ("b.yaml", 6), ("b.yaml", 9)]
    assert count == 3


def test_plain_text_is_no_reference() -> None:
    assert not findings(ensemble('"Say hello to the customer."', "summary", field="prompt"))


SLIPS = """ensemble: sample
agents:
  - name: summarize
    component: my-prompt
    conditon: ${input.ok}
flow:
  - agent: sumarize
  - agent: my-promt
  - agent: summarize
    when: ${inptu.ok && tenant.ok}
"""


def test_slips_are_findings_and_unknown_names_are_warnings() -> None:
    assert [(found.line, found.column, found.kind, found.detail) for found in findings(SLIPS)] == [
        (5, 5, "slip", "`conditon` is no field that is known here, and does nothing. Did you mean `condition`?"),
        (7, 12, "slip", "no agent `sumarize` is defined here. Did you mean `summarize`?"),
        (10, 13, "slip", f"nothing here is called `inptu`. Did you mean `input`? There are: {NAMES}"),
        (10, 25, "warning", f"nothing here is called `tenant`. There are: {NAMES}"),
    ]


NAMES = "agents, env, input, my-promt, params, state, sumarize, summarize, trigger"


def test_an_agent_that_is_a_component_is_no_slip() -> None:
    text = "name: sample\nagents: [{name: my-prompts}]\nflow: [{agent: my-prompts}, {agent: my-prompt}]\n"
    assert findings(text) == []


# What exists is never found fault with, and one broken reference among them always is.

_good = st.one_of(
    *(
        st.sampled_from(
            [
                *(f"{name}@{version}" for version in VERSIONS[name]),
                *(f"{name}@{pointer}" for pointer in POINTERS[name]),
                *([name] if "prod" in POINTERS[name] else []),
                f"{name}@>=0.1.0",
                *([f"{TYPES[name]}://{name}@latest"] if TYPES[name] else []),
            ]
        )
        for name in VERSIONS
    )
)


@given(st.lists(_good, min_size=1, max_size=8))
def test_an_ensemble_whose_references_all_exist_has_no_finding(references: list[str]) -> None:
    found, count = check([("flow.yaml", ensemble(*(f'"{each}"' for each in references)))], known(), "prod")
    assert found == []
    assert count == len(references)


@given(st.lists(_good, max_size=5), _good, st.lists(_good, max_size=5))
def test_one_broken_reference_is_the_one_finding(before: list[str], chosen: str, after: list[str]) -> None:
    broken = f"{chosen.partition('@')[0]}@v77.0.0"
    (found,) = findings(ensemble(*(f'"{each}"' for each in (*before, broken, *after))))
    assert (found.kind, found.line) == ("dangling", 6 + 3 * len(before))


# The command


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = make(tmp_path / "work")
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    return repo


def test_the_command_finds_ensembles_and_exits_1(repo: Repo) -> None:
    repo.write("ensembles/good.yaml", ensemble("my-prompt@v1.0.0"))
    answer = repo.edgit("check")
    assert answer.out == ""
    assert answer.err == "note: 1 reference in 1 ensemble: all of them lead to a version\n"
    repo.write("components/ensembles/bad.yaml", ensemble("my-prompt@v3.0.0"))
    answer = repo.edgit("check", code=1)
    assert answer.out.startswith("components/ensembles/bad.yaml:6:16: dangling: ")
    assert "2 references in 2 ensembles: 1 of them leads nowhere" in answer.err
    (found,) = json.loads(repo.edgit("check", "--format", "json", code=1).out)
    assert (found["file"], found["line"], found["column"]) == ("components/ensembles/bad.yaml", 6, 16)
    assert repo.edgit("check", "ensembles").code == 0


def test_slips_fail_the_command_and_warnings_do_not(repo: Repo) -> None:
    repo.write("ensembles/one.yaml", ensemble("my-prompt") + "    when: ${tenant.ok}\n")
    answer = repo.edgit("check")
    assert answer.out.startswith("ensembles/one.yaml:7:13: warning: nothing here is called `tenant`.")
    assert answer.err == "note: 1 reference in 1 ensemble: all of them lead to a version\n"
    repo.write("ensembles/two.yaml", ensemble("my-prompt") + "    whenn: x\n")
    answer = repo.edgit("check", code=1)
    assert "ensembles/two.yaml:7:5: slip: `whenn` is no field" in answer.out
    assert "2 references in 2 ensembles: all of them lead to a version" in answer.err
    assert "note: 1 slip: what is written is nearly something else" in answer.err


def test_a_deleted_tag_is_dangling_no_more_once_it_is_back(repo: Repo) -> None:
    repo.write("ensembles/pin.yaml", ensemble("my-prompt@v1.0.0"))
    repo.git("tag", "--delete", "components/my-prompt/v1.0.0")
    # The ledger has its file: what is deployed is never lost, and so it is no finding.
    repo.edgit("check")
    repo.edgit("tag", "restore", "my-prompt", "v1.0.0")
    repo.edgit("check")


def test_a_tag_whose_commit_has_no_such_file_is_unreachable(repo: Repo) -> None:
    empty = repo.git("rev-list", "--max-parents=0", "HEAD")
    repo.git("tag", "components/my-prompt/v2.0.0", empty)
    repo.write("ensembles/pin.yaml", ensemble("my-prompt@v2.0.0"))
    assert "unreachable: " in repo.edgit("check", code=1).out


def test_nothing_to_check_is_an_error(repo: Repo) -> None:
    assert "there are no ensembles here" in repo.edgit("check", code=1).err
