"""A program in place of a plan: another way to answer a job's requests, timed and checked like any policy's.

A program is a function of a Job. It is called before the clock starts, when it may import libraries and build modules
without weights; what it returns is called once, on the clock, and gives the outputs of all requests. Imports torch.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.base.functions import imported
from pytest_edgeload.engine import lean_torch
from pytest_edgeload.engine.memory import trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.perform import output_error
from pytest_edgeload.job import Done, Job, Program, import_from
from pytest_edgeload.networks.store import WEIGHTS

Answers = Mapping[int, Sequence[torch.Tensor]]
"""The outputs of each request, by its index."""

Forward = Callable[..., Any]
"""Takes the inputs of one request, and gives its outputs: a tensor, or any nest of tensors."""

Load = Callable[[], Forward]
"""Loads the weights of one network."""


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """Where a program finds a network: its weights as a safetensors file, and the folder made for the program.

    `threads` is how many threads one operator may use.
    """

    weights: Path
    files: Path
    threads: int


def network_by_network(job: Job, prepare: Callable[[NetworkFiles], Load]) -> Callable[[], Answers]:
    """Return what loads one network at a time, asks it all that is asked of it, and frees it.

    `prepare` is called for each network now, before the clock starts; what it returns, when the network's turn comes.
    """
    assert job.program is not None  # or nobody would be here
    networks = _open(job)
    folders = zip(job.networks, job.program.files, strict=True)
    loads = [prepare(NetworkFiles(Path(folder) / WEIGHTS, Path(files), job.threads)) for folder, files in folders]

    def answer() -> Answers:
        answers: dict[int, list[torch.Tensor]] = {}
        for n, network in enumerate(networks):
            samples = {r: asked.sample for r, asked in enumerate(job.requests) if asked.network == n}
            answers |= _ask(network, loads.pop(0), samples)
            gc.collect()  # a module with hooks refers to itself
            trim()
        return answers

    return answer


def _open(job: Job) -> list[OpenNetwork]:
    return [OpenNetwork(Path(folder), job.reader) for folder in job.networks]


def _ask(network: OpenNetwork, load: Load, samples: Mapping[int, int]) -> dict[int, list[torch.Tensor]]:
    """Return the outputs of each request by the index of its sample; nothing of the network is held afterwards."""
    leaves = torch.utils._pytree.tree_leaves  # noqa: SLF001  # as the outputs due were flattened
    forward = load()
    with torch.inference_mode():
        return {r: leaves(forward(*network.tensors(network.sample(index).inputs))) for r, index in samples.items()}


class ProgramJob:
    """A job whose requests a program answers."""

    def __init__(self, job: Job, program: Program) -> None:
        if not program.function.startswith(f"{__package__}."):  # ours compute as plans do
            lean_torch.whole()
        import_from(program.path)
        self._job = job
        self._answer: Callable[[], Answers] = imported(program.function)(job)
        self._answers: Answers = {}

    def run(self) -> Done:
        """Let the program answer; return how long that took."""
        begin = time.perf_counter()
        self._answers = self._answer()
        return Done(time.perf_counter() - begin)

    @cached_property
    def _networks(self) -> list[OpenNetwork]:
        return _open(self._job)

    def output_error(self, r: int) -> float | None:
        """Return how far the outputs of request `r` are from plain PyTorch's; see `job.Checked`."""
        asked = self._job.requests[r]
        network = self._networks[asked.network]
        return output_error(self._answers.get(r, ()), network.tensors(network.sample(asked.sample).outputs))

    def tolerance(self, r: int) -> float:
        """Return how far the outputs of request `r` may be from plain PyTorch's."""
        return self._networks[self._job.requests[r].network].network.tolerance
