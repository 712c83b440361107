"""What people use today answers real networks right, in a real worker."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import pytest

import suites.peers
from pytest_edgeload.job import CHECK, GO, Asked, Checked, Done, Job, Ready
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.peers import Peer
from pytest_edgeload.plan import Plan
from pytest_edgeload.sandbox import steady
from pytest_edgeload.sandbox.launch import OUTPUT_TOLERANCE
from suites.peers import PEERS, missing
from tests.engine.test_worker import worker

HEADERS_BYTES = 1 << 20
"""What may be read before the clock starts: a module without weights, and what the kernel reads ahead."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Give a network of a little of everything, and a real one of 45 MB."""
    registry = Registry(Store(tmp_path_factory.mktemp("store")))
    registry.register("branching", "tests.suites.networks:branching")
    registry.register("age_net", "models.caffenet:age_net")
    return registry


def _silent(_name: str, _done: int, _total: int) -> None:
    """Say nothing."""


def _job(name: str, registry: Registry) -> Job:
    """Return the job that asks both networks about two samples in turn."""
    networks = {network: str(registry.get(network, _silent)[0]) for network in registry.names}
    program = Peer(PEERS[name].program, PEERS[name].prepare).made_for(networks, registry, _silent)
    asked = tuple(Asked(network, sample) for sample in range(2) for network in range(2))
    return Job(Plan(()), tuple(networks.values()), asked, "read", 2, program)


def _dropped(job: Job) -> list[Path]:
    """Drop from the page cache all that a program may read, and return it."""
    assert job.program is not None
    files = [path for folder in job.networks + job.program.files for path in Path(folder).rglob("*") if path.is_file()]
    steady.drop(files)
    return files


def _cached_bytes(path: Path) -> int:
    """Return how much of a file is in the page cache; see mincore(2)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory:
        pages = (ctypes.c_ubyte * -(-len(memory) // mmap.PAGESIZE))()
        begin = ctypes.c_ubyte.from_buffer(memory)
        assert ctypes.CDLL(None).mincore(ctypes.byref(begin), ctypes.c_size_t(len(memory)), pages) == 0
        del begin  # the mapping cannot be closed while something points into it
        return sum(page & 1 for page in pages) * mmap.PAGESIZE


@pytest.mark.parametrize("name", PEERS)
def test_peer(name: str, registry: Registry) -> None:
    """Each answers both networks right, asked twice each, and has read no weights before the clock starts."""
    reason = missing(name)
    if reason is not None:
        pytest.skip(reason)
    job = _job(name, registry)
    files = _dropped(job)
    with worker() as process:
        assert process.ask(job) == Ready()
        assert sum(map(_cached_bytes, files)) < HEADERS_BYTES
        assert isinstance(process.tell(GO), Done)
        assert sum(map(_cached_bytes, files)) > HEADERS_BYTES
        checked = process.tell(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx(dict.fromkeys(range(4), 0.0), abs=OUTPUT_TOLERANCE)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that cannot run says what it needs and how to get it; a policy needs nothing."""
    monkeypatch.setitem(PEERS, "rival", suites.peers.Peer("m:f", "m:g", "no_such_package"))
    assert missing("rival") == "rival needs no_such_package; try pip install 'pytest-edgeload[peers]'"
    assert missing("linear") is None
