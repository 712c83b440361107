"""A project of two small networks, pytest sessions in it as a shell starts them, and the traces of a session."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import psutil
import pytest

from pytest_edgeload.results import journal
from pytest_edgeload.results.document import parse
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry, Record

TINY: Final = """\
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
"""Networks of 4 MiB, and of 28 MiB with one large layer."""

CONFTEST: Final = """\
def pytest_edge_networks(register):
    register("small", "tiny:small")
    register("wide", "tiny:wide")
"""

TEST: Final = """\
def test_case(edge, edge_policy, edge_mem):
    assert edge.run(["small", "wide"], policy=edge_policy, memory=edge_mem).outcome == "ok"
"""

NO_OTHERS: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PLUGINS: Final = ("-p", "edgeload", "-p", "xdist")
"""The options that disable other plugins, which cost a second. The tests of the documentation use all plugins."""

PATIENCE_S: Final = 100.0


def write(folder: Path, **modules: str) -> Path:
    """Write the project of the two networks into `folder`, with `modules` as further files or instead of its own."""
    for name, text in ({"tiny": TINY, "conftest": CONFTEST, "test_tiny": TEST} | modules).items():
        (folder / f"{name}.py").write_text(text)
    return folder


class Running:
    """A pytest session in a process group of its own, as a shell starts it, and its processes and files."""

    def __init__(self, folder: Path, *args: str, **env: str) -> None:
        self.folder = folder
        self._cache = Path(env["PYTEST_EDGE_CACHE_DIR"])
        self._descendants: set[psutil.Process] = set()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *PLUGINS, *args],
            cwd=folder,
            env=kept | {"COLUMNS": "120", "PY_COLORS": "0"} | NO_OTHERS | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The id of pytest's process, which is also that of its process group."""
        return self._process.pid

    def descendants(self, module: str) -> list[psutil.Process]:
        """Return the child processes of pytest that run `module`."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self._descendants.update(found)
        return [process for process in found if module in _command(process)]

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers that are alive."""
        return self.descendants("pytest_edgeload.engine.worker")

    @property
    def is_open(self) -> bool:
        """Tell whether the session has begun to prepare the machine."""
        return any(self._cache.glob(f"sessions/*.edgeload-{self.pid}-*/shared.json"))

    @property
    def on_disk(self) -> list[Entry]:
        """The measurements in the session's folder."""
        files = sorted(self._cache.glob(f"sessions/*.edgeload-{self.pid}-*/runs/*.json"))
        return [entry for entry in map(journal.read, files) if entry is not None]

    @property
    def leavings(self) -> list[str]:
        """The groups, swap files and processes of the session on the machine."""
        groups = [name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names if self._is_ours(name)]
        files = [str(path) for path in self._cache.glob("swap/*") if self._is_ours(path.name)]
        return [*groups, *files, *self._active_swaps, *(str(child) for child in self._descendants if _lives(child))]

    @property
    def _active_swaps(self) -> list[str]:
        files = [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]
        return [file for file in files if self._is_ours(Path(file).name)]

    def _is_ours(self, name: str) -> bool:
        return name.startswith(f"edgeload-{self.pid}-")

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds. Fail if the session ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self._process.poll() is None, self.end().said
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill pytest alone, without notice."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def clear(self) -> None:
        """Kill pytest if it still runs, and switch its swap off, which a failed test must not leave on."""
        self.kill()
        for file in self._active_swaps:
            subprocess.run(["/sbin/swapoff", file], check=True)

    def end(self) -> Ended:
        """Wait for the end of the session."""
        said, _ = self._process.communicate(timeout=PATIENCE_S)
        return Ended(self, self._process.returncode, said)


class Ended:
    """A session that has ended: its exit status, its output, and its files."""

    def __init__(self, running: Running, status: int, said: str) -> None:
        self.running = running
        self.status = status
        self.said = said
        self.lines = pytest.LineMatcher(said.splitlines())

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of `--edge-json=out.json`."""
        return parse((self.running.folder / "out.json").read_bytes()).records

    @property
    def settings(self) -> dict[str, str]:
        """The settings in that file."""
        return parse((self.running.folder / "out.json").read_bytes()).settings

    @property
    def measurements(self) -> list[Measurement]:
        """All measurements of the file, in the order they were made."""
        return sorted((m for record in self.records for m in record.rounds), key=lambda m: m.started)

    @property
    def tests(self) -> dict[str, ET.Element]:
        """The tests of `--junitxml=junit.xml`, by name."""
        return {case.attrib["name"]: case for case in ET.parse(self.running.folder / "junit.xml").iter("testcase")}  # noqa: S314  # our own

    def failure(self, name: str) -> ET.Element:
        """Return the failure of the test `name` in that file."""
        failure = self.tests[name].find("failure")
        assert failure is not None, self.said
        return failure


Begin = Callable[..., Running]


def overlaps(found: Iterable[Measurement]) -> list[tuple[float, float]]:
    """Return the measurements that had not ended when the next one started."""
    ordered = sorted(found, key=lambda measurement: measurement.started)
    return [(a.ended, b.started) for a, b in itertools.pairwise(ordered) if b.started < a.ended]


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
