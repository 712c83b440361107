"""Builders for tests: networks and workloads that are only numbers, stored networks, jobs. Imports torch lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from pytest_edgeload.job import Job, job_requests
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec
from pytest_edgeload.planning.plan import Budget, Plan, Speeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload

if TYPE_CHECKING:
    import torch


SPEEDS = Speeds(read_bytes_per_s=8.0, flops_per_s=8.0)
"""At these speeds layers of a few bytes take eighths of a second, so that sums of their times are exact."""


def network(
    *layers: tuple[int, int, int],
    input_bytes: int = 1,
    name: str = "made-up",
    kinds: Sequence[str] = (),
    flops: Sequence[int] = (),
) -> Network:
    """Return a network whose layers have these weight, activation and live-out bytes, and no ops.

    Each layer is linear and has 0 FLOPs, unless `kinds` and `flops` are given.
    """
    built = tuple(
        Layer(f"layer{i}", kind, (_bytes(f"weight{i}", weight),), (), activation, live_out, cost)
        for i, ((weight, activation, live_out), kind, cost) in enumerate(
            zip(layers, kinds or ["linear"] * len(layers), flops or [0] * len(layers), strict=True)
        )
    )
    return Network(name, built, ("x",), ("y",), (Sample((_bytes("x", input_bytes),), ()),), "", "")


def embedding(ids: str, count: int = 4) -> Network:
    """Return an embedding of 1000 rows of 8 bytes that looks up the value `ids`; the network's input is `x`."""
    op = Op("aten.embedding.default", [{"weight": "w"}, {"value": ids}], {}, "y", (ids,))
    layer = Layer("layer0", "embedding", (TensorSpec("w", "float32", (1000, 2), 0, 8000),), (op,), 16 * count, 8, 10)
    inputs = (TensorSpec("x", "int64", (count,), 0, 8 * count),)
    return Network("embedding", (layer,), ("x",), ("y",), (Sample(inputs, ()),), "", "")


def _bytes(name: str, size_bytes: int) -> TensorSpec:
    return TensorSpec(name, "uint8", (size_bytes,), 0, size_bytes)


def workload(*networks: Network) -> Workload:
    """Return one request of each network."""
    return Workload("made-up", tuple(Request(network) for network in networks))


def asked_steps(folder: Path, *counts: int) -> Workload:
    """Return a request of the network in `folder` for each of its first samples, with so many steps."""
    network = read_graph(folder)
    return Workload("loops", tuple(Request(network, sample, steps=count) for sample, count in enumerate(counts)))


@st.composite
def networks(draw: st.DrawFn, min_layers: int = 0) -> Network:
    """Draw a network as an export could produce it: the inputs and outputs of a layer are live while it runs."""
    held = input_bytes = draw(st.integers(1, 50))
    layers, kinds, flops = [], [], []
    for _ in range(draw(st.integers(min_layers, 4))):
        weight, extra, live_out = draw(st.integers(0, 100)), draw(st.integers(0, 50)), draw(st.integers(1, 50))
        layers.append((weight, max(held, live_out) + extra, live_out))
        kinds.append(draw(st.sampled_from(["linear", "conv2d"])))
        flops.append(draw(st.integers(0, 100)))
        held = live_out
    name = draw(st.sampled_from("abc"))
    return network(*layers, input_bytes=input_bytes, name=name, kinds=kinds, flops=flops)


def workloads(min_layers: int = 0) -> st.SearchStrategy[Workload]:
    """Draw one to three requests of different networks."""
    return st.lists(networks(min_layers), min_size=1, max_size=3).map(lambda drawn: workload(*drawn))


@st.composite
def timed_workloads(draw: st.DrawFn, min_layers: int = 0, max_steps: int = 1, *, queues: bool = False) -> Workload:
    """Draw one to six requests in batches and over time, in any mode, each with up to `max_steps` steps.

    Some have deadlines, conditions, feeds or a trigger, and with `queues`, a queue of one or two.
    """
    moments = st.tuples(st.integers(0, 2), st.integers(0, 60).map(lambda quarters: quarters / 4))
    conditions = st.none() | st.integers(0, 4)
    earlier = st.lists(st.integers(0, 4), max_size=2)
    choices = st.tuples(
        networks(min_layers), st.none() | st.floats(0.125, 40), conditions, st.integers(1, max_steps), earlier
    )
    waiting = st.none() | st.integers(1, 2) if queues else st.none()
    streams = st.tuples(st.sampled_from("st"), waiting, st.none() | st.integers(0, 4))
    requests: list[Request] = []
    for batch, arrival_s in sorted(draw(st.lists(moments | st.just((0, 0.0)), min_size=1, max_size=6))):
        drawn, deadline_s, parent, steps, sources = draw(choices)
        when = None if parent is None or not requests else Condition(parent % len(requests), 0.5)
        feeds = tuple(Feed(i, request=source % len(requests)) for i, source in enumerate(sources) if requests)
        stream, queue, trigger = draw(streams)
        after = None if trigger is None or not requests else trigger % len(requests)
        rest = (when, steps, feeds, stream, queue, after)
        requests.append(Request(drawn, 0, arrival_s, batch, deadline_s, *rest))
    return Workload("made-up", tuple(requests), draw(st.sampled_from(["wait", "early", "ignore"])))


def shared_workloads(*, queues: bool = False) -> st.SearchStrategy[Workload]:
    """Draw workloads like `timed_workloads`, of at most two networks."""

    def share(drawn: Workload) -> Workload:
        networks = [request.network for request in drawn.requests[:2]]
        requests = (replace(request, network=networks[r % len(networks)]) for r, request in enumerate(drawn.requests))
        return replace(drawn, requests=tuple(requests))

    return timed_workloads(min_layers=1, queues=queues).map(share)


BUDGETS = st.builds(
    Budget,
    memory_bytes=st.none() | st.integers(0, 20) | st.integers(50, 400) | st.just(1 << 40),
    lanes=st.integers(1, 4),
    speeds=st.just(SPEEDS),
)
"""Budgets without memory limit, smaller than a layer, about as large as a network, or plenty."""


def stored(
    folder: Path, module: torch.nn.Module, *samples: Any, checkpoint: Path | None = None, **options: Any
) -> Path:
    """Store `module` and plain PyTorch's outputs for `samples` in `folder`; return the folder, named as in a store."""
    from pytest_edgeload.exporting.make import store_module  # noqa: PLC0415  # most tests need no torch

    part = folder / "part"
    part.mkdir(parents=True)
    where = None if checkpoint is None else str(checkpoint)
    return part.rename(folder / store_module(part, "stored", module, list(samples), checkpoint=where, **options))


def job(policy: str, folder: Path, *, requests: int = 1, lanes: int = 2) -> tuple[Job, Workload]:
    """Return a job with requests for the network in `folder`, one per sample in turn, and the job's workload."""
    workload = Workload("stored", tuple(Request(read_graph(folder), sample) for sample in range(requests)))
    return job_of(plan_of(policy, workload, lanes), workload, folder), workload


def job_of(plan: Plan, workload: Workload, *folders: Path) -> Job:
    """Return the job that executes `plan` for a workload whose networks are stored in `folders`."""
    networks = [read_graph(folder) for folder in folders]
    requests = job_requests(workload, [networks.index(request.network) for request in workload.requests])
    return Job(plan, tuple(map(str, folders)), requests, "read", 2)


def plan_of(policy: str, workload: Workload, lanes: int = 2, memory_bytes: int | None = None) -> Plan:
    """Return the built-in policy's plan."""
    return POLICIES[policy](workload, Budget(memory_bytes, lanes))
