"""What all tests share."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is a timing, and no timing is asserted here.
settings.register_profile("edgeload", deadline=None)
settings.load_profile("edgeload")

_LONGEST = ("uml", "docs", "plugin", "faults", "cli", "suites", "accuracy", "sandbox")


# A shell has what it starts in the background ignore Ctrl-C, and children inherit that; tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def turns(worker_id: str) -> Iterator[None]:
    """Give each process of xdist its own folder for temporary files: the lock is there by which runs take turns.

    No timing is asserted here, so tests of two processes may measure at the same time. What counts coverage is theirs
    alone, and not that of the sessions that they start.
    """
    if worker_id == "master":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tests-of-one-process-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("SLIPCOVER_ENABLED", raising=False)
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder that all processes of xdist share: a network takes seconds to make, and is made once there."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process of xdist is left alone with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.path.parent.name))


def _rank(folder: str) -> int:
    return _LONGEST.index(folder) if folder in _LONGEST else len(_LONGEST)
