"""Tasks carried out for real: what is held, what is given back, and what comes out."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.store import read_graph
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import job, plan_of, stored
from tests.engine.performers import Calling, carried_out, on_one_lane

SLACK_BYTES = 1 << 20
EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)


def _anonymous_bytes() -> int:
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a network of three layers of 16 MiB each."""
    module = nn.Sequential(*(nn.Linear(2048, 2048) for _ in range(3)))
    return stored(tmp_path_factory.mktemp("large"), module, (torch.rand(1, 2048),))


@pytest.fixture
def tidy() -> None:
    """Give the system back what malloc keeps of earlier tests: the end of a request would do so in the midst of one."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.mark.usefixtures("tidy")
def test_memory_is_taken_by_a_load_and_given_back_by_its_free(large: Path) -> None:
    """Layer by layer, anonymous memory grows by a layer's weights at its load and falls by as much at its free."""
    made, asked = job("linear", large, requests=2)
    performer = Performer(made)
    changes: dict[str, list[int]] = {"init": [], "load": [], "exec": [], "free": []}

    def perform(index: int) -> None:
        before = _anonymous_bytes()
        performer.perform(index)
        changes[made.plan.tasks[index].kind].append(_anonymous_bytes() - before)

    run(made.plan, Calling(perform))
    weights = [layer.weight_bytes for request in asked.requests for layer in request.network.layers]
    assert min(weights) > 16 << 20
    assert changes["load"] == pytest.approx(weights, abs=SLACK_BYTES)
    assert changes["free"] == pytest.approx([-size for size in weights], abs=SLACK_BYTES)
    assert max(changes["exec"]) < SLACK_BYTES


@pytest.mark.usefixtures("tidy")
def test_the_account_is_true(large: Path) -> None:
    """After every task of a policy that keeps layers, anonymous memory has grown by what the ledger says is held."""
    made, _ = job("bulk", large)
    performer = Performer(made)
    before = _anonymous_bytes()

    def perform(index: int) -> None:
        performer.perform(index)
        assert _anonymous_bytes() - before == pytest.approx(performer.ledger.held_bytes, abs=SLACK_BYTES)

    run(made.plan, Calling(perform))
    assert performer.ledger.peak_bytes > 48 << 20


@pytest.fixture
def folders(small: Path, branching: Path) -> tuple[Path, Path]:
    """Give two networks, the larger one first."""
    return branching, small


@pytest.fixture
def mixed(folders: tuple[Path, Path]) -> Workload:
    """Give five requests of two networks, in turn, about the samples of each."""
    networks = [read_graph(folder) for folder in folders]
    return Workload("mixed", tuple(Request(networks[r % 2], sample=r // 2) for r in range(5)))


def _peak_bytes(asked: Workload) -> int:
    return max(request.network.peak_bytes for request in asked.requests)


@pytest.fixture(params=["plenty", "tight"])
def memory_bytes(request: pytest.FixtureRequest, mixed: Workload) -> int | None:
    """Give a policy as much memory as it wants, or what one request at a time needs."""
    return _peak_bytes(mixed) if request.param == "tight" else None


@EVERY_POLICY
def test_the_peak_is_known_before(
    mixed: Workload, folders: tuple[Path, Path], policy: str, memory_bytes: int | None
) -> None:
    """On one lane the ledger's peak is to the byte what the simulation said."""
    plan = on_one_lane(plan_of(policy, mixed, 1, memory_bytes))
    performer, _ = carried_out(plan, mixed, *folders)
    assert performer.ledger.peak_bytes == peak_bytes(plan, mixed)


@EVERY_POLICY
def test_outputs(mixed: Workload, folders: tuple[Path, Path], policy: str, memory_bytes: int | None) -> None:
    """In whatever order, each request's outputs are plain PyTorch's for its sample, and nothing else is left.

    Neither by the ledger's account nor in fact. Samples are counted round and round.
    """
    plan = plan_of(policy, mixed, 2, memory_bytes)
    performer, _ = carried_out(plan, mixed, *folders)
    assert [performer.output_error(r) for r in range(5)] == pytest.approx([0.0] * 5, abs=1e-6)
    assert [[*performer.values(r)] for r in range(5)] == [[*request.network.outputs] for request in mixed.requests]
    outputs = [next(iter(performer.values(r).values())) for r in range(5)]
    assert torch.equal(outputs[0], outputs[4])
    assert not torch.equal(outputs[0], outputs[2])
    assert performer.ledger.held_bytes - plan.arena_bytes == sum(output.nbytes for output in outputs)
    assert performer._weights == {}


@pytest.mark.parametrize("policy", ["masa", "masa-hrrn"])
def test_tight_memory(mixed: Workload, folders: tuple[Path, Path], policy: str) -> None:
    """A policy that reserves what its networks need holds no more than it may, but for the outputs that stay."""
    memory_bytes = _peak_bytes(mixed)
    performer, _ = carried_out(plan_of(policy, mixed, 2, memory_bytes), mixed, *folders)
    assert performer.ledger.peak_bytes <= memory_bytes + performer.ledger.held_bytes


def _answered(folder: Path, due: torch.Tensor, found: torch.Tensor) -> float | None:
    """Return how far off an answer `found` is, where `due` is what plain PyTorch answers."""
    made, asked = job("linear", stored(folder, nn.Identity(), (due,)))
    performer = Performer(made)
    performer.perform(0)
    performer.values(0)[asked.requests[0].network.outputs[0]] = found
    return performer.output_error(0)


@pytest.mark.parametrize(
    ("due", "found", "error"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.0], [2.0, -4.0], 0.25),
        ([1.0, -4.0], [1.0, -2.0], 0.5),
        ([0.0, 0.0], [0.0, 0.5], 0.5),
        ([1.0, -torch.inf], [1.0, -torch.inf], 0.0),
        ([1.0, 4.0], [1.0, torch.inf], None),
        ([1.0, 4.0], [1.0, torch.nan], None),
        ([1.0, torch.nan], [1.0, torch.nan], None),
        ([1.0, 4.0], [[1.0, 4.0]], None),
        ([1.0, 4.0], [1, 4], None),
        ([1, 4], [1, 3], 1.0),
        ([1, -4], [1, 4], 2.0),
        ([1, 100_000], [1, 100_001], 1.0),
        ([True, False], [True, True], 1.0),
    ],
)
def test_output_error(tmp_path: Path, due: list[float], found: list[float], error: float | None) -> None:
    """The error is the largest difference over the largest value due, and None where no number says it.

    Whole numbers that differ by more than any rounding are all wrong: their error is at least 1.
    """
    assert _answered(tmp_path, torch.tensor(due), torch.tensor(found)) == error


@pytest.mark.parametrize(
    ("weights", "inputs", "tolerance"),
    [
        (torch.float32, torch.float32, OUTPUT_TOLERANCE),
        (torch.float64, torch.float64, OUTPUT_TOLERANCE),
        (torch.float16, torch.float16, 8 * torch.finfo(torch.float16).eps),
        (torch.bfloat16, torch.float32, 8 * torch.finfo(torch.bfloat16).eps),
        (torch.float32, torch.bfloat16, 8 * torch.finfo(torch.bfloat16).eps),
    ],
)
def test_tolerance(tmp_path: Path, weights: torch.dtype, inputs: torch.dtype, tolerance: float) -> None:
    """What an answer may differ by follows from the coarsest type of weights, inputs and what lies between."""

    class Cast(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.to(self.weight.dtype))

    made, _ = job("linear", stored(tmp_path, Cast(2, 2).to(weights), (torch.ones(1, 2, dtype=inputs),)))
    assert Performer(made).tolerance(0) == tolerance
