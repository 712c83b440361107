"""The peers answer real networks correctly, in a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.job import CHECK, GO, Checked, Done, Job, JobRequest, Ready
from pytest_edgeload.networks.folder import read_graph, weight_files
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.peers import PEERS, missing
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.sandbox import counters, page_cache
from tests.engine.test_worker import worker
from tests.peers.networks import save_shards
from tests.sandbox import witness

STEPS = {"branching": 1, "tied": 3, "cached": 4, "prompted": 4}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return the registry of four networks.

    The first has many types of layers, the second keywords and a checkpoint in shards, the third a cache that it takes
    and returns, and the fourth a state in its buffers and a prompt.
    """
    folder = tmp_path_factory.mktemp("store")
    if witness.in_memory(folder):
        pytest.skip(f"{folder} is in memory; set TMPDIR to a folder on a disk")
    registry = Registry(Store(folder), folder)
    registry.register("branching", "tests.peers.networks:branching")
    registry.register("tied", "tests.peers.networks:tied", checkpoint=save_shards(folder / "checkpoint"))
    registry.register("cached", "tests.peers.networks:cached")
    registry.register("prompted", "tests.exporting.prompted:decoder")
    return registry


def _silent(_name: str, _done: int, _total: int) -> None:
    """Report no progress."""


def _job(name: str, registry: Registry) -> Job:
    """Return the job with requests for all networks that the peer can run, two samples each, in turn."""
    names = [network for network in registry.names if network != "prompted" or not PEERS[name].is_runtime]
    networks = {network: str(registry.get(network, _silent)[0]) for network in names}
    program = PEERS[name].program_for(networks, registry, registry.base / "skeletons", _silent)
    requests = tuple(
        JobRequest(n, sample, steps=STEPS[network]) for sample in range(2) for n, network in enumerate(names)
    )
    return Job(Plan(()), tuple(networks.values()), requests, "read", 2, program)


def _drop(job: Job) -> None:
    """Drop all files that a program may read from the page cache."""
    assert job.program is not None
    stored = [file for folder in map(Path, job.networks) for file in weight_files(folder)]
    made = [file for folder in map(Path, job.program.files) for file in folder.rglob("*") if file.is_file()]
    page_cache.drop([*stored, *made])


@pytest.mark.parametrize("name", PEERS)
def test_peers_answer_correctly_from_storage(name: str, registry: Registry) -> None:
    """Each peer answers its networks correctly, twice each, and fetches all weights from storage on the clock."""
    if (refusal := missing(name)) is not None:
        pytest.skip(str(refusal))
    job = _job(name, registry)
    weight_bytes = sum(read_graph(Path(folder)).distinct_bytes for folder in job.networks)
    _drop(job)
    with worker() as process:
        assert process.ask(job) == Ready()
        before = counters.process(process.process.pid)["read_bytes"]
        done = process.send(GO)
        assert isinstance(done, Done)
        assert [len(ends_s) for ends_s in done.step_ends_s] == [each.steps for each in job.requests]
        assert counters.process(process.process.pid)["read_bytes"] - before >= weight_bytes
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx(dict.fromkeys(range(len(job.requests)), 0.0), abs=OUTPUT_TOLERANCE)
