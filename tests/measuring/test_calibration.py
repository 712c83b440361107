"""The figures that a session measures once: the memory of an idle worker, limits relative to it, and bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.calibration import FigureKey
from pytest_edgeload.planning.budget import MARGIN_BYTES
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.arrivals import Constant
from tests.measuring.parts import BPS, DECIDING, TINY, WIDE, CountingCap, held
from tests.sandbox.child import MIB

BOTH = Mix.of("both", ["wide", "tiny"])


def test_figures_with_the_same_dependencies_share_a_note() -> None:
    """The name of a note depends on every part of its figure, and on nothing else."""
    parts: list[dict[str, Any]] = [
        {"name": "read"}, {"networks": ("a",)}, {"networks": ("a", "b")},
        {"constraints": Constraints(threads=2)}, {"constraints": Constraints(cpus=1.5)},
    ]  # fmt: skip
    names = [FigureKey(**({"name": "compute"} | part)).file_name for part in ({}, *parts)]
    assert len({*names}) == len(names)
    assert names == [FigureKey(**({"name": "compute"} | part)).file_name for part in ({}, *parts)]


def test_idle_memory_is_measured_once_per_session_folder(bench: Bench, counting: CountingCap) -> None:
    """The memory of an idle worker is measured once per session folder, and is plausible."""
    idle, opened = bench.calibration.idle_bytes(), counting.opened
    assert replace(bench).calibration.idle_bytes() == bench.calibration.idle_bytes() == idle
    assert counting.opened == opened
    assert 32 * MIB < idle < 4096 * MIB


def test_another_session_measures_idle_memory_again(bench: Bench, counting: CountingCap, tmp_path: Path) -> None:
    """Another session folder measures it again, with nearly the same result."""
    opened = counting.opened
    assert replace(bench, folder=tmp_path).calibration.idle_bytes() == pytest.approx(
        bench.calibration.idle_bytes(), rel=0.05
    )
    assert counting.opened == opened + 1


def test_bound_is_measured_once_per_session(bench: Bench, case: Case, counting: CountingCap) -> None:
    """A session probes each network once; a bound sums reading over networks and computing over requests."""
    opened = counting.opened
    bound = bench.calibration.bound(case, WIDE)
    assert bound is not None
    assert (bound.read_bytes, counting.opened - opened) == (12 * (2048 + 1) * 2048 * 4, 6)
    assert bound.bound_s == max(bound.read_s, bound.compute_s)
    assert min(bound.read_s, bound.compute_s) > 0
    assert replace(bench).calibration.bound(case, Mix.of("twice", ["wide"], images=2)) == replace(
        bound, compute_s=2 * bound.compute_s
    )
    both = bench.calibration.bound(case, BOTH)
    assert counting.opened - opened == 12
    assert both is not None
    assert both.read_bytes == bound.read_bytes + 9 * 8 * 4
    assert both.read_s > bound.read_s
    assert both.compute_s > bound.compute_s


def test_steps_of_a_bound_are_timed_in_a_loop(bench: Bench, case: Case, counting: CountingCap) -> None:
    """Steps that are alike count as the second one, whose worker is that of a loop; the first one is not timed."""
    opened = counting.opened
    bound = bench.calibration.bound(case, Mix.of("loop", ["steps"], steps=4))
    assert counting.opened - opened == 3 + 3
    assert bound is not None
    note = FigureKey("compute", ("steps",), Constraints(threads=2), 2).file_name
    assert bound.compute_s == pytest.approx(4 * float((bench.folder / note).read_text()))


def test_bound_knows_the_memory_under_a_limit(
    bench: Bench, case: Case, counting: CountingCap, tight_bytes: int
) -> None:
    """Under a limit that the weights exceed, one more worker times each layer, once; zram and loops are left out."""
    plain, _, opened = bench.calibration.bound(case, WIDE), bench.calibration.idle_bytes(), counting.opened
    assert plain is not None
    tight = held(case, memory_bytes=tight_bytes)
    bound = bench.calibration.bound(tight, WIDE)
    assert counting.opened - opened == 1
    assert bound is not None
    assert bound.memory_s is not None
    assert replace(bound, memory_s=None) == plain
    later_share = 11 / 12 - (tight_bytes - bench.calibration.idle_bytes()) / bound.read_bytes  # after the first layer
    assert later_share * bound.read_s <= bound.memory_s <= bound.read_s + bound.compute_s
    assert bench.calibration.bound(tight, WIDE) == bound
    for other in (held(case, memory_bytes=64 << 30), msgspec.structs.replace(tight, swap="zram:1G")):
        assert bench.calibration.bound(other, WIDE) == plain
    assert counting.opened - opened == 1


def test_throttle_slows_the_bound_of_reading_only(
    bench: Bench, case: Case, counting: CountingCap, throttle: Limits
) -> None:
    """With a read throttle, reading is measured again under the throttle, and computing is not."""
    plain, _, opened = bench.calibration.bound(case, WIDE), bench.calibration.bound(case, BOTH), counting.opened
    bound = bench.calibration.bound(held(case, read_bps=BPS), WIDE)
    assert counting.opened - opened == 1
    assert bound is not None
    assert plain is not None
    assert (bound.read_bytes, bound.compute_s) == (plain.read_bytes, plain.compute_s)
    assert bound.read_bytes / bound.read_s < 1.25 * BPS
    both = bench.calibration.bound(held(case, read_bps=BPS), BOTH)
    assert counting.opened - opened == 1 + 1  # both are read by one worker
    assert both is not None
    assert both.read_bytes / both.read_s < 1.25 * BPS


def test_bound_depends_on_processor_time_but_not_on_writes_or_swap(
    bench: Bench, case: Case, counting: CountingCap, throttle: Limits
) -> None:
    """A limit of processor time is measured by itself; constraints on writes, swap or unenforced cores add nothing."""
    limited = held(case, cpus=1.5, read_bps=BPS)
    opened = counting.opened
    bound = bench.calibration.bound(limited, TINY)
    assert counting.opened - opened == 1 + 3  # read by one worker, computed by three
    assert bench.calibration.bound(held(limited, swap_bytes=0, write_bps=BPS), TINY) == bound
    unenforced = msgspec.structs.replace(held(limited, cores=1), unenforced=(Shortfall("cores"),))
    assert bench.calibration.bound(unenforced, TINY) == bound
    assert counting.opened - opened == 1 + 3


@pytest.mark.parametrize("mix", [WIDE.closed(), WIDE.arriving(Constant(1.0)), DECIDING], ids=["closed", "open", "when"])
def test_mix_over_time_or_with_conditions_has_no_bound(
    bench: Bench, case: Case, counting: CountingCap, mix: Mix
) -> None:
    """Requests that arrive over time or depend on a condition have no bound, and nothing is measured."""
    opened = counting.opened
    assert bench.calibration.bound(case, mix) is None
    assert counting.opened == opened


def test_failure_of_a_probe_is_an_error_with_the_setting(bench: Bench, case: Case) -> None:
    """A network whose outputs are wrong has no bound; the error names the reason and the way out."""
    with pytest.raises(Unsupported, match=r"^bound: computing lying by itself failed: request 0 .*; leave it out$"):
        bench.calibration.bound(case, Mix.of("lying", ["lying"]))


def test_base_limit_counts_from_the_idle_worker(bench: Bench) -> None:
    """A plain limit is its size, `base+` adds to the idle worker's memory, and None stays None."""
    assert bench.calibration.limit_bytes(None) is None
    assert bench.calibration.limit_bytes(Limit.parse("1G")) == 1 << 30
    assert bench.calibration.limit_bytes(Limit.parse("base+100M")) == bench.calibration.idle_bytes() + 100 * MIB


@pytest.mark.parametrize("asked", ["64M", "base+16M"])
def test_limit_below_the_idle_worker_is_refused_with_the_smallest_one_that_works(bench: Bench, asked: str) -> None:
    """A limit that an idle worker already exceeds is refused with the smallest sufficient limit."""
    idle = bench.calibration.idle_bytes()
    with pytest.raises(UsageError, match=rf"^memory limit {asked.replace('+', '.')}: the worker needs ") as refused:
        bench.calibration.limit_bytes(Limit.parse(asked))
    assert format_size(idle) in str(refused.value)
    smallest = str(refused.value).partition("try at least ")[2].partition(",")[0]
    assert bench.calibration.limit_bytes(Limit.parse(smallest)) == Limit.parse(smallest).size_bytes
    assert Limit.parse(smallest).size_bytes <= idle + MARGIN_BYTES + MIB
