"""What people use today answers real networks right, in a real worker."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import suites.peers
from pytest_edgeload.job import CHECK, GO, Checked, Done, Job, JobRequest, Ready
from pytest_edgeload.measuring.peers import Peer
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store, read_graph
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.sandbox import counters, page_cache
from suites.peers import PEERS, missing, skeleton
from tests.engine.test_worker import worker
from tests.sandbox import witness


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Give a network of a little of everything, and a real one of 45 MB."""
    folder = tmp_path_factory.mktemp("store")
    if witness.in_memory(folder):
        pytest.skip(f"{folder} is in memory; set TMPDIR to a folder on a disk")
    registry = Registry(Store(folder))
    registry.register("branching", "tests.suites.networks:branching")
    registry.register("age_net", "models.caffenet:age_net")
    return registry


def _silent(_name: str, _done: int, _total: int) -> None:
    """Say nothing."""


def _job(name: str, registry: Registry) -> Job:
    """Return the job that asks both networks about two samples in turn."""
    networks = {network: str(registry.get(network, _silent)[0]) for network in registry.names}
    program = Peer(PEERS[name].program, PEERS[name].prepare).made_for(networks, registry, _silent)
    asked = tuple(JobRequest(network, sample) for sample in range(2) for network in range(2))
    return Job(Plan(()), tuple(networks.values()), asked, "read", 2, program)


def _drop(job: Job) -> None:
    """Drop from the page cache all that a program may read."""
    assert job.program is not None
    folders = map(Path, job.networks + job.program.files)
    page_cache.drop(path for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", PEERS)
def test_peer(name: str, registry: Registry) -> None:
    """Each answers both networks right, asked twice each, and fetches all weights from storage on the clock."""
    reason = missing(name)
    if reason is not None:
        pytest.skip(reason)
    job = _job(name, registry)
    weight_bytes = sum(read_graph(Path(folder)).weight_bytes for folder in job.networks)
    _drop(job)
    with worker() as process:
        assert process.ask(job) == Ready()
        before = counters.process(process.process.pid)["read_bytes"]
        assert isinstance(process.send(GO), Done)
        assert counters.process(process.process.pid)["read_bytes"] - before >= weight_bytes
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx(dict.fromkeys(range(4), 0.0), abs=OUTPUT_TOLERANCE)


class _Planted(nn.Module):
    """What unpickling it would call."""

    def __init__(self, call: Callable[..., object], *args: object) -> None:
        super().__init__()
        self._reduced = call, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._reduced


@pytest.mark.parametrize("name", ["os.mkdir", "builtins.eval", "torch.save", "subprocess.Popen"])
def test_a_planted_skeleton(tmp_path: Path, name: str) -> None:
    """A module in the cache that names more than classes of modules is refused, and nothing of it is called."""
    witness_folder = tmp_path / "called"
    module, _, attribute = name.rpartition(".")
    call = getattr(importlib.import_module(module), attribute)
    torch.save(_Planted(call, str(witness_folder)), tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"is not a module class; delete"):
        skeleton.load(tmp_path)
    assert not witness_folder.exists()


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that cannot run says what it needs and how to get it; a policy needs nothing."""
    monkeypatch.setitem(PEERS, "rival", suites.peers.Peer("m:f", "m:g", "no_such_package"))
    assert missing("rival") == "rival needs no_such_package; try pip install 'pytest-edgeload[peers]'"
    assert missing("linear") is None
