"""Why this module exists: whatever a test of real processes leaves behind is ended here, also when the test fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Command, Family

Start = Callable[..., Command]


@pytest.fixture(scope="module")
def family() -> Iterator[Family]:
    """The processes of this module's tests; none outlives it."""
    family = Family()
    yield family
    family.end()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home, shared by the tests of a module."""
    return tmp_path_factory.mktemp("swarm")


@pytest.fixture(scope="module")
def start(family: Family, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """``start("local", "--rounds", "3", SETTING="x")`` runs ``swarm`` in the module's home (or ``--home`` as given)."""
    folder = tmp_path_factory.mktemp("output")

    def run(*arguments: str, **settings: str) -> Command:
        place = () if "--home" in arguments else ("--home", str(home))
        return Command(family, folder, [*arguments, *place], settings)

    return run
