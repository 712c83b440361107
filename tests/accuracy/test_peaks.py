"""Memory: the sampler, the kernel's count for the group, and the process's own count agree."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_edgeload.sandbox import counters
from pytest_edgeload.sandbox.caps import Cap
from tests.accuracy.programs import MIB, Fresh, hold, measure


def test_sampled_peak_is_near_the_kernels(cap: Cap, fresh: Fresh) -> None:
    """The sampled peak of memory held for 0.2 s is within 2 % of the kernel's own high-water mark."""
    run = measure(hold(200, 0.2), cap, fresh())
    assert run.peak_charged_bytes is not None
    assert run.peak_anon_bytes is not None
    assert run.peak_file_bytes is not None
    assert run.peak_anon_bytes >= 200 * MIB
    assert run.peak_anon_bytes + run.peak_file_bytes == pytest.approx(run.peak_charged_bytes, rel=0.02)


@pytest.mark.parametrize("mib", [0, 200])
def test_peak_is_the_programs_own_high_water_mark(cap: Cap, fresh: Fresh, tmp_path: Path, mib: int) -> None:
    """The peak equals the program's own VmHWM, although a larger process, this one, started it."""
    larger = b"1" * (64 * MIB)
    run = measure(hold(mib, 0.1, tmp_path / "status"), cap, fresh())
    [own] = re.findall(r"VmHWM:\s+(\d+) kB", (tmp_path / "status").read_text())
    ours = counters.resident(counters.status(os.getpid()))
    assert ours is not None
    assert ours.highest > len(larger)
    assert run.peak_bytes == pytest.approx(int(own) * 1024, rel=0.02, abs=MIB)
