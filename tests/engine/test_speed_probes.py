"""The probes read a real file with the real readers, and touch real memory."""

from __future__ import annotations

import ctypes
import os
from itertools import product
from pathlib import Path

import pytest

from pytest_edgeload.engine import speed_probes
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.engine.speed_probes import ReadProbe, fresh_s_per_page, read_speeds, swap_speed

SIZE_BYTES = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return a file of some megabytes."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(8 * SIZE_BYTES))
    return str(path)


def test_each_probe_has_a_speed(file: str) -> None:
    """Every reader reads in one lane and in several, from the disk and from the page cache."""
    probes = [ReadProbe(*each) for each in product(READERS, (SIZE_BYTES,), (1, 3), (False, True))]
    speeds = read_speeds(file, probes, 0.01)
    assert len(speeds) == len(probes)
    assert min(speeds) > 0


def test_fresh_memory_takes_time() -> None:
    """The first write to a page has a time."""
    assert fresh_s_per_page() > 0


def test_swapped_pages_are_small() -> None:
    """The kernel is asked for no huge pages (flag `nh`), whatever its setting is."""
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this kernel has no huge pages")
    with speed_probes._small_pages(4 * SIZE_BYTES) as memory:
        first = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(first)
        del first
        ranges = Path("/proc/self/smaps").read_text().split("VmFlags:")
        found = next(i for i, each in enumerate(ranges) if f"\n{address:x}-" in each)
        assert "nh" in ranges[found + 1].splitlines()[0].split()


def test_memory_that_fits_is_not_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit, the probe has nothing to measure and says so. Other programs on the machine may swap."""
    monkeypatch.setattr(speed_probes, "_pages", lambda _counter: 0)
    with pytest.raises(ValueError, match="nothing was swapped"):
        swap_speed(4 * SIZE_BYTES)
