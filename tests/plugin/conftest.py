"""A project of two small networks, prepared once for all tests here; sessions started in it, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import psutil
import pytest

from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.report.json import parse
from pytest_edgeload.results import journal
from pytest_edgeload.results.record import Case, Entry, Measurement, Record

TINY: Final = """
import torch
from torch import nn

def _samples(width):
    return [(torch.linspace(-1, 1, width).reshape(1, width) + image,) for image in range(2)]

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 512)), _samples(512)

def wide():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(256, 28 * 1024), nn.ReLU(), nn.Linear(28 * 1024, 8)), _samples(256)
"""
"""Networks of 4 MiB, and of 28 MiB most of which is one layer."""

CONFTEST: Final = """
def pytest_edge_networks(register):
    register("small", "tiny:small")
    register("wide", "tiny:wide")
"""

TEST: Final = """
def test_case(edge, edge_policy, edge_mem):
    assert edge.run(["small", "wide"], policy=edge_policy, memory=edge_mem).outcome == "ok"
"""

PATIENCE_S: Final = 100.0


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder that holds both networks."""
    source, cache = tmp_path_factory.mktemp("tiny"), tmp_path_factory.mktemp("cache")
    (source / "tiny.py").write_text(TINY)
    registry = Registry(Store(cache))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(source)
        for name in ("small", "wide"):
            registry.register(name, f"tiny:{name}")
            registry.get(name, lambda _name, _done, _total: None)
    return cache


@pytest.fixture
def bare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return an empty project in an environment that says nothing to the plugin."""
    for name in [name for name in os.environ if name.startswith("PYTEST_EDGE_")]:
        monkeypatch.delenv(name)
    return pytester


@pytest.fixture
def project(bare: pytest.Pytester, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return the project of the two networks with `test_tiny.py`; no worker of it may swap unless a test says so."""
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(prepared))
    monkeypatch.setenv("PYTEST_EDGE_SWAP", "off")
    bare.makepyfile(tiny=TINY, conftest=CONFTEST, test_tiny=TEST)
    return bare


def records(file: Path) -> tuple[Record, ...]:
    """Return what --edge-json wrote."""
    return parse(file.read_bytes()).records


def cases(found: Iterable[Record]) -> set[tuple[Case, int]]:
    """Return the cases of `found`, each with how often it was measured."""
    return {(record.case, len(record.rounds)) for record in found}


def measurements(found: Iterable[Record]) -> list[Measurement]:
    """Return all measurements of `found` in the order they were made."""
    return sorted((m for record in found for m in record.rounds), key=lambda measurement: measurement.started)


def overlaps(found: Iterable[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """Return the neighbours in time of which the second started before the first had ended."""
    ordered = sorted(found, key=lambda measurement: measurement.started)
    return [(a, b) for a, b in zip(ordered, ordered[1:], strict=False) if b.started < a.ended]


class Running:
    """A pytest session in a process group of its own, as a shell starts it, and what it has done so far."""

    def __init__(self, project: pytest.Pytester, cache: Path, *args: str) -> None:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
        self._process = project.popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._cache = cache
        self._descendants: set[psutil.Process] = set()

    @property
    def pid(self) -> int:
        """The id of pytest's process, which is also that of its process group."""
        return self._process.pid

    @property
    def workers(self) -> list[psutil.Process]:
        """The capped workers that are alive."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self._descendants.update(found)
        return [process for process in found if "pytest_edgeload.engine.worker" in _command(process)]

    @property
    def on_disk(self) -> list[Entry]:
        """The measurements that stand in the session's folder."""
        files = sorted(self._cache.glob(f"sessions/*.edgeload-{self.pid}-*/runs/*.json"))
        return [entry for entry in map(journal.read, files) if entry is not None]

    @property
    def leavings(self) -> list[str]:
        """What the session has on the machine: groups, swap files, processes."""
        groups = [name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names if self._is_ours(name)]
        swaps = [str(path) for path in self._cache.glob("swap/*") if self._is_ours(path.name)]
        active = [line for line in Path("/proc/swaps").read_text().splitlines() if f"/edgeload-{self.pid}-" in line]
        return [*groups, *swaps, *active, *(str(child) for child in self._descendants if _lives(child))]

    def _is_ours(self, name: str) -> bool:
        return name.startswith(f"edgeload-{self.pid}-")

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds; fail where the session ends before it does."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self._process.poll() is None, self.end()[1]
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to pytest and all that it started in its process group: what Ctrl-C does."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill pytest alone, without notice."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def end(self) -> tuple[int, str]:
        """Wait for the end of the session; return its exit status and all it said."""
        out, _ = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, out.decode()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
