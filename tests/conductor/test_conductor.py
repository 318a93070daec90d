"""The drop-in in a miniature of Conductor, whose habits are the real one's: tests/conductor/real.sh holds that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conductor.scenarios import SCENARIOS, WANTED
from tests.conductor.world import (
    EXAMPLE,
    HERE,
    MINIATURE,
    PROJECT,
    Conductor,
    World,
    package,
    run,
    world,
)
from tests.edge.workerd.config import ROOT

pytestmark = pytest.mark.xdist_group("conductor")


@pytest.fixture(scope="module")
def miniature() -> Iterator[World]:
    with world(Conductor("miniature", MINIATURE, EXAMPLE / "src/index.ts", (EXAMPLE, PROJECT))) as started:
        yield started


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_runs_what_the_resolver_says(miniature: World, scenario: Callable[[World], Any]) -> None:
    assert scenario(miniature) == WANTED[scenario.__name__]


def test_the_types_fit() -> None:
    """Of the miniature, the projects, and the drop-in as a project sees it."""
    package()
    run("tsc", "--project", HERE)


def test_the_package_holds_what_is_needed() -> None:
    listed = run("npm", "pack", "--dry-run", "--json", ROOT / "conductor")
    [packed] = json.loads(listed[listed.index("[\n") :])
    modules = [file.stem for file in sorted((ROOT / "conductor/src").glob("*.ts")) if file.suffixes == [".ts"]]
    wanted = {f"dist/{name}{suffix}" for name in modules for suffix in (".js", ".d.ts")}
    assert {file["path"] for file in packed["files"]} == wanted | {"LICENSE", "README.md", "package.json"}
