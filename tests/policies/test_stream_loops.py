"""`stream` in a loop: each step reads what does not fit, and hardly waits for it."""

from __future__ import annotations

import pytest

from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import REQUESTED, span_bytes
from pytest_edgeload.planning.plan import Budget, Plan, Speeds
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies.parts import SCRATCH_BYTES
from pytest_edgeload.policies.stream import COMPUTE, READERS, stream
from pytest_edgeload.policies.streaming.best_order import TILE_BYTES
from pytest_edgeload.policies.streaming.division import PASSING_TILES
from pytest_edgeload.workload import Request, Workload
from tests.builders import embedding

STEPS = 50
SPEEDS = Speeds()


def _deep(layers: int) -> Network:
    """Return a network of linear layers of 4 MiB each, some with more to compute, and of 32 MiB at the end."""
    composer = Composer(1, 16, 8, 8)
    x = composer.flatten(composer.input)
    for i in range(layers):
        x = composer.linear(x, 1024)
        if i % 3:
            x = composer.relu(x)
    return composer.done(composer.linear(x, 8192))


DEEP = _deep(24)
WEIGHTS_BYTES = sum(layer.weight_bytes for layer in DEEP.layers)


def _loop(memory_bytes: int | None, speeds: Speeds = SPEEDS) -> tuple[Plan, Workload]:
    asked = Workload("loop", (Request(DEEP, steps=STEPS),))
    return stream(asked, Budget(memory_bytes, speeds=speeds)), asked


def _bytes_per_step(plan: Plan) -> int:
    (loop,) = plan.loops
    loads = (task for task in plan.tasks[loop.first : loop.end] if task.kind == "load")
    return sum(span_bytes(DEEP.layers[task.layer or 0], task.tile) for task in loads)


@pytest.mark.parametrize("share", [0.75, 0.5])
def test_step_reads_only_what_does_not_fit_and_a_ring_of_few_tiles(share: float) -> None:
    """Every byte of memory beside a ring of four tiles and the operators' own saves a byte of reading in each step."""
    memory_bytes = int(share * WEIGHTS_BYTES)
    least_bytes = WEIGHTS_BYTES - memory_bytes
    read_bytes = _bytes_per_step(_loop(memory_bytes)[0])
    assert least_bytes < read_bytes < least_bytes + SCRATCH_BYTES + (PASSING_TILES + 1) * TILE_BYTES


def test_tiles_of_a_loop_are_smaller_on_a_slow_disk() -> None:
    """They take about 10 ms to read, so that the ring leaves more memory for tiles that are kept."""
    plan, _ = _loop(WEIGHTS_BYTES // 2, Speeds(read_bytes_per_s=90e6))
    loads = [task for task in plan.tasks if task.kind == "load"]
    assert max(span_bytes(DEEP.layers[task.layer or 0], task.tile) for task in loads) <= 0.011 * 90e6
    assert _bytes_per_step(plan) < _bytes_per_step(_loop(WEIGHTS_BYTES // 2)[0]) - (PASSING_TILES - 1) * TILE_BYTES / 2


def test_step_reads_nothing_if_all_fits() -> None:
    """With memory for all weights, a step loads nothing."""
    assert _bytes_per_step(_loop(2 * WEIGHTS_BYTES)[0]) == _bytes_per_step(_loop(None)[0]) == 0


@pytest.mark.parametrize("memory_bytes", [WEIGHTS_BYTES // 2, WEIGHTS_BYTES // 4, 16 << 20])
def test_reading_never_waits_in_a_loop_of_reading(memory_bytes: int) -> None:
    """Both lanes read all the time if reading takes longer than computing: reading goes on across steps."""
    plan, asked = _loop(memory_bytes)
    read_s = (WEIGHTS_BYTES + (STEPS - 1) * _bytes_per_step(plan)) / SPEEDS.read_bytes_per_s
    assert simulate(plan, asked, speeds=SPEEDS).makespan_s < 1.1 * read_s / len(READERS)


@pytest.mark.parametrize("share", [0.75, 0.5, 0.25])
def test_tiles_that_are_read_are_spread_evenly_over_the_step(share: float) -> None:
    """Up to any tile of a step, the bytes read differ from their share of all bytes by less than two tiles."""
    plan, _ = _loop(int(share * WEIGHTS_BYTES))
    (loop,) = plan.loops
    tasks = plan.tasks[loop.first : loop.end]
    read = {task.weights for task in tasks if task.kind == "load"}
    used = [task for task in tasks if task.kind == "exec"]
    sizes = [span_bytes(DEEP.layers[task.layer or 0], task.tile) for task in used]
    read_sizes = [size if task.weights in read else 0 for size, task in zip(sizes, used, strict=True)]
    even = sum(read_sizes) / sum(sizes)
    for end in range(len(used)):
        assert abs(sum(read_sizes[:end]) - even * sum(sizes[:end])) < 2 * max(sizes)


def test_a_step_takes_the_longer_of_reading_and_computing() -> None:
    """With half of the weights and equal times, reading and computing take turns without waiting for each other."""
    plan, asked = _loop(WEIGHTS_BYTES // 2)
    step_s = _bytes_per_step(plan) / SPEEDS.read_bytes_per_s / len(READERS)
    flops = sum(layer.flops for layer in DEEP.layers)
    alike = Speeds(SPEEDS.read_bytes_per_s, flops / step_s)
    first_s = WEIGHTS_BYTES / SPEEDS.read_bytes_per_s / len(READERS)
    assert simulate(plan, asked, speeds=alike).makespan_s < first_s + 1.1 * STEPS * step_s


def test_rows_of_a_step_are_read_by_the_lane_that_waits_for_them() -> None:
    """The rows that the next step looks up do not wait for a tile that a reader reads at the time."""
    asked = Workload("loop", (Request(embedding("x"), steps=STEPS),))
    loads = [task for task in stream(asked, Budget(1 << 20)).tasks if task.kind == "load"]
    assert [(task.tile, task.lane) for task in loads] == [(REQUESTED, COMPUTE)]
    once = stream(Workload("once", (Request(embedding("x")),)), Budget(1 << 20))
    assert [task.lane for task in once.tasks if task.kind == "load"] == [READERS[0]]
