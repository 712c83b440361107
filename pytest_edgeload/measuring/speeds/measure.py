"""Measures all speeds of this machine: readers, memory and swap by functions, the rest by plans over real networks."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from pytest_edgeload.base.errors import Unsupported, joined
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.calibration import measure_idle_bytes
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.speeds.contention import REQUESTS, contention_of, contention_plan
from pytest_edgeload.measuring.speeds.fit import compute_speeds, load_costs, merged
from pytest_edgeload.measuring.speeds.probes import Probes, scratch_file
from pytest_edgeload.measuring.speeds.runs import READER, PlanRuns
from pytest_edgeload.measuring.speeds.store import operator_threads
from pytest_edgeload.measuring.speeds.timed_plan import TimedPlan
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.machine_speeds import Contention, MachineSpeeds, SwapSpeed, WorkerCost
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.sandbox.constraints import Limits

SAMPLE_LAYERS = "sample_layers"
"""The name of the network that is always measured: its layers have the kinds and sizes of common ones."""

COMPUTING = ("cpus", "cores", "threads")
"""The constraints that the workers are held to; throttles are applied to the figures, see `MachineSpeeds.held_to`."""

_FACTORY = "pytest_edgeload.exporting.sample_layers:sample_layers"
_REQUESTS, _MAX_STEPS = 5, 3
_CONTENTION_RUNS = 3  # of the sample
_MAX_REQUEST_S = 1.0  # with reading, of a network whose contention is measured


class MeasuredSpeeds(NamedTuple):
    """The speeds, and sentences about figures that could not be measured here."""

    speeds: MachineSpeeds
    remarks: tuple[str, ...]


class SpeedTools(NamedTuple):
    """The tools of a measurement: `folder` is that of the session; `show` shows the step that runs, of how many."""

    launcher: Launcher
    registry: Registry
    progress: ShowProgress
    folder: Path
    show: Callable[[str, int, int], None]


def measure_speeds(tools: SpeedTools, networks: Sequence[str], constraints: Constraints) -> MeasuredSpeeds:
    """Measure the speeds under `constraints`, and the layers of `networks` in addition to the sample. Raises Refusal.

    It takes about a minute, and some seconds more for each network. Without swap, the speed of swap is None.
    """
    tools.registry.register(SAMPLE_LAYERS, _FACTORY)
    names = tuple(dict.fromkeys((SAMPLE_LAYERS, *networks)))
    for name in names:  # makes them, because that would disturb a measurement
        tools.registry.get(name, tools.progress)
    held = constraints.only(*COMPUTING)
    probes = Probes(tools.launcher, held)
    runs = PlanRuns(tools.launcher, tools.registry, tools.progress, held)
    thread_counts = sorted({1, operator_threads(constraints)})
    numbers, total = count(), 4 + len(thread_counts) * len(names)

    def show(step: str) -> None:
        tools.show(step, next(numbers), total)

    show("idle worker")
    with tools.launcher.turn():
        idle_bytes = measure_idle_bytes(tools.launcher.enclosure(Limits(held, may_swap=tools.launcher.swap.usable)))
    show("readers")
    with scratch_file(tools.folder / "scratch") as scratch:
        reads = probes.reads(scratch.path)
    fresh_s = probes.fresh_s_per_page()
    show("swap")
    swap, remarks = _swap(probes)
    linear = [_linear(runs, name, threads, show) for name in names for threads in thread_counts]
    show("reading during computing")
    times = merged(time for run in linear for time in run.layer_times())
    speeds = MachineSpeeds(
        reads=reads,
        write_bytes_per_s=scratch.write_bytes_per_s,
        swap=swap,
        fresh_s_per_page=fresh_s,
        free_s_per_page=PAGE * statistics.median(run.free_s_per_byte() for run in linear),
        layers=times,
        computing=compute_speeds(times),
        contention=_contention(runs, [SAMPLE_LAYERS, *_quick(linear)], thread_counts[-1]),
        worker=_worker(linear, idle_bytes),
    )
    return MeasuredSpeeds(_with_load_costs(speeds, linear).held_to(constraints), remarks)


def _with_load_costs(speeds: MachineSpeeds, runs: Sequence[TimedPlan]) -> MachineSpeeds:
    """Return the speeds with the costs of a load besides reading and touching its bytes, from the loads of `runs`."""
    fresh_s_per_byte = speeds.fresh_s_per_page / PAGE
    load_s, small_s_per_byte = load_costs(
        (load for run in runs for load in run.loads()),
        lambda size_bytes: speeds.read_s(READER, size_bytes) + fresh_s_per_byte * size_bytes,
    )
    worker = msgspec.structs.replace(speeds.worker, load_s=load_s, small_page_s_per_byte=small_s_per_byte)
    return msgspec.structs.replace(speeds, worker=worker)


def _swap(probes: Probes) -> tuple[SwapSpeed | None, tuple[str, ...]]:
    """Return the speed of swap, or None and a sentence that gives the reason."""
    try:
        return probes.swap(), ()
    except Unsupported as error:
        return None, (f"swap was not measured: {joined(error.reason)}",)


def _linear(runs: PlanRuns, name: str, threads: int, show: Callable[[str], None]) -> TimedPlan:
    """Run a network layer by layer, several times, so that all but the first executions find their operators ready."""
    show(f"layers of {name}, {threads} {'thread' if threads == 1 else 'threads'}")
    return runs.run(
        name,
        lambda workload: POLICIES["linear"](workload, Budget()),
        threads=threads,
        requests=_REQUESTS,
        max_steps=_MAX_STEPS,
    )


def _quick(linear: Sequence[TimedPlan]) -> list[str]:
    """Return the networks, except the sample, that can be computed many times: quick ones that fit in memory twice."""
    free_bytes = psutil.virtual_memory().available
    networks = {
        run.workload.name: run.workload.requests[0].network
        for run in linear
        if run.workload.name != SAMPLE_LAYERS and run.makespan_s < _REQUESTS * _MAX_REQUEST_S
    }
    return [name for name, network in networks.items() if 2 * network.peak_bytes < free_bytes]


def _contention(runs: PlanRuns, names: Sequence[str], threads: int) -> Contention:
    """Return the median of each factor over the networks; the first one has several runs."""
    found = []
    for name in [*[names[0]] * (_CONTENTION_RUNS - 1), *names]:
        run = runs.run(name, contention_plan, threads=threads, requests=REQUESTS)
        found.append(msgspec.structs.astuple(contention_of(run.plan, run.spans)))
    return Contention(*map(statistics.median, zip(*found, strict=True)))


def _worker(runs: Sequence[TimedPlan], idle_bytes: int) -> WorkerCost:
    return WorkerCost(
        start_s=statistics.median(run.startup_s for run in runs),
        task_s=statistics.median(run.pause_s() for run in runs),
        request_s=statistics.median(run.median_s("init") for run in runs),
        idle_bytes=idle_bytes,
    )
