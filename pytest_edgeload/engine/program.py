"""Runs a program instead of a plan: another way to answer a job's requests, timed and checked like any policy.

A program is a function of a Job. It is called before the clock starts; it may import libraries and build modules
without weights, and returns a function. That function is called once, on the clock, and returns the outputs of all
requests. Imports torch.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytest_edgeload import skeleton
from pytest_edgeload.base.functions import import_from, import_function
from pytest_edgeload.engine import lean_torch
from pytest_edgeload.engine.compare import Deviation
from pytest_edgeload.engine.memory import trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.steps import StepsOfRequest
from pytest_edgeload.job import Done, Job, JobRequest, Program
from pytest_edgeload.networks.folder import weights_path
from pytest_edgeload.networks.inputs import arranged
from pytest_edgeload.tensors import tensors_in

Answers = Mapping[int, Sequence[torch.Tensor]]
"""The outputs of each request, by its index."""

Forward = Callable[..., Any]
"""Takes the inputs of one request and returns its outputs: a tensor, or any nested container of tensors."""

Load = Callable[[], Forward]
"""Loads the weights of one network."""


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """The files of one network: `weights`, its safetensors files, and `files`, the folder prepared for the program.

    `weights` has several files if the network has a checkpoint in shards. `threads` is the number of threads that one
    operator may use. `state` names the buffers that the module changes; each request begins with their initial values.
    """

    weights: tuple[Path, ...]
    files: Path
    threads: int
    skeleton: Path | None = None
    state: tuple[str, ...] = ()

    def module(self) -> nn.Module:
        """Return the network's module, in evaluation mode and without its weights; see `assign_weights`.

        Raises RuntimeError for a peer that is registered with a function to prepare, which gets the module itself.
        """
        if self.skeleton is None:
            raise RuntimeError("a peer that is registered with `prepare` gets the module there")
        return skeleton.read(self.skeleton)


def by_position(forward: Callable[..., Any]) -> Forward:
    """Return a Forward that gives `forward` all tensors of the inputs by position, as exported models take them."""
    return lambda *args, **kwargs: forward(*tensors_in((args, kwargs)))


def network_by_network(job: Job, prepare: Callable[[NetworkFiles], Load]) -> Callable[[], Answers]:
    """Return a function that loads one network at a time, answers all its requests, and frees it.

    This function calls `prepare` for each network, before the clock starts. The Load that `prepare` returns is called
    on the clock.
    """
    assert job.program is not None  # only the worker of a program calls this
    networks = _open(job)
    loads = [prepare(files) for files in _network_files(job, job.program, networks)]

    def answer() -> Answers:
        answers = _AnswersInSteps()
        for n, network in enumerate(networks):
            own = {r: request for r, request in enumerate(job.requests) if request.network == n}
            _answer(network, loads.pop(0), own, answers)
            gc.collect()  # a module with hooks refers to itself
            trim()
        return answers

    return answer


def _network_files(job: Job, program: Program, networks: Sequence[OpenNetwork]) -> Iterator[NetworkFiles]:
    skeletons = map(Path, program.skeletons) if program.skeletons else itertools.repeat(None)
    for network, folder, files, module in zip(networks, job.networks, program.files, skeletons, strict=False):
        state = network.network.buffers
        checkpoint = tuple(Path(file.path) for file in network.network.checkpoint_files)
        yield NetworkFiles(checkpoint or (weights_path(Path(folder)),), Path(files), job.threads, module, state)


def _open(job: Job) -> list[OpenNetwork]:
    return [OpenNetwork(Path(folder), job.reader, job.store) for folder in job.networks]


class _AnswersInSteps(dict[int, list[torch.Tensor]]):
    """The outputs of the last step of each request, and the steps of each."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[int, StepsOfRequest] = {}


def _answer(network: OpenNetwork, load: Load, requests: Mapping[int, JobRequest], answers: _AnswersInSteps) -> None:
    """Add the outputs of each request to `answers`; hold nothing else of the network afterwards."""
    forward = load()
    with torch.inference_mode():
        for r, request in requests.items():
            answers.steps[r] = StepsOfRequest(network, request.sample, request.steps)
            answers[r] = _last_outputs(network, forward, request.sample, answers.steps[r])


def _last_outputs(network: OpenNetwork, forward: Forward, sample: int, steps: StepsOfRequest) -> list[torch.Tensor]:
    """Return the outputs of the last step of a request. The feeds of the network give each step its inputs."""
    names, nest = network.network.own_inputs, network.network.nest
    buffers = network.network.buffers
    if buffers:
        skeleton.assign_weights(_module(forward), network.buffers(sample))
    first = dict(zip(names, network.own_inputs(sample), strict=True))
    steps.begin(first)
    following: Mapping[str, torch.Tensor] | None = first
    outputs: list[torch.Tensor] = []
    while following is not None:
        inputs = arranged(nest, [following[name] for name in names])
        outputs = tensors_in(forward(*inputs.args, **inputs.kwargs))
        following = steps.end([*outputs, *(_module(forward).get_buffer(name) for name in buffers)])
    return outputs


def _module(forward: Forward) -> nn.Module:
    """Return `forward` as a module with buffers. Raises TypeError."""
    if not isinstance(forward, nn.Module):
        raise TypeError("the network changes its buffers, so the peer must return the module itself")
    return forward


class ProgramJob:
    """A job whose requests a program answers."""

    def __init__(self, job: Job, program: Program) -> None:
        if not program.function.startswith(f"{__package__}."):  # our own programs need only what plans need
            lean_torch.complete()
        import_from(program.path)
        answer = import_function(program.function)
        for folder in program.skeletons:
            skeleton.read(Path(folder))  # imports the classes of its modules
        gc.collect()
        gc.freeze()  # a collection on the clock would take most of a second for all that was imported
        self._job = job
        self._answer: Callable[[], Answers] = answer(job)
        self._answers: Answers = {}

    def run(self) -> Done:
        """Run the program; return the time it took."""
        begin_s = time.perf_counter()
        self._answers = self._answer()
        makespan_s = time.perf_counter() - begin_s
        steps, requests = self._steps, self._job.requests
        if not steps or all(request.steps == 1 for request in requests):
            return Done(makespan_s)
        ends_s = tuple(tuple(end_s - begin_s for end_s in steps[r].ends_s) for r in range(len(requests)))
        return Done(makespan_s, arrived_s=(0.0,) * len(requests), step_ends_s=ends_s)

    @property
    def _steps(self) -> Mapping[int, StepsOfRequest]:
        """The steps of each request, if the program goes network by network."""
        return self._answers.steps if isinstance(self._answers, _AnswersInSteps) else {}

    @cached_property
    def _networks(self) -> list[OpenNetwork]:
        return _open(self._job)

    def compare(self, r: int) -> Deviation:
        """Return how far the outputs of request `r` are from plain PyTorch's, in the last step if it has several."""
        request = self._job.requests[r]
        steps = self._steps.get(r) or StepsOfRequest(self._networks[request.network], request.sample, request.steps)
        return steps.compare(self._answers.get(r, ()))

    def tolerance(self, r: int) -> float:
        """Return the largest output error that request `r` may have."""
        return self._networks[self._job.requests[r].network].network.tolerance
