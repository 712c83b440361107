"""Tasks that really run: the memory they take and release, and the outputs."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.perform import OpenRequest, Performer
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.planning.plan import Task
from pytest_edgeload.planning.simulate import peak_bytes, simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import job, plan_of, stored
from tests.engine.performers import CallbackPerformer, anonymous_bytes, execute, on_one_lane

SLACK_BYTES = 1 << 20
EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network of three layers of 16 MiB each."""
    module = nn.Sequential(*(nn.Linear(2048, 2048) for _ in range(3)))
    return stored(tmp_path_factory.mktemp("large"), module, (torch.rand(1, 2048),))


class Tied(nn.Module):
    """Two linear layers, each applied twice, and a parameter that is the weight of one of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.same = nn.Parameter(self.first.weight.data)  # another parameter of the same memory

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the first weight three times, and the second one twice."""
        for _ in range(2):
            x = self.second(self.first(x).tanh()).tanh()
        return nn.functional.linear(x, self.same)


@pytest.fixture(scope="module")
def large_tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network of five layers with two weights of 16 MiB."""
    return stored(tmp_path_factory.mktemp("tied"), Tied(2048), (torch.rand(1, 2048),))


@pytest.fixture(scope="module")
def small_tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same network with two weights of 36 bytes."""
    return stored(tmp_path_factory.mktemp("tied"), Tied(3), (torch.rand(1, 3),), (torch.rand(1, 3),))


@pytest.fixture
def tidy() -> None:
    """Return the memory that malloc keeps to the system now; else the end of a request would do so during a test."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.mark.usefixtures("tidy")
def test_adopted_weights_take_the_place_of_freed_memory(large: Path) -> None:
    """If weights of before and the memory that malloc has kept do not fit together, malloc returns its part."""
    load, request = Task("load", 0, 0), OpenRequest(OpenNetwork(large, "read"))
    first = Performer([load], [request])
    first.perform(0)
    (tensors,) = first.release().values()
    freed = [bytearray(100_000) for _ in range(200)]
    last = freed.pop()  # above all others, so that malloc keeps their memory
    del freed
    kept_bytes = anonymous_bytes()
    performer = Performer((), [request], memory_bytes=24 << 20, heap_bytes=20 << 20)
    performer.adopt(load, tensors)
    assert kept_bytes - anonymous_bytes() > 15 << 20
    assert performer.ledger.heap_bytes == 0
    del last


@pytest.mark.usefixtures("tidy")
def test_a_load_takes_memory_and_its_free_returns_it(large: Path) -> None:
    """Anonymous memory grows by a layer's weights at its load and falls by as much at its free."""
    stored_job, workload = job("linear", large, requests=2)
    performer = Performer.of(stored_job)
    changes: dict[str, list[int]] = {"init": [], "load": [], "exec": [], "free": []}

    def perform(index: int) -> None:
        before = anonymous_bytes()
        performer.perform(index)
        changes[stored_job.plan.tasks[index].kind].append(anonymous_bytes() - before)

    run(stored_job.plan, CallbackPerformer(perform))
    weights = [layer.weight_bytes for request in workload.requests for layer in request.network.layers]
    assert min(weights) > 16 << 20
    assert changes["load"] == pytest.approx(weights, abs=SLACK_BYTES)
    assert changes["free"] == pytest.approx([-size for size in weights], abs=SLACK_BYTES)
    assert max(changes["exec"]) < SLACK_BYTES


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize(("network", "peak_mib"), [("large", 48), ("large_tied", 32)])
def test_ledger_equals_resident_memory(request: pytest.FixtureRequest, network: str, peak_mib: int) -> None:
    """After every task of a policy that keeps layers, anonymous memory has grown by the bytes in the ledger."""
    stored_job, workload = job("bulk", request.getfixturevalue(network))
    performer = Performer.of(stored_job)
    before = anonymous_bytes()

    def perform(index: int) -> None:
        performer.perform(index)
        assert anonymous_bytes() - before == pytest.approx(performer.ledger.held_bytes, abs=SLACK_BYTES)

    run(stored_job.plan, CallbackPerformer(perform))
    assert performer.ledger.peak_bytes == pytest.approx(peak_mib << 20, abs=SLACK_BYTES)
    assert performer.ledger.peak_bytes == peak_bytes(stored_job.plan, workload)


@EVERY_POLICY
@pytest.mark.parametrize("reader", READERS)
def test_tied_weights_are_held_once(small_tied: Path, policy: str, reader: str) -> None:
    """Under every policy and reader, tied weights give the right outputs, and are gone after the last free.

    On one lane the peak is the simulation's; the weights of `bulk` are each of them once.
    """
    network = read_graph(small_tied)
    asked = Workload("tied", tuple(Request(network, sample=r) for r in range(3)))
    assert len(network.layers) == 5
    assert network.distinct_bytes == 2 * (9 + 3) * 4
    plan = plan_of(policy, asked, 2)
    performer, _ = execute(plan, asked, small_tied, reader=reader)
    assert [performer.compare(r).error for r in range(3)] == pytest.approx([0.0] * 3, abs=1e-6)
    assert performer.ledger.held_bytes - plan.arena_bytes == 3 * 3 * 4
    performer, _ = execute(on_one_lane(plan), asked, small_tied, reader=reader)
    assert performer.ledger.peak_bytes == peak_bytes(on_one_lane(plan), asked)
    if policy == "bulk":
        assert simulate(plan, asked).peak_weight_bytes == network.distinct_bytes


@pytest.fixture
def folders(small: Path, branching: Path) -> tuple[Path, Path]:
    """Return two networks, the larger one first."""
    return branching, small


@pytest.fixture
def mixed(folders: tuple[Path, Path]) -> Workload:
    """Return five requests of two networks in turn, one per sample."""
    networks = [read_graph(folder) for folder in folders]
    return Workload("mixed", tuple(Request(networks[r % 2], sample=r // 2) for r in range(5)))


def _peak_bytes(workload: Workload) -> int:
    return max(request.network.peak_bytes for request in workload.requests)


@pytest.fixture(params=["plenty", "tight"])
def memory_bytes(request: pytest.FixtureRequest, mixed: Workload) -> int | None:
    """Return no limit, or the bytes that one request at a time needs."""
    return _peak_bytes(mixed) if request.param == "tight" else None


@EVERY_POLICY
def test_peak_equals_the_simulation(
    mixed: Workload, folders: tuple[Path, Path], policy: str, memory_bytes: int | None
) -> None:
    """On one lane the ledger's peak equals the simulation's to the byte."""
    plan = on_one_lane(plan_of(policy, mixed, 1, memory_bytes))
    performer, _ = execute(plan, mixed, *folders)
    assert performer.ledger.peak_bytes == peak_bytes(plan, mixed)


@EVERY_POLICY
def test_outputs_equal_plain_pytorch_in_any_order(
    mixed: Workload, folders: tuple[Path, Path], policy: str, memory_bytes: int | None
) -> None:
    """In any order of execution, each request's outputs equal plain PyTorch's, and no other tensor is left.

    The ledger agrees. Sample indices wrap around.
    """
    plan = plan_of(policy, mixed, 2, memory_bytes)
    performer, _ = execute(plan, mixed, *folders)
    assert [performer.compare(r).error for r in range(5)] == pytest.approx([0.0] * 5, abs=1e-6)
    assert [[*performer.values(r)] for r in range(5)] == [[*request.network.outputs] for request in mixed.requests]
    outputs = [next(iter(performer.values(r).values())) for r in range(5)]
    assert torch.equal(outputs[0], outputs[4])
    assert not torch.equal(outputs[0], outputs[2])
    assert performer.ledger.held_bytes - plan.arena_bytes == sum(output.nbytes for output in outputs)
    assert performer._weights == {}


@pytest.mark.parametrize("policy", ["masa", "masa-hrrn"])
def test_reserving_policies_stay_within_their_memory(mixed: Workload, folders: tuple[Path, Path], policy: str) -> None:
    """A policy that reserves its networks' bytes stays within its memory, except for the outputs that remain."""
    memory_bytes = _peak_bytes(mixed)
    performer, _ = execute(plan_of(policy, mixed, 2, memory_bytes), mixed, *folders)
    assert performer.ledger.peak_bytes <= memory_bytes + performer.ledger.held_bytes


def _error(folder: Path, expected: torch.Tensor, actual: torch.Tensor) -> float | None:
    """Return the output error of a request with the output `actual`, if plain PyTorch returns `expected`."""
    stored_job, workload = job("linear", stored(folder, nn.Identity(), (expected,)))
    performer = Performer.of(stored_job)
    performer.perform(0)
    performer.values(0)[workload.requests[0].network.outputs[0]] = actual
    return performer.compare(0).error


@pytest.mark.parametrize(
    ("expected", "actual", "error"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.0], [2.0, -4.0], 0.25),
        ([1.0, -4.0], [1.0, -2.0], 0.5),
        ([0.0, 0.0], [0.0, 0.5], 0.5),
        ([1.0, -torch.inf], [1.0, -torch.inf], 0.0),
        ([1.0, 4.0], [1.0, torch.inf], None),
        ([1.0, 4.0], [1.0, torch.nan], None),
        ([1.0, torch.nan], [1.0, torch.nan], 0.0),
        ([2.0, torch.nan], [1.0, torch.nan], 0.5),
        ([torch.nan, 1.0], [1.0, torch.nan], None),
        ([torch.nan, torch.nan], [torch.nan, torch.nan], 0.0),
        ([1e-40, 2e-40], [0.0, 0.0], 0.0),
        ([1e-30, 2e-30], [0.0, 2e-30], 0.5),
        ([1.0, 4.0], [[1.0, 4.0]], None),
        ([1.0, 4.0], [1, 4], None),
        ([1, 4], [1, 3], 1.0),
        ([1, -4], [1, 4], 2.0),
        ([1, 100_000], [1, 100_001], 1.0),
        ([True, False], [True, True], 1.0),
    ],
)
def test_output_error_is_relative_to_the_largest_value(
    tmp_path: Path, expected: list[float], actual: list[float], error: float | None
) -> None:
    """The error is the largest difference divided by the largest expected value; None if there is no such number.

    Integers that differ by more than rounding are wrong: their error is at least 1.
    """
    assert _error(tmp_path, torch.tensor(expected), torch.tensor(actual)) == error


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
def test_tolerance_follows_from_the_coarsest_type(
    tmp_path: Path, weights: torch.dtype, inputs: torch.dtype, tolerance: float
) -> None:
    """The tolerance follows from the coarsest type of weights, inputs and intermediate values."""

    class Cast(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.to(self.weight.dtype))

    stored_job, _ = job("linear", stored(tmp_path, Cast(2, 2).to(weights), (torch.ones(1, 2, dtype=inputs),)))
    assert Performer.of(stored_job).tolerance(0) == tolerance
