"""Of all limits on the way up, the smallest is in force: it is found, compared with a run's own, and put into words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.caps.outer import FILES, OuterLimit, Values, outer_of, smallest, tighter

MIB = 1 << 20
NO_LIMIT = "9223372036854771712\n"


@pytest.mark.parametrize(
    ("file", "text", "values"),
    [
        ("memory.max", "104857600\n", {"memory_bytes": 100 * MIB}),
        ("memory.max", "max\n", {}),
        ("memory.high", "52428800\n", {"memory_bytes": 50 * MIB}),
        ("memory.swap.max", "0\n", {"swap_bytes": 0}),
        ("memory.swap.high", "max\n", {}),
        ("cpu.max", "50000 100000\n", {"cpus": 0.5}),
        ("cpu.max", "max 100000\n", {}),
        ("io.max", "8:0 rbps=2097152 wbps=max riops=max wiops=max\n", {"read_bps": 2 * MIB}),
        ("io.max", "8:0 rbps=max wbps=9 riops=7 wiops=8\n8:16 rbps=max wbps=5 riops=max wiops=max\n",
         {"write_bps": 5, "read_iops": 7, "write_iops": 8}),
        ("memory.limit_in_bytes", "104857600\n", {"memory_bytes": 100 * MIB}),
        ("memory.limit_in_bytes", NO_LIMIT, {}),
        ("memory.memsw.limit_in_bytes", "209715200\n", {"memory_and_swap_bytes": 200 * MIB}),
        ("memory.stat", f"cache 7\nhierarchical_memory_limit 104857600\nhierarchical_memsw_limit {NO_LIMIT}",
         {"memory_bytes": 100 * MIB}),
        ("cpu.cfs_quota_us", "25000 100000", {"cpus": 0.25}),
        ("cpu.cfs_quota_us", "-1 100000", {}),
        ("blkio.throttle.read_bps_device", "8:0 1048576\n8:16 2097152\n", {"read_bps": MIB}),
        ("blkio.throttle.write_iops_device", "8:0 100\n", {"write_iops": 100}),
        ("blkio.throttle.write_bps_device", "", {}),
    ],
)  # fmt: skip
def test_file_has_a_limit(file: str, text: str, values: Values) -> None:
    """Each file of versions 1 and 2 has its limits, and none without a limit."""
    assert FILES[file](text) == values


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("text", ["", "\n", "max", "x", "9" * 5001, "8:0 rbps=", "0 0", "\udcff"])
def test_other_text_has_no_limit_but_a_number(file: str, text: str) -> None:
    """A text of another form raises nothing, and limits nothing to less than a number in it."""
    assert {*FILES[file](text).values()} <= {0}


def group(folder: Path, **files: str) -> Path:
    """Write the files of a group; underscores in their names are dots."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_smallest_on_the_way_up_counts(tmp_path: Path) -> None:
    """For each resource the smallest limit counts, wherever it is set, and the group that sets it is named."""
    top = group(tmp_path / "top", memory_max="100\n", cpu_max="50000 100000\n")
    middle = group(top / "middle", memory_max="max\n", memory_high="50\n", memory_swap_max="0\n")
    leaf = group(middle / "leaf", memory_max="200\n", cpu_max="100000 100000\n", io_max="8:0 rbps=9 wbps=max\n")
    assert outer_of([leaf, middle, top]).limits == (
        OuterLimit("cpus", 0.5, top / "cpu.max"),
        OuterLimit("memory_bytes", 50, middle / "memory.high"),
        OuterLimit("read_bps", 9, leaf / "io.max"),
        OuterLimit("swap_bytes", 0, middle / "memory.swap.max"),
    )


def test_quota_of_version_1_has_a_period_of_its_own(tmp_path: Path) -> None:
    """The quota of version 1 is divided by the period in the file next to it."""
    (tmp_path / "cpu.cfs_quota_us").write_text("30000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("60000\n")
    assert outer_of([tmp_path]).limits == (OuterLimit("cpus", 0.5, tmp_path / "cpu.cfs_quota_us"),)


def test_file_that_sets_the_limit_is_named() -> None:
    """Of equal limits, the file that sets one is named, and not the sum over all groups in memory.stat."""
    inside = OuterLimit("memory_bytes", 100, Path("top/leaf/memory.stat"))
    around = OuterLimit("memory_bytes", 100, Path("top/memory.limit_in_bytes"))
    assert smallest([inside, around]) == (around,)


LIMITS = {
    "memory_bytes": 512 * MIB,
    "swap_bytes": 64 * MIB,
    "memory_and_swap_bytes": 512 * MIB,
    "cpus": 2.0,
    "read_bps": 90 * MIB,
    "read_iops": 100,
}


@pytest.mark.parametrize(
    ("asked", "swap_bytes", "expected"),
    [
        (Constraints(memory_bytes=256 * MIB, read_bps=MIB), 0, {"cpus", "read_iops"}),
        (Constraints(memory_bytes=256 * MIB, read_bps=MIB, cpus=2), 64 * MIB, {"read_iops"}),
        (Constraints(memory_bytes=256 * MIB, cpus=0.5), 512 * MIB,
         {"swap_bytes", "memory_and_swap_bytes", "read_bps", "read_iops"}),
        (Constraints(memory_bytes=513 * MIB, cpus=3, read_bps=91 * MIB), 0,
         {"memory_bytes", "cpus", "read_bps", "read_iops"}),
        (Constraints(), 0, {"memory_bytes", "cpus", "read_bps", "read_iops"}),
    ],
)  # fmt: skip
def test_only_tighter_limits_are_named(asked: Constraints, swap_bytes: int, expected: set[str]) -> None:
    """A run is told of the limits that hold it tighter than its own, on a machine of four processors."""
    limits = [OuterLimit(name, value, Path(name)) for name, value in LIMITS.items()]
    assert {limit.resource for limit in tighter(limits, asked, swap_bytes, 4)} == expected


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (OuterLimit("memory_bytes", 512 * MIB, Path("/a")), "memory 512M (/a)"),
        (OuterLimit("swap_bytes", 0, Path("/a")), "swap off (/a)"),
        (OuterLimit("memory_and_swap_bytes", 1024 * MIB, Path("/a")), "memory and swap together 1G (/a)"),
        (OuterLimit("cpus", 0.5, Path("/a")), "cpus 0.5 (/a)"),
        (OuterLimit("write_bps", 2 * MIB, Path("/a")), "writes at 2M/s (/a)"),
        (OuterLimit("read_iops", 100, Path("/a")), "100 reads a second (/a)"),
    ],
)
def test_limit_has_words(limit: OuterLimit, words: str) -> None:
    """A limit is shown in the words of the constraint, with the file that sets it."""
    assert str(limit) == words


def test_nearest_group_that_reached_its_limit_is_found(tmp_path: Path) -> None:
    """In version 2, the nearest group whose count grew reached its limit, if it has one."""
    top = group(tmp_path / "top", memory_max="200\n", memory_events_local="low 0\noom 3\noom_kill 0\n")
    leaf = group(top / "leaf", memory_max="100\n", memory_events_local="low 0\noom 0\noom_kill 0\n")
    outer = outer_of([leaf, top])
    before = outer.hits()
    assert outer.reached(before) is None
    (top / "memory.events.local").write_text("low 0\noom 4\noom_kill 1\n")
    assert outer.reached(before) == OuterLimit("memory_bytes", 200, top / "memory.max")
    (leaf / "memory.events.local").write_text("low 0\noom 1\noom_kill 1\n")
    assert outer.reached(before) == OuterLimit("memory_bytes", 100, leaf / "memory.max")
    (leaf / "memory.max").write_text("max\n")
    assert outer.reached(before) is None


@pytest.mark.parametrize(("highest", "is_reached"), [(100 * MIB, True), (99 * MIB, True), (90 * MIB, False)])
def test_mark_of_version_1_is_near_the_limit(tmp_path: Path, highest: int, is_reached: bool) -> None:  # noqa: FBT001
    """In version 1 a group reached its limit if its high-water mark is within a huge page of it."""
    limit = tmp_path / "memory.limit_in_bytes"
    limit.write_text(f"{100 * MIB}\n")
    (tmp_path / "memory.max_usage_in_bytes").write_text(f"{highest}\n")
    outer = outer_of([tmp_path])
    assert outer.reached(outer.hits()) == (OuterLimit("memory_bytes", 100 * MIB, limit) if is_reached else None)
