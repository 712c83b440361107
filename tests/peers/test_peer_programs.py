"""The peers answer real networks correctly, in a real worker."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.job import CHECK, GO, Checked, Done, Job, JobRequest, Ready
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.peers import PEERS, missing, skeleton
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.sandbox import counters, page_cache
from tests.engine.test_worker import worker
from tests.sandbox import witness


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return the registry of a small network with many types of layers, and a real one of 45 MB."""
    folder = tmp_path_factory.mktemp("store")
    if witness.in_memory(folder):
        pytest.skip(f"{folder} is in memory; set TMPDIR to a folder on a disk")
    registry = Registry(Store(folder))
    registry.register("branching", "tests.peers.networks:branching")
    registry.register("age_net", "models.caffenet:age_net")
    return registry


def _silent(_name: str, _done: int, _total: int) -> None:
    """Report no progress."""


def _job(name: str, registry: Registry) -> Job:
    """Return the job with requests for both networks, two samples each, in turn."""
    networks = {network: str(registry.get(network, _silent)[0]) for network in registry.names}
    program = PEERS[name].program_for(networks, registry, _silent)
    requests = tuple(JobRequest(network, sample) for sample in range(2) for network in range(2))
    return Job(Plan(()), tuple(networks.values()), requests, "read", 2, program)


def _drop(job: Job) -> None:
    """Drop all files that a program may read from the page cache."""
    assert job.program is not None
    folders = map(Path, job.networks + job.program.files)
    page_cache.drop(path for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", PEERS)
def test_peers_answer_correctly_from_storage(name: str, registry: Registry) -> None:
    """Each peer answers both networks correctly, twice each, and fetches all weights from storage on the clock."""
    if (refusal := missing(name)) is not None:
        pytest.skip(str(refusal))
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
    """An object whose unpickling would call a function."""

    def __init__(self, call: Callable[..., object], *args: object) -> None:
        super().__init__()
        self._reduced = call, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._reduced


@pytest.mark.parametrize("name", ["os.mkdir", "builtins.eval", "torch.save", "subprocess.Popen"])
def test_a_planted_skeleton_is_refused(tmp_path: Path, name: str) -> None:
    """A cached module with names other than module classes is refused, and no function is called."""
    witness_folder = tmp_path / "called"
    module, _, attribute = name.rpartition(".")
    call = getattr(importlib.import_module(module), attribute)
    torch.save(_Planted(call, str(witness_folder)), tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"is not a module class; delete"):
        skeleton.load(tmp_path)
    assert not witness_folder.exists()
