"""The small project as fixtures. Its networks are prepared once for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.constraints import disks_of
from tests.network_cache import copy_networks
from tests.plugin.sessions import NO_OTHERS, PLUGINS, Begin, Running, write


@pytest.fixture(scope="session")
def prepared(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder with the networks of the project."""
    source = write(tmp_path_factory.mktemp("source"))
    return copy_networks(shared, tmp_path_factory.mktemp("cache"), source, "tiny", "small", "wide")


@pytest.fixture(scope="session")
def begin(prepared: Path) -> Iterator[Begin]:
    """Return a function that starts a session in a folder, with the prepared networks. Kill what is left at the end."""
    begun: list[Running] = []
    # Without a limit, no idle worker has to be measured first.
    usual = {"PYTEST_EDGE_CACHE_DIR": str(prepared), "PYTEST_EDGE_SWAP": "off", "PYTEST_EDGE_MEM": "none"}

    def start(folder: Path, *args: str, **env: str) -> Running:
        begun.append(Running(folder, *args, **usual | env))
        return begun[-1]

    yield start
    for running in begun:
        running.clear()


@pytest.fixture(scope="session")
def throttling(prepared: Path) -> str:
    """Return the option that limits reads to 20 MiB per second; skip if no cap can enforce it."""
    try:
        choose("auto", 20 << 20)
        disks_of(Constraints(read_bps=20 << 20), [prepared], [])
    except Refusal as error:
        pytest.skip(str(error))
    return "--edge-read-bw=20M"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the project of the two networks and `test_tiny.py`."""
    return write(tmp_path)


@pytest.fixture
def bare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return an empty project in an environment without variables of the plugin."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_EDGE_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    for name, value in NO_OTHERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(PLUGINS))
    return pytester
