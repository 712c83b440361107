"""The lower bounds of a run, reading alone and computing alone, measured in a real worker."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from pytest_edgeload.base.functions import search_path
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.probes import computing
from pytest_edgeload.job import CHECK, GO, Checked, Done, Failed, Job, JobRequest, Program, Ready
from pytest_edgeload.networks.folder import WEIGHTS, read_graph
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.tile import required_stretches
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.sandbox import counters, page_cache
from tests.builders import stored
from tests.engine.performers import anonymous_bytes
from tests.engine.test_perform import Tied
from tests.engine.test_worker import worker
from tests.exporting import prompted
from tests.sandbox import witness

TABLE_BYTES = 4 << 20


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network of an embedding of 4 MiB and 70 MiB that every answer needs, with three samples."""
    folder = tmp_path_factory.mktemp("words")
    if witness.in_memory(folder):
        pytest.skip(f"{folder} is in memory; set TMPDIR to a folder on a disk")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(2048, 512), nn.Flatten(), nn.Linear(1024, 17_923), nn.ReLU())
    return stored(folder, module, *((torch.tensor([[word, 9]]),) for word in range(3)))


def _job(function: str, *folders: Path, samples: int = 0) -> Job:
    """Return a job that probes the networks in `folders`, with `samples` requests for each of them in turn."""
    requests = tuple(JobRequest(network, sample) for sample in range(samples) for network in range(len(folders)))
    program = Program(f"pytest_edgeload.engine.probes:{function}", search_path())
    return Job(Plan(()), tuple(map(str, folders)), requests, "read", 2, program)


def test_reading_fetches_the_needed_weights_once(words: Path, small: Path) -> None:
    """All needed weights of each network are fetched from storage, and no more; the page cache keeps none of them."""
    folders = (words, small)
    files = [folder / WEIGHTS for folder in folders]
    needed_bytes = sum(size_bytes for folder in folders for _, size_bytes in required_stretches(read_graph(folder)))
    with worker() as process:
        assert process.ask(_job("reading", *folders)) == Ready()
        page_cache.drop(files)
        before = counters.process(process.process.pid)["read_bytes"]
        done = process.send(GO)
        read_bytes = counters.process(process.process.pid)["read_bytes"] - before
        assert isinstance(done, Done)
        assert done.makespan_s > 0
        assert needed_bytes <= read_bytes < needed_bytes + TABLE_BYTES
        assert sum(map(witness.cached_bytes, files)) == 0
        assert process.send(CHECK) == Checked({})


def test_reading_a_truncated_file_fails(words: Path, tmp_path: Path) -> None:
    """A file that ends too soon fails the probe with one sentence, however many pieces cannot be read."""
    folder = tmp_path / words.name
    folder.mkdir()
    for path in words.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    os.truncate(folder / WEIGHTS, 8 << 20)
    with worker() as process:
        assert process.ask(_job("reading", folder)) == Ready()
        assert process.send(GO) == Failed(
            f"EOFError: {folder / WEIGHTS}: the weights file ends at byte {8 << 20}; restore it"
        )
        assert process.end() == 1


def test_computing_holds_tied_weights_once(tmp_path: Path) -> None:
    """The probe of computing holds the weights that layers share once, though they are large enough to be cut."""
    folder = stored(tmp_path, Tied(2100), (torch.rand(1, 2100),))  # two weights of 17 MiB, in five layers
    before = anonymous_bytes()
    answers = computing(_job("computing", folder, samples=1))
    assert anonymous_bytes() - before < 45 << 20
    assert len(answers()) == 1


def test_computing_executes_the_last_step_alone(tmp_path: Path) -> None:
    """Requests of one, two and three steps get the outputs of their last step: the prompt's, and single tokens'."""
    module, samples = prompted.decoder()
    folder = stored(tmp_path, module, *samples)
    job = _job("computing", folder)
    counts = (1, 2, 3)
    answers = computing(msgspec.structs.replace(job, requests=tuple(JobRequest(0, steps=steps) for steps in counts)))()
    network = OpenNetwork(folder, "read")
    for r, steps in enumerate(counts):
        expected = network.tensors(tuple(network.network.expected(0, steps - 1).values()))
        assert network.compare_with(answers[r], expected).error == pytest.approx(0.0, abs=OUTPUT_TOLERANCE)
    assert [answers[r][0].shape[1] for r in range(3)] == [prompted.PROMPT, 1, 1]


def test_computing_answers_with_resident_weights(words: Path, small: Path) -> None:
    """All requests of all networks are answered correctly with weights that are resident before the clock starts."""
    with worker() as process:
        assert process.ask(_job("computing", words, small, samples=3)) == Ready()
        page_cache.drop([words / WEIGHTS])
        before = counters.process(process.process.pid)["read_bytes"]
        done = process.send(GO)
        assert isinstance(done, Done)
        assert done.makespan_s > 0
        assert counters.process(process.process.pid)["read_bytes"] - before < TABLE_BYTES
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx(dict.fromkeys(range(6), 0.0), abs=OUTPUT_TOLERANCE)
