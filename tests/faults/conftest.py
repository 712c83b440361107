"""The small project and its sessions, as in the tests of the plugin, and sessions that need no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.conftest import begin, prepared, project, throttling
from tests.plugin.sessions import Begin, Running

__all__ = ["begin", "prepared", "project", "start", "throttling"]


@pytest.fixture
def start() -> Iterator[Begin]:
    """Return what starts a session in a folder, which is also where its cache is unless told otherwise."""
    begun: list[Running] = []

    def started(folder: Path, *args: str, **env: str) -> Running:
        own = {"PYTEST_EDGE_CACHE_DIR": str(folder / "cache"), "PYTEST_EDGE_SWAP": "off"}
        begun.append(Running(folder, *args, **own | env))
        return begun[-1]

    yield started
    for running in begun:
        running.clear()
