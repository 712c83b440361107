"""Modules that change their buffers: the buffers become inputs and outputs, and are overwritten in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_edgeload import tensors
from pytest_edgeload.engine import steps
from pytest_edgeload.engine.kernels import compile_op
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.engine.tiles import LayerProgress
from pytest_edgeload.exporting.export import export
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.networks.tile import WHOLE
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import POLICIES, make_plan
from pytest_edgeload.workload import Request, Workload
from tests.builders import stored
from tests.engine.performers import execute, on_one_lane

WIDTH, TOKENS, PLACES, STEPS = 32, 50, 24, 8


class Decoder(nn.Module):
    """A decoder that keeps keys, values and the number of tokens in buffers, and writes to them in several ways."""

    keys: torch.Tensor
    values: torch.Tensor
    hidden: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(TOKENS, WIDTH), nn.Linear(WIDTH, TOKENS)
        self.query, self.key, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("keys", torch.zeros(1, PLACES, WIDTH), persistent=False)
        self.register_buffer("values", torch.zeros(1, PLACES, WIDTH), persistent=False)
        self.register_buffer("hidden", torch.rand(1, 1, WIDTH))
        self.register_buffer("count", torch.zeros(1, dtype=torch.long))

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        """Return the numbers of the next token."""
        x = self.table(token) + self.hidden
        self.keys.index_copy_(1, self.count, self.key(x))
        self.values[:, self.count] = self.value(x)
        scores = self.query(x) @ self.keys.transpose(1, 2)
        seen = torch.arange(PLACES) <= self.count
        self.count += 1
        x = x + scores.masked_fill(~seen, -torch.inf).softmax(-1) @ self.values
        self.hidden = torch.tanh(x)
        numbers: torch.Tensor = self.head(x)
        return numbers


def _sample(token: int = 3) -> Inputs:
    return Inputs((torch.tensor([[token]]),), steps=STEPS, feeds=(Feed(0, rule="argmax"),))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stored decoder, with two samples."""
    torch.manual_seed(2)
    return stored(tmp_path_factory.mktemp("decoder"), Decoder().eval(), _sample(), _sample(9))


def _run(folder: Path, policy: str, *counts: int, memory_bytes: int | None = None) -> tuple[Performer, int]:
    """Run requests of so many steps under a policy; return the performer, and the peak that was planned."""
    network = read_graph(folder)
    asked = Workload("state", tuple(Request(network, sample, steps=count) for sample, count in enumerate(counts)))
    plan = on_one_lane(make_plan(policy, POLICIES[policy], asked, Budget(memory_bytes)))
    performer, _ = execute(plan, asked, folder)
    return performer, peak_bytes(plan, asked)


@pytest.mark.parametrize("policy", ["bulk", "linear", "stream"])
def test_state_goes_from_step_to_step(decoder: Path, policy: str) -> None:
    """Buffers that the module changes are passed on; each request begins with their first values."""
    performer, planned_bytes = _run(decoder, policy, STEPS, STEPS, 1, memory_bytes=1 << 16)
    for r in range(3):
        error, detail = performer.compare(r)
        assert error is not None, detail
        assert error <= performer.tolerance(r), detail
    assert performer.ledger.peak_bytes == planned_bytes


def test_module_keeps_its_buffers() -> None:
    """Making a network changes no buffer of the module, neither its values nor its memory."""
    module = Decoder()
    before = {name: (buffer.data_ptr(), buffer.clone()) for name, buffer in module.named_buffers()}
    export(module, _sample())
    for name, buffer in module.named_buffers():
        assert buffer.data_ptr() == before[name][0]
        assert torch.equal(buffer, before[name][1])


def test_state_is_freed_after_the_last_step(decoder: Path) -> None:
    """When its last step has ended, a request holds its own outputs only, in memory and in the ledger."""
    performer, _ = _run(decoder, "bulk", STEPS)
    network = read_graph(decoder)
    assert network.state_bytes == 4 * WIDTH * (2 * PLACES + 1) + 8
    assert performer.values(0).keys() == set(network.own_outputs)
    assert performer.ledger.held_bytes == network.answer_bytes == 4 * TOKENS


def test_zeros_are_not_stored(tmp_path: Path) -> None:
    """An input of zeros that fills a page is made by the worker, and takes no space in the file of samples."""
    zeros, ones = torch.zeros(1 << 16, 1), torch.ones(1 << 16, 1)
    folder = stored(tmp_path, nn.Bilinear(1, 1, 1), (zeros, ones))
    sample = read_graph(folder).samples[0]
    assert sample.zeros == (0,)
    assert sample.inputs[0].name not in (folder / "samples.safetensors").read_bytes()[:4096].decode(errors="ignore")
    assert all(map(torch.equal, OpenNetwork(folder, "read").inputs(0).values(), (zeros, ones)))


def _steps_of(folder: Path, count: int) -> list[dict[str, int]]:
    """Run all layers `count` times; return the address of each input, by name, in each step."""
    opened = OpenNetwork(folder, "read")
    network = opened.network
    request = steps.StepsOfRequest(opened, 0, count)
    values: dict[str, Any] = dict(opened.inputs(0))
    request.begin(values)
    seen: list[dict[str, int]] = []
    for _ in range(count):
        seen.append({name: value.data_ptr() for name, value in values.items()})
        with torch.inference_mode():
            for layer, compiled in zip(network.layers, opened.layers, strict=True):
                compiled.run(WHOLE, values, opened.load(layer), LayerProgress())
        following = request.end([values[name] for name in network.outputs])
        values = dict(following or {})
    return seen


def test_caches_are_overwritten_in_place(decoder: Path) -> None:
    """Keys and values have the same memory in each step, and no op allocates as much as one of them."""
    network = read_graph(decoder)
    caches = [n for n, s in zip(network.inputs, network.samples[0].inputs, strict=True) if s.shape[1:] == (PLACES, 32)]
    assert len(caches) == 2
    first, *others = _steps_of(decoder, 4)
    assert all(seen[name] == first[name] for seen in others for name in caches)
    cache_bytes = 4 * PLACES * WIDTH
    assert max(layer.activation_bytes for layer in network.layers) < 3 * cache_bytes


@pytest.mark.parametrize("stale", ["keys", "values", "hidden", "count"])
def test_stale_state_is_noticed(decoder: Path, stale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of the buffers is the first one again in each step, the outputs are wrong."""
    first = OpenNetwork(decoder, "read").inputs(0)
    position = next(i for i, name in enumerate(first) if name == f"b_{stale}")

    def fed(feed: Feed, outputs: Sequence[torch.Tensor], before: torch.Tensor | None) -> torch.Tensor:
        return first[f"b_{stale}"].clone() if feed.input == position else tensors.fed(feed, outputs, before)

    monkeypatch.setattr(steps, "fed", fed)
    performer, _ = _run(decoder, "bulk", STEPS)
    monkeypatch.undo()
    error, _ = performer.compare(0)
    assert error is None or error > performer.tolerance(0)


class Drawn(nn.Module):
    """Applies drawn operations to a buffer and to the values before, many of which share memory."""

    state: torch.Tensor

    def __init__(self, operations: Sequence[tuple[str, int, int]]) -> None:
        super().__init__()
        self.operations = operations
        self.register_buffer("state", torch.zeros(4, 4))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return some of the values; the last one becomes the buffer."""
        seen = [self.state, x]
        for name, first, second in self.operations:
            seen.append(OPERATIONS[name](seen[first % len(seen)], seen[second % len(seen)]))
        self.state.copy_(seen[-1].clone())
        return [*seen[len(seen) // 2 :: 2], x + 1]


_PLACE = torch.tensor([2, 0])
OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add,
    "transposed": lambda a, _: a.t(),
    "same": lambda a, _: a.view_as(a),
    "index_copy": lambda a, b: a.index_copy(0, _PLACE, b[:2]),
    "index_put": lambda a, b: a.index_put((_PLACE,), b[1:3]),
    "slice": lambda a, b: torch.slice_scatter(a, b[:, 1:3], 1, 0, 2),
    "select": lambda a, b: torch.select_scatter(a, b[0], 0, 3),
    "copy": torch.ops.aten.copy.default,
    "scatter": lambda a, b: a.scatter(0, _PLACE[None].expand(1, 2), b),
}
"""Operations on two values of four rows and columns."""


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=7
    )
)
def test_overwriting_changes_no_output(operations: Sequence[tuple[str, int, int]]) -> None:
    """Whatever shares memory with what, a network whose ops overwrite values has the outputs of the module."""
    module, steps_of_run = Drawn(operations), 3
    generator = torch.Generator().manual_seed(0)
    module.state = torch.rand(4, 4, generator=generator)
    x = torch.rand(4, 4, generator=generator)
    layered = export(module, Inputs((x,)))
    calls = [compile_op(op) for layer in layered.layers for op in layer.ops]
    weights = {name: tensor.clone() for layer in layered.layers for name, tensor in layer.weights.items()}
    inputs = [x.clone(), *(buffer.clone() for buffer in layered.buffers.values())]
    for _ in range(steps_of_run):
        expected = [tensor.clone() for tensor in module(x)]
        values: dict[str, Any] = dict(zip(layered.inputs, inputs, strict=True))
        for call in calls:
            call(values, weights)
        outputs = [values[name] for name in layered.outputs]
        assert all(map(torch.equal, outputs, expected))
        inputs = [inputs[0], *outputs[len(expected) :]]
    assert torch.equal(inputs[0], x)
