"""Three hosts for all tests of this folder, and sessions on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hosts.network import Machine, machines, missing
from tests.plugin.sessions import Running

Session = Callable[..., Running]


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, ...]]:
    """Return three hosts; skip if this machine cannot have them."""
    if reason := missing():
        pytest.skip(reason)
    with machines(tmp_path_factory.mktemp("hosts")) as found:
        yield found


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Return a function that starts a session on the hosts of tables, in the folder `project` with `test_it.py`."""
    begun: list[Running] = []
    project = tmp_path / "project"
    project.mkdir()

    def start(test: str, tables: str, *args: str, **env: str) -> Running:
        (project / "test_it.py").write_text(test)
        (tmp_path / "boards.toml").write_text(tables)
        usual = {"PYTEST_EDGE_CACHE_DIR": str(tmp_path / f"cache{len(begun)}"), "PYTEST_EDGE_SWAP": "off"}
        option = f"--edge-hosts={tmp_path / 'boards.toml'}"
        begun.append(Running(project, "-p", "cacheprovider", option, *args, **usual | env))
        return begun[-1]

    yield start
    for running in begun:
        running.clear()
