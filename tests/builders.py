"""What several tests build: networks and workloads made up of numbers, stored networks, jobs. No torch until asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from pytest_edgeload.job import Job, JobRequest
from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec
from pytest_edgeload.networks.store import read_graph
from pytest_edgeload.planning.plan import Budget, Plan, Speeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload

if TYPE_CHECKING:
    import torch


SPEEDS = Speeds(read_bytes_per_s=8.0, flops_per_s=8.0)
"""Made-up layers take eighths of seconds at these, so that sums of their times are exact."""


def network(
    *layers: tuple[int, int, int],
    input_bytes: int = 1,
    name: str = "made-up",
    kinds: Sequence[str] = (),
    flops: Sequence[int] = (),
) -> Network:
    """Return a network whose layers have these weight, activation and carry bytes, and nothing to compute.

    Each layer is linear and costs nothing, unless `kinds` and `flops` say otherwise.
    """
    made = tuple(
        Layer(f"layer{i}", kind, (_bytes(f"weight{i}", weight),), (), activation, carry, cost)
        for i, ((weight, activation, carry), kind, cost) in enumerate(
            zip(layers, kinds or ["linear"] * len(layers), flops or [0] * len(layers), strict=True)
        )
    )
    return Network(name, made, ("x",), ("y",), (Sample((_bytes("x", input_bytes),), ()),), "", "")


def embedding(ids: str, count: int = 4) -> Network:
    """Return an embedding of 1000 rows of 8 bytes, whose ids are those of the value `ids`, the input being `x`."""
    op = Op("aten.embedding.default", [{"weight": "w"}, {"value": ids}], {}, "y", (ids,))
    layer = Layer("layer0", "embedding", (TensorSpec("w", "float32", (1000, 2), 0, 8000),), (op,), 16 * count, 8, 10)
    inputs = (TensorSpec("x", "int64", (count,), 0, 8 * count),)
    return Network("embedding", (layer,), ("x",), ("y",), (Sample(inputs, ()),), "", "")


def _bytes(name: str, size_bytes: int) -> TensorSpec:
    return TensorSpec(name, "uint8", (size_bytes,), 0, size_bytes)


def workload(*networks: Network) -> Workload:
    """Return one request of each network."""
    return Workload("made-up", tuple(Request(network) for network in networks))


@st.composite
def networks(draw: st.DrawFn, least_layers: int = 0) -> Network:
    """Draw a network as an export could give it: what a layer is handed and what it hands on is live while it runs."""
    held = input_bytes = draw(st.integers(1, 50))
    layers, kinds, flops = [], [], []
    for _ in range(draw(st.integers(least_layers, 4))):
        weight, extra, carry = draw(st.integers(0, 100)), draw(st.integers(0, 50)), draw(st.integers(1, 50))
        layers.append((weight, max(held, carry) + extra, carry))
        kinds.append(draw(st.sampled_from(["linear", "conv2d"])))
        flops.append(draw(st.integers(0, 100)))
        held = carry
    name = draw(st.sampled_from("abc"))
    return network(*layers, input_bytes=input_bytes, name=name, kinds=kinds, flops=flops)


def workloads(least_layers: int = 0) -> st.SearchStrategy[Workload]:
    """Draw one to three requests of different networks."""
    return st.lists(networks(least_layers), min_size=1, max_size=3).map(lambda drawn: workload(*drawn))


@st.composite
def timed_workloads(draw: st.DrawFn, least_layers: int = 0) -> Workload:
    """Draw one to six requests that come in batches and over time, some due and some on condition, in any mode."""
    moments = st.tuples(st.integers(0, 2), st.integers(0, 60).map(lambda quarters: quarters / 4))
    choices = st.tuples(networks(least_layers), st.none() | st.floats(0.125, 40), st.none() | st.integers(0, 4))
    requests: list[Request] = []
    for batch, arrival_s in sorted(draw(st.lists(moments | st.just((0, 0.0)), min_size=1, max_size=6))):
        asked, deadline_s, parent = draw(choices)
        when = None if parent is None or not requests else Condition(parent % len(requests), 0.5)
        requests.append(Request(asked, 0, arrival_s, batch, deadline_s, when))
    return Workload("made-up", tuple(requests), draw(st.sampled_from(["wait", "early", "ignore"])))


def shared_workloads() -> st.SearchStrategy[Workload]:
    """Draw workloads as `timed_workloads` does, of two networks at most."""

    def share(drawn: Workload) -> Workload:
        networks = [request.network for request in drawn.requests[:2]]
        requests = (replace(request, network=networks[r % len(networks)]) for r, request in enumerate(drawn.requests))
        return replace(drawn, requests=tuple(requests))

    return timed_workloads(least_layers=1).map(share)


BUDGETS = st.builds(
    Budget,
    memory_bytes=st.none() | st.integers(0, 20) | st.integers(50, 400) | st.just(1 << 40),
    lanes=st.integers(1, 4),
    speeds=st.just(SPEEDS),
)
"""Budgets with no memory limit, with less than a layer takes, about as much as a network takes, or plenty."""


def stored(folder: Path, module: torch.nn.Module, *samples: Any, checkpoint: Path | None = None) -> Path:
    """Store `module` and what plain PyTorch computes from `samples` in `folder`, named by digest as in a store."""
    from pytest_edgeload.exporting.make import store_module  # noqa: PLC0415  # most tests need no torch

    part = folder / "part"
    part.mkdir(parents=True)
    where = None if checkpoint is None else str(checkpoint)
    return part.rename(folder / store_module(part, "stored", module, list(samples), checkpoint=where))


def job(policy: str, folder: Path, *, requests: int = 1, lanes: int = 2) -> tuple[Job, Workload]:
    """Return a job that asks the network in `folder` about its samples in turn, and the workload it carries out."""
    asked = Workload("stored", tuple(Request(read_graph(folder), sample) for sample in range(requests)))
    return job_of(plan_of(policy, asked, lanes), asked, folder), asked


def job_of(plan: Plan, asked: Workload, *folders: Path) -> Job:
    """Return the job that carries out `plan` of a workload whose networks are stored in `folders`."""
    networks = [read_graph(folder) for folder in folders]
    asks = (JobRequest(networks.index(r.network), r.sample, r.arrival_s, r.batch, r.when) for r in asked.asked)
    return Job(plan, tuple(map(str, folders)), tuple(asks), "read", 2)


def plan_of(policy: str, asked: Workload, lanes: int = 2, memory_bytes: int | None = None) -> Plan:
    """Return the built-in policy's plan."""
    return POLICIES[policy](asked, Budget(memory_bytes, lanes))
