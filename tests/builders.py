"""What several tests build: networks and workloads made up of numbers, stored networks, jobs. No torch until asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pytest_edgeload.job import Job
from pytest_edgeload.networks.layer import Layer, Network, Sample, TensorSpec
from pytest_edgeload.networks.store import read_graph
from pytest_edgeload.plan import Budget, Plan
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload

if TYPE_CHECKING:
    import torch


def network(*layers: tuple[int, int, int], input_bytes: int = 1) -> Network:
    """Return a network whose layers have these weight, activation and carry bytes, and nothing to compute."""
    made = tuple(
        Layer(f"layer{i}", "linear", (_bytes(f"weight{i}", weight),), (), activation, carry, 0)
        for i, (weight, activation, carry) in enumerate(layers)
    )
    return Network("made-up", made, ("x",), ("y",), (Sample((_bytes("x", input_bytes),), ()),), "", "")


def _bytes(name: str, size_bytes: int) -> TensorSpec:
    return TensorSpec(name, "uint8", (size_bytes,), 0, size_bytes)


def workload(*networks: Network) -> Workload:
    """Return one request of each network."""
    return Workload("made-up", tuple(Request(network) for network in networks))


@st.composite
def networks(draw: st.DrawFn, least_layers: int = 0) -> Network:
    """Draw a network as an export could give it: what a layer is handed and what it hands on is live while it runs."""
    held = input_bytes = draw(st.integers(1, 50))
    layers = []
    for _ in range(draw(st.integers(least_layers, 4))):
        weight, extra, carry = draw(st.integers(0, 100)), draw(st.integers(0, 50)), draw(st.integers(1, 50))
        layers.append((weight, max(held, carry) + extra, carry))
        held = carry
    return network(*layers, input_bytes=input_bytes)


def workloads(least_layers: int = 0) -> st.SearchStrategy[Workload]:
    """Draw one to three requests of different networks."""
    return st.lists(networks(least_layers), min_size=1, max_size=3).map(lambda drawn: workload(*drawn))


def stored(folder: Path, module: torch.nn.Module, *samples: tuple[torch.Tensor, ...]) -> Path:
    """Store `module` and what plain PyTorch computes from `samples` in `folder`, named by digest as in a store."""
    from pytest_edgeload.networks.prepare import store_module  # noqa: PLC0415  # most tests need no torch

    part = folder / "part"
    part.mkdir(parents=True)
    return part.rename(folder / store_module(part, "stored", module, list(samples)))


def job(policy: str, folder: Path, *, requests: int = 1, lanes: int = 2) -> tuple[Job, Workload]:
    """Return a job that asks the network in `folder` about its samples in turn, and the workload it carries out."""
    asked = Workload("stored", tuple(Request(read_graph(folder), sample) for sample in range(requests)))
    return Job(plan_of(policy, asked, lanes), (str(folder),), tuple((0, s) for s in range(requests)), "read", 2), asked


def plan_of(policy: str, asked: Workload, lanes: int = 2) -> Plan:
    """Return the built-in policy's plan."""
    return POLICIES[policy](asked, Budget(lanes=lanes))
