"""A worker's memory while tasks run: loads take it part by part, and contention depends on their place."""

from __future__ import annotations

import pytest

from pytest_edgeload.planning.calibrated import CalibratedMachine, WorkerSetup
from pytest_edgeload.planning.machine_speeds import Contention, MachineSpeeds, WorkerCost
from pytest_edgeload.planning.plan import Budget, Plan, Task
from pytest_edgeload.policies import POLICIES
from tests.builders import network, workload

MIB = 1 << 20
LAYERS = network((160 * MIB, MIB, MIB), (160 * MIB, MIB, MIB))
ASKED = workload(LAYERS)
SPEEDS = MachineSpeeds(contention=Contention(1.5, 2.0, 2.0, 1.1, 1.2), worker=WorkerCost(idle_bytes=100 * MIB))
PLAN = POLICIES["linear"](ASKED, Budget())


def task(kind: str, layer: int) -> Task:
    """Return the task of this kind and layer."""
    return next(task for task in PLAN.tasks if (task.kind, task.layer) == (kind, layer))


@pytest.mark.parametrize("is_freed_meanwhile", [True, False])
def test_memory_that_is_freed_during_a_load_is_there_for_the_rest_of_it(*, is_freed_meanwhile: bool) -> None:
    """Under a limit that holds one layer and a half, a second one fits if the first one goes while it is loaded."""
    machine = CalibratedMachine(PLAN, ASKED, SPEEDS, WorkerSetup(memory_bytes=(100 - 42 + 12 + 240) * MIB))
    list(machine.begin(task("load", 0), 0, 160 * MIB, 0))
    second = iter(machine.begin(task("load", 1), 0, 160 * MIB, 0))
    for _ in range(2):  # without traffic, the first part is that of the activations
        next(second)
    if is_freed_meanwhile:
        list(machine.begin(task("free", 0), 0, 0, 0))
    list(second)
    assert bool(machine.memory.traffic.out_bytes) is not is_freed_meanwhile


@pytest.mark.parametrize(("arena_bytes", "paces"), [(0, (1 / 1.5, 1 / 2.0)), (MIB, (1 / 1.1, 1 / 1.2))])
def test_a_plan_with_an_arena_has_the_contention_of_loads_into_it(arena_bytes: int, paces: tuple[float, float]) -> None:
    """Loads into resident memory need little of the processor."""
    plan = Plan(PLAN.tasks, 2, arena_bytes=arena_bytes)
    assert CalibratedMachine(plan, ASKED, SPEEDS, WorkerSetup()).paces(1, 1) == pytest.approx(paces)
