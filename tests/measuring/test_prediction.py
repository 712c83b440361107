"""Predictions: the metrics of a run that is only simulated, and how memory, swap and speeds change them."""

from __future__ import annotations

import msgspec
import pytest

from pytest_edgeload import MachineSpeeds, UsageError, predict
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.machine_speeds import Contention, SwapSpeed, WorkerCost
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Condition, Request, Workload
from tests.builders import network, workload

MIB = 1 << 20
LAYERS = network(*[(40 * MIB, MIB, MIB)] * 5, flops=[10**9] * 5)
ASKED = workload(LAYERS, LAYERS)
SPEEDS = MachineSpeeds(worker=WorkerCost(task_s=0.0, request_s=0.0), swap=SwapSpeed(1e8, 1e8))


def predicted(policy: str, memory: str | None = None, **options: object) -> Measurement:
    """Return the prediction of two requests of five layers of 40 MiB."""
    return predict(ASKED, policy, memory=memory, **{"speeds": SPEEDS, "reader": "direct", **options})  # type: ignore[arg-type]


def test_a_prediction_has_the_metrics_of_a_run() -> None:
    """Times, responses, memory and traffic are there, and a strict chain takes the sum of its tasks."""
    run = predicted("bulk")
    seconds = 2 * 5 * (40 * MIB / 1e9 + 1e9 / 4e10)
    assert run.outcome == "ok"
    assert run.makespan_s == pytest.approx(seconds)
    assert run.response_s == pytest.approx((seconds / 2, seconds))
    assert run.read_bytes == 400 * MIB
    assert run.peak_bytes is not None
    assert run.peak_bytes - SPEEDS.worker.idle_bytes >= 5 * 40 * MIB
    assert (run.swap_in_bytes, run.swap_out_bytes, run.major_faults) == (0, 0, 0)


def test_less_memory_costs_a_greedy_policy_swap_and_time() -> None:
    """Bulk holds 200 MiB of weights; with room for 100 it swaps, while linear does not notice."""
    plenty, little = predicted("bulk"), predicted("bulk", "base+100M")
    assert little.swap_out_bytes
    assert little.makespan_s
    assert plenty.makespan_s
    assert little.makespan_s > plenty.makespan_s
    assert predicted("linear", "base+100M").makespan_s == pytest.approx(predicted("linear").makespan_s)


def test_without_swap_a_greedy_policy_is_killed() -> None:
    """The outcome is oom, with the limit in its sentence."""
    run = predicted("bulk", "base+64M", swap_bytes=0)
    assert run.outcome == "oom"
    assert run.detail == "the limit of 264M is reached, and there is no swap"


def test_the_page_cache_serves_the_second_request() -> None:
    """The reader read finds the weights of the first request if memory holds them, and else reads them again."""
    assert predicted("linear", reader="read").read_bytes == 200 * MIB
    assert predicted("linear", "base+80M", reader="read").read_bytes == 400 * MIB


def test_mapped_weights_are_dropped_and_read_again() -> None:
    """Bulk maps 200 MiB; with room for half of it, execs read again what was dropped, and nothing is swapped out."""
    run = predicted("bulk", "base+100M", reader="mmap")
    assert run.read_bytes
    assert run.read_bytes > 400 * MIB


def test_mapped_tiles_are_read_once() -> None:
    """A mapping ignores the places of tiles, so the execs of `stream` find what its loads have read."""
    assert predicted("stream", reader="mmap").read_bytes == predicted("stream").read_bytes == 200 * MIB


def test_loads_and_execs_slow_each_other_as_measured() -> None:
    """With contention, a policy that overlaps them takes longer; a strict chain does not."""
    slow = msgspec.structs.replace(SPEEDS, contention=Contention(1.5, 1.5))
    for policy, is_slowed in (("linear", False), ("partial", True)):
        fast_s, slow_s = predicted(policy).makespan_s, predicted(policy, speeds=slow).makespan_s
        assert fast_s
        assert slow_s
        assert (slow_s > 1.05 * fast_s) is is_slowed


def test_requests_in_steps_have_the_metrics_of_steps() -> None:
    """A loop of three steps has the time of its first step and of the others."""
    run = predict(Workload("loop", (Request(LAYERS, steps=3),)), "bulk", speeds=SPEEDS)
    step_s = 5 * 1e9 / 4e10
    assert run.first_step_s == pytest.approx(step_s + 200 * MIB / 1e9)
    assert run.step_mean_s == pytest.approx(step_s)


def test_requests_whose_condition_fails_are_dropped() -> None:
    """`holds` decides, as the outputs of a real run would."""
    asked = Workload("conditional", (Request(LAYERS), Request(LAYERS, when=Condition(0, 0.5))))
    assert predict(asked, "bulk", holds=lambda _: False).dropped == (1,)
    assert predict(asked, "bulk").dropped == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "bukl"}, "policy='bukl': unknown; did you mean bulk?"),
        ({"reader": "dircet"}, "reader='dircet': unknown; did you mean direct?"),
        ({"memory": "100M"}, "memory limit 100M: the worker needs 200M before it holds any weights; try at least"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, str], message: str) -> None:
    """The message has the argument, its value and the way out."""
    with pytest.raises(UsageError) as refused:
        predict(ASKED, speeds=SPEEDS, **options)  # type: ignore[arg-type]
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("reader", ["direct", "read", "mmap"])
def test_limit_of_reads_is_the_throttle_of_a_device(reader: str) -> None:
    """Pages that come back from swap and files have the limit; bytes in the page cache have none."""
    throttled = SPEEDS.held_to(Constraints(read_bps=20 * MIB))
    for policy, memory in (("bulk", "base+100M"), ("bulk", None), ("partial", "base+100M")):
        by_limit = predicted(policy, memory, reader=reader, read_bps=20 * MIB)
        assert by_limit.makespan_s == predicted(policy, memory, reader=reader, speeds=throttled).makespan_s
        unlimited_s = predicted(policy, memory, reader=reader).makespan_s
        assert by_limit.makespan_s
        assert unlimited_s
        assert by_limit.makespan_s > 2 * unlimited_s
