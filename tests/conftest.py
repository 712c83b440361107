"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, is_own, tag

# PyTorch 2.13's oneDNN dereferences a null pointer in some bfloat16 convolutions on processors with AVX512-FP16 or AMX.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

# Every run draws the same examples, so that no test fails by luck, and because they do not change, 30 are enough;
# `make fuzz` explores others. A deadline is a timing, and tests here assert no timing.
settings.register_profile("edgeload", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=10)  # of `make quick`
settings.register_profile("explore", deadline=None, max_examples=500)  # of `make fuzz`
settings.load_profile("edgeload")

_TESTS = "tests-"  # of folders; tests look for names of the plugin's own prefix

_SLOWEST_FIRST = ("uml", "docs", "hosts", "peers", "plugin", "faults", "cli", "suites", "accuracy", "sandbox")


# A shell makes its background processes ignore Ctrl-C, `nohup` makes its own ignore the end of a terminal, and children
# inherit this, but some tests send both to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_sessionstart() -> None:
    """Draw no constants from the code of the modules loaded so far, which depend on the tests that ran before."""
    if settings().derandomize:
        providers._get_local_constants = lambda: providers._local_constants


@pytest.fixture(scope="session", autouse=True)
def turns(worker_id: str) -> Iterator[None]:
    """Give each process of xdist its own temporary folder, and with it its own lock for measured runs.

    Tests assert no timing, so tests of two processes may measure at the same time. Coverage is collected in these
    processes only, not in the sessions that they start.
    """
    if worker_id == "master":
        yield
        return
    temporary = Path(tempfile.gettempdir())
    for left in temporary.glob(f"{_TESTS}*"):
        if is_abandoned(left.name.replace(_TESTS, PREFIX)) and is_own(left):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = temporary / f"{_TESTS}{tag(os.getpid())}"
    folder.mkdir()
    folder.chmod(0o711)  # users in a namespace of their own go through it
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SLIPCOVER_ENABLED", raising=False)
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield
    shutil.rmtree(folder, ignore_errors=True)  # processes that a test left may still write there


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder that all processes of xdist share, for networks, which take seconds to create."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest tests first, so that no process of xdist runs them alone at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.path.parent.name))


def _rank(folder: str) -> int:
    return _SLOWEST_FIRST.index(folder) if folder in _SLOWEST_FIRST else len(_SLOWEST_FIRST)
