"""The sampler observes a worker's memory at a low cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.sampler import Sampler
from tests.sandbox import witness
from tests.sandbox.child import MIB, Child

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def test_memory_is_on_the_time_line(any_cap: Cap, fresh: Callable[[], str]) -> None:
    """Memory that a process takes is on the time line and in its high-water mark, also after it is freed."""
    group = any_cap.open(fresh(), Limits(may_swap=True))
    try:
        with Child(*group.enter) as child:
            child.do("again")
            begin_s = time.monotonic()
            with Sampler(group, child.pid) as sampler:
                assert witness.until(lambda: sampler.highest_resident > 0)
                start = sampler.highest_resident
                child.do("touch", 64 * MIB)
                assert witness.until(lambda: sampler.highest_resident - start > 60 * MIB)
                child.do("touch", 8 * MIB)  # when this is seen, so was what came before it
                assert witness.until(lambda: sampler.highest_resident - start > 68 * MIB)
                child.do("free")
        timeline = sampler.timeline(begin_s)
    finally:
        group.close()
    assert max(timeline.anon_bytes) - timeline.anon_bytes[0] > 50 * MIB
    assert 68 * MIB < sampler.highest_resident - start < 80 * MIB
    assert len(timeline.at_s) == len(timeline.anon_bytes) == len(timeline.file_bytes) == len(timeline.swap_bytes)
    assert list(timeline.at_s) == sorted(timeline.at_s)
    assert timeline.at_s[0] >= 0


def test_sampler_reports_its_own_cost(any_cap: Cap, fresh: Callable[[], str]) -> None:
    """The sampler reports its own share of a processor, which is less than half."""
    group = any_cap.open(fresh(), Limits(may_swap=True))
    try:
        with Child(*group.enter) as child, Sampler(group, child.pid) as sampler:
            child.do("burn", 0.5)
    finally:
        group.close()
    assert 0 < sampler.cpu_share < 0.5


def test_last_moment_counts(any_cap: Cap, fresh: Callable[[], str]) -> None:
    """The high-water mark includes memory taken just before the context ended."""
    group = any_cap.open(fresh(), Limits(may_swap=True))
    try:
        for _ in range(5):
            with Child(*group.enter) as child:
                child.do("again")
                with Sampler(group, child.pid) as sampler:
                    child.do("touch", 16 * MIB)
                assert sampler.highest_resident >= 16 * MIB
    finally:
        group.close()


def test_dead_process_keeps_its_samples(any_cap: Cap, fresh: Callable[[], str]) -> None:
    """A process that dies while it is sampled ends nothing; its samples stay."""
    group = any_cap.open(fresh(), Limits(may_swap=True))
    try:
        with Child(*group.enter) as child:
            child.do("touch", 32 * MIB)
            with Sampler(group, child.pid) as sampler:
                assert witness.until(lambda: sampler.highest_resident > 32 * MIB)
                child.process.kill()
                child.end()
                time.sleep(0.05)  # time for a few samples of nothing
        assert sampler.highest_resident > 32 * MIB
        assert max(sampler.timeline(None).anon_bytes) > 32 * MIB
    finally:
        group.close()
