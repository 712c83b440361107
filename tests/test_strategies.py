"""Drawn networks have true figures, drawn workloads can be planned, and both shrink to a small case."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, assert_type

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import Phase, example, find, given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.engine.lanes import LaneResult, run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.exporting.make import store_module
from pytest_edgeload.exporting.materialise import materialise, plain_module
from pytest_edgeload.job import Job, job_requests
from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph, verify_network
from pytest_edgeload.networks.layer import Layer, Network, Op
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.strategies import arrivals, budgets, networks, workloads
from pytest_edgeload.workload import Ask, Condition, Mix, Request, Workload
from pytest_edgeload.workload.arrivals import PROCESSES, Constant, Process, Trace

EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)
TIMES = arrivals(max_interval_s=0.002)

# Found the same way on every run, so that what is found can be said.
SEARCH = settings(derandomize=True, database=None, max_examples=2000, phases=(Phase.generate, Phase.shrink))
shortest = partial(find, settings=SEARCH)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store for the drawn networks."""
    return tmp_path_factory.mktemp("drawn")


def residual_composed() -> Network:
    made = Composer(1, 2, 5, 5)
    y = made.relu(made.conv2d(made.input, 3, kernel=3, stride=2))
    y = made.add(y, made.relu(made.conv2d(y, 3, kernel=3, bias=False)))
    return made.done(made.linear(made.flatten(y), 4), samples=2)


def forked_composed() -> Network:
    made = Composer(1, 4)
    return made.done(
        made.relu(made.cat(made.linear(made.linear(made.input, 7), 5, bias=False), made.linear(made.input, 2)))
    )


BRANCHING = Workload(
    "branching", tuple(Request(n, s) for n in (residual_composed(), forked_composed()) for s in (0, 1))
)


class Remembering(Performer):
    """Remembers which conditions held when they were asked about."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.held: dict[int, bool] = {}

    def holds(self, request: int) -> bool:
        """Tell and remember."""
        self.held[request] = super().holds(request)
        return self.held[request]


def carry_out(plan: Plan, workload: Workload, root: Path) -> tuple[Remembering, LaneResult]:
    """Carry out `plan` in this process, its networks made real in the store at `root`."""
    folders = {request.network.name: str(materialise(request.network, root)) for request in workload.requests}
    indices = {name: index for index, name in enumerate(folders)}
    requests = job_requests(workload, [indices[request.network.name] for request in workload.requests])
    performer = Remembering.of(Job(plan, tuple(folders.values()), requests, "read", 1))
    return performer, run(plan, performer, requests)


def check_answers(performer: Performer, ran: LaneResult, workload: Workload) -> None:
    """Assert that all who were not dropped have plain PyTorch's answers, computed here if the inputs are not stored."""
    fed = dict[int, torch.Tensor]()
    for r, request in enumerate(workload.requests):
        if r in ran.dropped:
            continue
        (answer,) = (performer.values(r)[name] for name in request.network.own_outputs)
        if not request.feeds:
            fed[r] = answer
            assert performer.compare(r).error == pytest.approx(0.0, abs=1e-5)
            continue
        x, module = fed[request.feeds[0].request or 0], plain_module(request.network)
        with torch.inference_mode():
            for _ in range(request.steps):
                (x,) = module(x)
        fed[r] = x
        torch.testing.assert_close(answer, x, rtol=1e-5, atol=1e-5 * float(x.abs().max()))


@EVERY_POLICY
@settings(max_examples=8)
@example(workload=BRANCHING)
@given(workload=workloads(networks(max_steps=4)))
def test_a_run_is_what_was_foretold(root: Path, policy: str, workload: Workload) -> None:
    """On one lane drawn networks answer as plain PyTorch does, at a peak that was foretold to the byte."""
    plan = POLICIES[policy](workload, Budget(lanes=1))
    plan = msgspec.structs.replace(
        plan, lanes=1, tasks=tuple(msgspec.structs.replace(t, lane=None) for t in plan.tasks)
    )
    performer, ran = carry_out(plan, workload, root)
    simulated = simulate(plan, workload, holds=performer.held.__getitem__)
    check_answers(performer, ran, workload)
    assert performer.ledger.peak_bytes == simulated.peak_bytes
    assert ran.dropped == simulated.dropped


@EVERY_POLICY
@settings(max_examples=5)
@given(workload=workloads(networks(max_steps=4), arrivals=TIMES, closed=False, streams=True), budget=budgets())
def test_whatever_the_lanes_and_times(root: Path, policy: str, workload: Workload, budget: Budget) -> None:
    """Within any budget and however requests arrive, drawn networks answer as plain PyTorch does."""
    performer, ran = carry_out(POLICIES[policy](workload, budget), workload, root)
    check_answers(performer, ran, workload)


def placed(network: Network) -> list[Layer]:
    """Return the layers, their weights' offsets counted from the first one's."""
    replace = msgspec.structs.replace
    first = network.layers[0].weights[0].offset
    return [
        replace(layer, weights=tuple(replace(spec, offset=spec.offset - first) for spec in layer.weights))
        for layer in network.layers
    ]


def exported(folder: Path, module: nn.Module, network: Network) -> Network:
    """Return the network that the export makes of `module`, called with inputs like those of `network`."""
    folder.mkdir(exist_ok=True)
    store_module(folder, network.name, module, [tuple(torch.rand(spec.shape) for spec in network.samples[0].inputs)])
    return read_graph(folder)


@settings(max_examples=10)
@given(network=networks())
def test_drawn_is_as_exported(root: Path, network: Network) -> None:
    """The export of the same module gives the same layers, op by op, drop by drop, byte by byte, FLOP by FLOP."""
    found = exported(Path(tempfile.mkdtemp(dir=root)), plain_module(network), network)
    assert placed(found) == placed(network)
    assert (found.inputs, found.outputs) == (network.inputs, network.outputs)


class Shape(nn.Module):
    """Layers, put together by hand."""

    def __init__(self, forward: Callable[..., torch.Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for i, layer in enumerate(layers):
            self.add_module(f"layer{i}", layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the given function."""
        return self._forward(*self.children(), x)


def residual(a: nn.Module, b: nn.Module, c: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = torch.relu(a(x))
    return torch.as_tensor(c(torch.flatten(y + torch.relu(b(y)), 1)))


def forked(a: nn.Module, b: nn.Module, c: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.relu(torch.cat([b(a(x)), c(x)], 1))


def flat(a: nn.Module, b: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(b(a(torch.flatten(x, 1))))


def flat_composed() -> Network:
    made = Composer(1, 2, 3, 3)
    return made.done(made.linear(made.linear(made.flatten(made.input), 2), 3))


@pytest.mark.parametrize(
    ("composed", "module"),
    [
        (
            residual_composed(),
            Shape(residual, nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Linear(27, 4)),
        ),
        (forked_composed(), Shape(forked, nn.Linear(4, 7), nn.Linear(7, 5, bias=False), nn.Linear(4, 2))),
        (flat_composed(), Shape(flat, nn.Linear(18, 2), nn.Linear(2, 3))),
    ],
)
def test_composed_is_the_module(tmp_path: Path, composed: Network, module: nn.Module) -> None:
    """A network composed as a module was written has its export's figures and its answers."""
    plain = plain_module(composed)
    module.load_state_dict(plain.state_dict())
    x = torch.rand(composed.samples[0].inputs[0].shape)
    assert placed(exported(tmp_path / "module", module, composed)) == placed(composed)
    assert torch.equal(plain(x)[0], module(x))
    assert plain(x)[0].shape == composed.samples[0].outputs[0].shape


def test_drawn_networks_can_be_materialised(root: Path) -> None:
    """A network on disk is whole, has other numbers for another seed, and is not written twice for the same one."""
    composed = residual_composed()
    first, again, other = (materialise(composed, root, seed=seed) for seed in (1, 1, 2))
    network = verify_network(first)
    assert first == again != other
    assert network.weights_sha256 != verify_network(other).weights_sha256
    assert placed(network) == placed(composed)
    assert network.samples[0].inputs[0].shape == (1, 2, 5, 5)


def test_an_unknown_operator_is_refused(root: Path) -> None:
    """An operator that cannot be computed independently of the engine is refused by name."""
    made = residual_composed()
    tanh = msgspec.structs.replace(made.layers[0], ops=(Op("aten.tanh.default", [{"value": "x"}], {}, "tanh"),))
    with pytest.raises(ValueError, match=f"network {made.name}: aten.tanh.default is not one of aten.linear.default, "):
        materialise(msgspec.structs.replace(made, layers=(tanh,)), root)


def test_output_of_another_shape(root: Path) -> None:
    """A network that foretells another shape than its ops compute is refused, with both."""
    made, replace = forked_composed(), msgspec.structs.replace
    (sample,) = made.samples
    (output,) = sample.outputs
    wrong = replace(sample, outputs=(replace(output, shape=(1, 8)),))
    with pytest.raises(ValueError, match=r" is float32 \(1, 7\), not float32 \(1, 8\)$"):
        materialise(replace(made, samples=(wrong,)), root)


def targets(network: Network) -> list[str]:
    return [op.target.split(".")[1] for layer in network.layers for op in layer.ops]


def joins_branches(network: Network, kind: str) -> bool:
    """Return whether two branches of layers are joined by an op of this kind."""
    ops = [op for layer in network.layers for op in layer.ops]
    return any(op.target.startswith(f"aten.{kind}.") and str(op.args).count("'linear") > 1 for op in ops)


@pytest.mark.parametrize(
    ("wanted", "least"),
    [
        (lambda _: True, "linear"),
        (lambda n: "conv2d" in targets(n), "conv2d"),
        (lambda n: "relu" in targets(n), "linear relu"),
        (lambda n: "add" in targets(n), "linear add"),
        (lambda n: "cat" in targets(n), "linear cat"),
        (lambda n: "add" in targets(n) and "conv2d" in targets(n), "conv2d add"),
        (lambda n: joins_branches(n, "add"), "linear linear add"),
        (lambda n: joins_branches(n, "cat"), "linear linear cat"),
        (lambda n: "reshape" in targets(n), "reshape linear"),
        (lambda n: {"conv2d", "linear"} <= set(targets(n)), "conv2d reshape linear"),
        (lambda n: len(n.layers) > 3, "linear linear linear linear"),
    ],
)
def test_all_shapes_are_drawn(wanted: Callable[[Network], bool], least: str) -> None:
    """Convolutions, both joins, with an empty branch or without, are found, and shrink to as few ops of width 1."""
    found = shortest(networks(), wanted)
    assert " ".join(targets(found)) == least
    assert found.input_bytes == 4
    assert {spec.shape[0] for layer in found.layers for spec in layer.weights} == {1}
    assert len(found.samples) == 1


@EVERY_POLICY
@settings(max_examples=20)
@given(
    workload=workloads(networks(max_steps=4), arrivals=arrivals(), deadlines_s=st.floats(0.01, 1), streams=True),
    budget=budgets(),
)
def test_plans_are_sound(policy: str, workload: Workload, budget: Budget) -> None:
    """Every policy plans drawn workloads within drawn budgets so that they can be carried out."""
    plan = POLICIES[policy](workload, budget)
    check_plan(plan, workload)
    needs = sum(request.network.peak_bytes for request in workload.requests)
    assert simulate(plan, workload).peak_bytes <= needs + plan.arena_bytes


NAMED = workloads(["a", "b"], arrivals=arrivals(), deadlines_s=st.sampled_from((0.5, 9.0)))


@pytest.mark.parametrize(
    ("wanted", "least"),
    [
        (lambda _: True, Mix("drawn", (Ask("a"),))),
        (lambda mix: "b" in mix.networks, Mix("drawn", (Ask("b"),))),
        (lambda mix: len(mix.asks) > len(mix.networks), Mix("drawn", (Ask("a"), Ask("a")))),
        (lambda mix: any(ask.sample for ask in mix.asks), Mix("drawn", (Ask("a", 1),))),
        (lambda mix: any(ask.deadline_s for ask in mix.asks), Mix("drawn", (Ask("a", deadline_s=0.5),))),
        (lambda mix: any(ask.when for ask in mix.asks), Mix("drawn", (Ask("a"), Ask("a", when=Condition(0, 0.0))))),
        (
            lambda mix: any(ask.when and ask.when.request < r - 1 for r, ask in enumerate(mix.asks)),
            Mix("drawn", (Ask("a"), Ask("a"), Ask("a", when=Condition(0, 0.0)))),
        ),
        (lambda mix: mix.loop == "closed", Mix("drawn", (Ask("a"),), "closed")),
        (lambda mix: mix.asks[-1].batch > 0, Mix("drawn", (Ask("a"), Ask("a", batch=1)), "closed")),
        (lambda mix: mix.loop == "open", Mix("drawn", (Ask("a"),)).arriving(Constant(0.001))),
        (lambda mix: mix.conditions == "ignore", Mix("drawn", (Ask("a"),), conditions="ignore")),
    ],
)
def test_mixes_shrink_to_one_request(wanted: Callable[[Mix], bool], least: Mix) -> None:
    """Repetition, samples, deadlines, conditions, batches and arrivals shrink away if they are not needed."""
    assert {shortest(NAMED, wanted, random=Random(seed)) for seed in range(3)} == {least}  # no secret


def test_streams_shrink_to_one_trigger_and_one_full_queue() -> None:
    """The requests of a network are a stream; triggers and queues are drawn, and shrink away if they are not needed."""
    drawn = workloads(["a"], streams=True)
    assert shortest(drawn, lambda _: True) == Mix("drawn", (Ask("a", stream="a"),))
    triggered = Mix("drawn", (Ask("a", stream="a"), Ask("a", stream="a", after=0)))
    assert shortest(drawn, lambda mix: any(ask.after is not None for ask in mix.asks)) == triggered
    queued = Mix("drawn", (Ask("a", stream="a", queue=1),))
    assert shortest(drawn, lambda mix: any(ask.queue for ask in mix.asks)) == queued


def test_workloads_shrink_to_one_request() -> None:
    """A workload of drawn networks shrinks to one request of the smallest network, and two networks to two requests."""
    smallest = shortest(networks(), lambda _: True)
    assert shortest(workloads(networks()), lambda _: True) == Mix("drawn", (Ask("n"),)).workload({"n": smallest})
    two = shortest(workloads(networks()), lambda asked: len({request.network.name for request in asked.requests}) > 1)
    assert [len(request.network.layers) for request in two.requests] == [1, 1]
    assert smallest in [request.network for request in two.requests]


def test_steps_and_feeds_shrink_away() -> None:
    """Steps and feeds are drawn; the smallest cases are one request of two steps, and one that feeds another."""
    looped = shortest(workloads(["a"], max_steps=4), lambda mix: mix.asks[0].steps > 1)
    assert looped == Mix("drawn", (Ask("a", steps=2),))
    (request,) = shortest(workloads(networks(max_steps=4)), lambda asked: asked.requests[0].steps > 1).requests
    assert (request.steps, len(request.network.layers)) == (2, 1)
    smallest = shortest(networks(), lambda _: True)
    piped = shortest(workloads(networks()), lambda asked: any(request.feeds for request in asked.requests))
    assert piped.requests == (Request(smallest), Request(smallest, feeds=(Feed(0, request=0),)))


@settings(max_examples=2000)
@given(workloads(networks(), feeds=False))
def test_feeds_can_be_left_out(asked: Workload) -> None:
    """Without feeds no request takes the outputs of another one."""
    assert not any(request.feeds for request in asked.requests)


@pytest.mark.parametrize(
    ("wanted", "least"),
    [
        (lambda _: True, Budget(None, 1)),
        (lambda budget: budget.lanes > 2, Budget(None, 3)),
        (lambda budget: budget.memory_bytes is not None, Budget(0, 1)),
        (lambda budget: (budget.memory_bytes or 0) > 1000, Budget(1001, 1)),
        (lambda budget: (budget.memory_bytes or 0) > 1 << 29, Budget((1 << 29) + 1, 1)),
    ],
)
def test_budgets_shrink_to_no_limit_and_one_lane(wanted: Callable[[Budget], bool], least: Budget) -> None:
    """Budgets from tiny to ample are drawn; the simplest is no limit and one lane."""
    assert shortest(budgets(), wanted) == least


@pytest.mark.parametrize("kind", PROCESSES)
def test_every_process_is_drawn(kind: type[Process]) -> None:
    """Each kind of arrival process is drawn."""
    assert isinstance(shortest(arrivals(), lambda process: isinstance(process, kind)), kind)


@given(arrivals(max_interval_s=0.5, count=4))
def test_arrivals_come_soon(process: Process) -> None:
    """Every process gives as many times as asked for; a trace within the longest interval."""
    times = process.times(4, seed=0)
    assert list(times) == sorted(times)
    assert len(times) == 4
    assert not isinstance(process, Trace) or times[-1] <= 0.5


def test_strategies_have_the_documented_types() -> None:
    """Names give mixes and networks give workloads, for the type checker too."""
    named, drawn = workloads(("a",)), workloads(networks())
    assert_type(named, st.SearchStrategy[Mix])
    assert_type(drawn, st.SearchStrategy[Workload])
    assert isinstance(shortest(named, lambda _: True), Mix)
    assert isinstance(shortest(drawn, lambda _: True), Workload)


@pytest.mark.parametrize("names", [[], "net"])
def test_invalid_names_are_refused(names: Sequence[str]) -> None:
    """A value that is not a list of names is refused with a hint."""
    with pytest.raises(UsageError, match=re.escape(f"workloads({names!r}): names no networks; give a list of ")):
        workloads(names)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)


def test_import_without_hypothesis_names_the_extra() -> None:
    """Where hypothesis is not installed, the import says what to install."""
    result = python("import sys; sys.modules['hypothesis'] = None; from pytest_edgeload import strategies")
    assert result.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: pytest_edgeload.strategies needs hypothesis; pip install 'pytest-edgeload[hypothesis]'"
    )


def test_strategies_need_no_torch() -> None:
    """Workloads of drawn networks are drawn without torch."""
    code = """
import sys
from hypothesis import find
from pytest_edgeload.strategies import networks, workloads
find(workloads(networks()), lambda _: True)
sys.exit("torch" in sys.modules)
"""
    assert python(code).returncode == 0


def test_bounds_of_other_libraries_become_plain() -> None:
    """A bound may be a number of NumPy, which hypothesis itself refuses; another value is refused by its name."""
    drawn = workloads(["a"], max_requests=np.int64(1), max_samples=np.int64(1))  # type: ignore[call-overload]
    assert shortest(drawn, lambda _: True) == Mix("drawn", (Ask("a"),))
    with pytest.raises(ValueError, match=r"^max_lanes=0: too small; give at least 1$"):
        budgets(max_lanes=0)
