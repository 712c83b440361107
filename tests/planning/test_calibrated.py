"""A worker's memory while tasks run: who waits for it, and how contention depends on the place of loads."""

from __future__ import annotations

import pytest

from pytest_edgeload.planning.calibrated import CalibratedMachine, WorkerSetup
from pytest_edgeload.planning.machine_speeds import Contention, MachineSpeeds, WorkerCost
from pytest_edgeload.planning.plan import Budget, Plan, Task
from pytest_edgeload.planning.virtual_machine import RECLAIM
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


def test_a_load_takes_its_memory_at_its_start() -> None:
    """Under a limit that holds one layer and a half, half of the first one goes to swap before anything is read."""
    machine = CalibratedMachine(PLAN, ASKED, SPEEDS, WorkerSetup(memory_bytes=(100 - 42 + 12 + 240) * MIB))
    list(machine.begin(task("load", 0), 0, 160 * MIB, 0))
    resource, seconds = next(iter(machine.begin(task("load", 1), 0, 160 * MIB, 0)))
    assert resource == RECLAIM
    assert SPEEDS.swap is not None
    assert seconds == pytest.approx(machine.memory.traffic.out_bytes / SPEEDS.swap.out_bytes_per_s)
    assert machine.memory.traffic.out_bytes >= 80 * MIB


def test_all_others_wait_while_the_kernel_swaps_out() -> None:
    """They map and unmap memory as well; two reclaims share the speed of swap."""
    machine = CalibratedMachine(PLAN, ASKED, SPEEDS, WorkerSetup())
    alone, beside = machine.paces(1, 1, 0), machine.paces(1, 1, 2)
    assert beside[:2] == pytest.approx([pace / 10 for pace in alone[:2]])
    assert beside[2] == 0.5


@pytest.mark.parametrize(("arena_bytes", "paces"), [(0, (1 / 1.5, 1 / 2.0)), (MIB, (1 / 1.1, 1 / 1.2))])
def test_a_plan_with_an_arena_has_the_contention_of_loads_into_it(arena_bytes: int, paces: tuple[float, float]) -> None:
    """Loads into resident memory need little of the processor."""
    plan = Plan(PLAN.tasks, 2, arena_bytes=arena_bytes)
    assert CalibratedMachine(plan, ASKED, SPEEDS, WorkerSetup()).paces(1, 1, 0)[:2] == pytest.approx(paces)
