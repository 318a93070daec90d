"""The drop-in in a miniature of Conductor, whose habits are the real one's: tests/conductor/real.sh holds that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conductor.scenarios import SCENARIOS, WANTED
from tests.conductor.world import EXAMPLE, MINIATURE, NODE_MODULES, PROJECT, Conductor, World, run, world

pytestmark = pytest.mark.xdist_group("conductor")


@pytest.fixture(scope="module")
def miniature() -> Iterator[World]:
    with world(Conductor("miniature", MINIATURE, EXAMPLE / "src/index.ts", (EXAMPLE, PROJECT))) as started:
        yield started


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_runs_what_the_resolver_says(miniature: World, scenario: Callable[[World], Any]) -> None:
    assert scenario(miniature) == WANTED[scenario.__name__]
