"""Measures the time of plans: `python -m tests.accuracy.plan_speed [--tasks N ...] [--policy NAME ...] [--mix ...]`.

Each figure is in microseconds of processor time per task, for mixes of about so many tasks. It is linear if it does not
grow with them. The sum is that of planning, checking and simulating; the dispatcher alone is part of the simulation.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle

import msgspec
from tabulate import tabulate

from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.derived import answered
from pytest_edgeload.workload import Condition, Request, Workload

TASKS = (1000, 10_000, 50_000)
BUDGET = Budget(memory_bytes=192 << 20)
HEADERS = ("mix", "policy", "tasks", "plan", "check", "simulate", "sum", "dispatch", "encode", "decode", "answers")

_ROWS, _ACTIVATION_BYTES = 1024, 1 << 20


def _network(name: str, layers: int, mib: float) -> Network:
    """Return a network of linear layers of about so many MiB, which can be cut into tiles."""
    generator = random.Random(name)  # the same sizes in every run
    made: list[Layer] = []
    offset = 0
    for i in range(layers):
        columns = int(generator.uniform(0.5, 1.5) * mib * (1 << 20)) // (4 * _ROWS)
        weight = TensorSpec(f"weight{i}", "float32", (_ROWS, columns), offset, 4 * _ROWS * columns)
        op = Op("aten.linear.default", [{"value": "x"}, {"weight": weight.name}, None], {}, "y")
        cost = generator.randrange(10**8, 10**9)
        made.append(Layer(f"layer{i}", "linear", (weight,), (op,), _ACTIVATION_BYTES, _ACTIVATION_BYTES, cost))
        offset += weight.size_bytes
    inputs = (TensorSpec("x", "float32", (_ROWS,), 0, 4 * _ROWS),)
    return Network(name, tuple(made), ("x",), ("y",), (Sample(inputs, ()),), "", "")


NETWORKS = (_network("small", 8, 6), _network("wide", 16, 8), _network("deep", 24, 0.5), _network("even", 12, 4))


def _once() -> Iterator[Request]:
    """Yield requests that all arrive at the start."""
    yield from (Request(network) for network in cycle(NETWORKS))


def _arrivals() -> Iterator[Request]:
    """Yield requests that arrive one after the other."""
    yield from (Request(network, 0, 0.5 * i) for i, network in enumerate(cycle(NETWORKS)))


def _sequences() -> Iterator[Request]:
    """Yield requests of which every third has 16 steps."""
    for i, network in enumerate(cycle(NETWORKS)):
        yield Request(network, 0, 0.5 * i, steps=1 if i % 3 else 16)


def _streams() -> Iterator[Request]:
    """Yield requests of four streams with deadlines, of which one triggers another, and some drop frames."""
    for i in count(0, 4):
        at_s = 0.3 * i
        yield Request(NETWORKS[0], 0, at_s, deadline_s=0.5, stream="camera", queue=1)
        yield Request(NETWORKS[3], 0, at_s, deadline_s=1.0, stream="crop", when=Condition(i, 0.5), after=i)
        yield Request(NETWORKS[1], 0, at_s + 0.1, deadline_s=1.0, stream="microphone")
        yield Request(NETWORKS[2], 0, at_s + 0.2, deadline_s=2.0, stream="chat", queue=2)


MIXES: dict[str, Callable[[], Iterator[Request]]] = {
    "once": _once,
    "arrivals": _arrivals,
    "sequences": _sequences,
    "streams": _streams,
}


def _workload(name: str, tasks: int) -> Workload:
    """Return the requests of a mix for about so many tasks, if each layer is loaded, executed and freed once."""
    asked: list[Request] = []
    for request in MIXES[name]():
        if tasks <= 0:
            break
        asked.append(request)
        tasks -= 1 + 3 * len(request.network.layers)
    return Workload(name, tuple(asked))


def _dispatch(plan: Plan, workload: Workload) -> None:
    """Hand out the tasks of a plan, each of which takes no time."""
    dispatcher, now_s = Dispatcher(plan, workload.asked), 0.0
    while not dispatcher.finished:
        indices = [index for lane in range(plan.lanes) if (index := dispatcher.take(lane, now_s)) is not None]
        for index in indices:
            dispatcher.end(index, now_s)
        if not indices:
            now_s = dispatcher.next_arrival_s or now_s
            dispatcher.advance(now_s)


def _row(mix: str, policy: str, tasks: int) -> tuple[str, ...]:
    """Return the figures of a policy for a mix of about so many tasks."""
    workload = _workload(mix, tasks)
    times_s: list[float] = [time.process_time()]
    plan = POLICIES[policy](workload, BUDGET)
    times_s.append(time.process_time())
    check_plan(plan, workload)
    times_s.append(time.process_time())
    simulation = simulate(plan, workload)
    times_s.append(time.process_time())
    _dispatch(plan, workload)
    times_s.append(time.process_time())
    encoded = msgspec.json.encode(plan)
    times_s.append(time.process_time())
    msgspec.json.decode(encoded, type=Plan)
    times_s.append(time.process_time())
    arrived_s = [at or 0.0 for at in simulation.arrived_s]
    answered(plan, workload, simulation.spans, arrived_s, simulation.dropped, simulation.totals)
    times_s.append(time.process_time())
    runs = len(simulation.spans) + sum(total.runs for total in simulation.totals)
    per_task = [len(plan.tasks)] * 2 + [runs] * 2 + [len(plan.tasks)] * 3  # loops run their tasks several times
    spent = [1e6 * (end - begin) / of for begin, end, of in zip(times_s, times_s[1:], per_task, strict=False)]
    figures = [*spent[:3], sum(spent[:3]), *spent[3:]]
    return mix, policy, f"{len(plan.tasks):,}", *(f"{figure:.1f}" for figure in figures)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the time of plans per task.")
    parser.add_argument("--tasks", nargs="+", type=int, default=TASKS)
    parser.add_argument("--policy", nargs="+", choices=sorted(POLICIES), default=list(POLICIES))
    parser.add_argument("--mix", nargs="+", choices=list(MIXES), default=list(MIXES))
    args = parser.parse_args(arguments)
    rows = [_row(mix, policy, tasks) for mix in args.mix for policy in args.policy for tasks in args.tasks]
    print(tabulate(rows, HEADERS, tablefmt="github", disable_numparse=True))  # noqa: T201


if __name__ == "__main__":
    main()
