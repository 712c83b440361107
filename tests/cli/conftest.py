"""The project with its networks, which are made once, and a function that runs the command there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import OWN, Done, Run, run_in
from tests.network_cache import copy_networks
from tests.plugin.sessions import write


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project of two small networks."""
    return write(tmp_path_factory.mktemp("source"), conftest=OWN)


@pytest.fixture(scope="session")
def cache(shared: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the stored networks."""
    return copy_networks(shared, tmp_path_factory.mktemp("cache"), source, "tiny", "small", "wide")


@pytest.fixture(scope="session")
def run(cache: Path, source: Path) -> Run:
    """Return a function that runs the command in the project, or in another folder, with the stored networks."""

    def start(*arguments: str, folder: Path = source) -> Done:
        return run_in(folder, *arguments, cache=cache)

    return start
