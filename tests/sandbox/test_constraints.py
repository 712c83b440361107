"""The kernel enforces processor time, cores, writes and swap, or the session says that it does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints, Shortfall
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.caps import CAPS, Cap, Group
from pytest_edgeload.sandbox.constraints import Limits, cores_of, limits_of
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.sandbox.trial import shortfalls
from tests.sandbox import witness
from tests.sandbox.child import MIB, Child

GIB = 1024 * MIB
LIMIT = 64 * MIB
BPS = 16 * MIB
PROCESSORS = len(os.sched_getaffinity(0))
EVERYTHING = Constraints(LIMIT, 0, read_bps=20 * MIB, write_bps=BPS, cpus=0.5, cores=1)
NO_SWAP = Swap(0)
CASE = Case(test="", workload="", policy="", reader="", cap="", swap="")
OPTIONAL = [name for name, row in CONSTRAINTS.items() if row.is_optional]


@pytest.fixture
def held(cap: Cap, fresh: Callable[[], str]) -> Iterator[Callable[[Limits], tuple[Group, str]]]:
    """Open groups that are ended and removed after the test; give each with its name."""
    made: list[Group] = []

    def open_group(limits: Limits) -> tuple[Group, str]:
        name = fresh()
        made.append(cap.open(name, limits))
        return made[-1], name

    yield open_group
    for group in made:
        group.kill()
        group.close()


Held = Callable[[Limits], tuple[Group, str]]


def lacking(
    cap: Cap,
    constraints: Constraints,
    fresh: Callable[[], str],
    storage: Path,
    swap: Swap = NO_SWAP,
    swap_kind: str = "",
) -> tuple[Shortfall, ...]:
    """Return the constraints that this cap does not enforce here."""
    held = Constraints(LIMIT) | constraints
    return shortfalls(cap, fresh, held, lambda alone: limits_of(alone, [storage], swap), swap, swap_kind)


def contents(name: str, *files: str) -> str:
    """Return the content of the first of these files that the group has."""
    return next((path / file).read_text() for file in files for path in witness.named(name) if (path / file).exists())


def test_process_gets_its_processor_time(held: Held) -> None:
    """A process with a fifth of a processor is stopped in each period, as the kernel counts."""
    group, name = held(Limits(Constraints(cpus=0.2)))
    assert contents(name, "cpu.max", "cpu.cfs_quota_us").split()[0] == "20000"
    with Child(*group.enter) as child:
        assert child.do("burn", 0.1) == "burnt"
        counts = dict(line.split() for line in contents(name, "cpu.stat").splitlines())
    assert int(counts["nr_throttled"]) >= 3


def test_process_runs_on_its_cores(cap: Cap, held: Held, fresh: Callable[[], str], storage: Path) -> None:
    """A process runs on its cores and no others; without a cpuset controller this is a shortfall."""
    found = lacking(cap, Constraints(cores=1), fresh, storage)
    if found:
        assert found == (Shortfall("cores"),)
        assert not [path for path in witness.CGROUPS.rglob("cpuset.cpus") if os.access(path.parent, os.W_OK)]
        return
    group, _ = held(Limits(Constraints(cores=1)))
    with Child(*group.enter) as child:
        assert child.do("again") == "intact"
        assert os.sched_getaffinity(child.pid) == {min(os.sched_getaffinity(0))}


def test_missing_cores_are_a_shortfall(cap: Cap, fresh: Callable[[], str], storage: Path) -> None:
    """If the machine has fewer cores, the process runs on all of them, and the shortfall says so."""
    found = lacking(cap, Constraints(cores=PROCESSORS + 2), fresh, storage)
    assert found in {(Shortfall("cores", f"{PROCESSORS} of {PROCESSORS + 2}"),), (Shortfall("cores"),)}
    assert cores_of(PROCESSORS + 2) == tuple(sorted(os.sched_getaffinity(0)))


def test_writes_are_throttled(held: Held, storage: Path, throttle: Limits) -> None:
    """Direct writes are throttled to a tenth of full speed after a first burst; reads are not."""

    def took_s(limits: Limits) -> tuple[float, str]:
        group, name = held(limits)
        with Child(*group.enter) as child:
            assert child.do("again") == "intact"
            start_s = time.monotonic()
            assert child.do("write", storage / "written") == "written"
            return time.monotonic() - start_s, name

    free_s, _ = took_s(Limits())
    bps = int(min(16 * MIB / free_s / 10, 16 * MIB))
    held_s, name = took_s(Limits(Constraints(write_bps=bps), disks=throttle.disks))
    assert held_s > max(3 * free_s, 16 * MIB / bps / 1.5)
    assert contents(name, "io.max", "blkio.throttle.write_bps_device").split()[0] == throttle.disks[0]
    assert str(bps) in contents(name, "io.max", "blkio.throttle.write_bps_device")
    reads = contents(name, "io.max", "blkio.throttle.read_bps_device")
    assert not reads or "rbps=max" in reads


@pytest.mark.parametrize(("most", "ended"), [(32 * MIB, -signal.SIGKILL), (96 * MIB, 0)])
def test_process_is_killed_beyond_its_swap(held: Held, swap: Swap, most: int, ended: int) -> None:
    """A process is killed with too little swap, and ends well with enough."""
    group, _ = held(Limits(Constraints(LIMIT, most), may_swap=True))
    with Child(*group.enter) as child:
        child.do("touch", 128 * MIB)
        assert child.end() == ended


def test_missing_swap_is_a_shortfall(cap: Cap, fresh: Callable[[], str], storage: Path) -> None:
    """Less swap than asked for is a shortfall; no swap is always available."""
    found = lacking(cap, Constraints(swap_bytes=100 * MIB), fresh, storage, Swap(64 * MIB))
    assert found == (Shortfall("swap_bytes", "64M of 100M"),)
    off = Swap(0, usable=False)
    found = lacking(cap, Constraints(swap_bytes=100 * MIB), fresh, storage, off)
    assert found == (Shortfall("swap_bytes", "off of 100M"),)
    assert lacking(cap, Constraints(swap_bytes=0), fresh, storage) == ()


def test_swap_of_another_kind_is_a_shortfall(cap: Cap, fresh: Callable[[], str], storage: Path) -> None:
    """A device whose swap has a kind is short of it if the machine swaps to the other kind, or does not swap."""
    asked = Constraints(swap_bytes=GIB)
    for swap, available in (
        (Swap(2 * GIB), "2G of zram:1G"),
        (Swap(2 * GIB, kind=""), "2G of zram:1G"),
        (NO_SWAP, f"{NO_SWAP} of zram:1G"),
    ):
        assert lacking(cap, asked, fresh, storage, swap, "zram") == (Shortfall("swap_bytes", available),)
    assert lacking(cap, asked, fresh, storage, Swap(2 * GIB, kind="zram"), "zram") == ()
    assert lacking(cap, asked, fresh, storage, Swap(2 * GIB, kind="zram")) == ()


def test_group_with_all_constraints_is_swept(
    cap: Cap, held: Held, session: str, fresh: Callable[[], str], storage: Path, throttle: Limits
) -> None:
    """A group with all constraints is entered as a whole, and swept from every hierarchy."""
    not_held = lacking(cap, EVERYTHING, fresh, storage)
    assert not_held in {(), (Shortfall("cores"),)}
    case = msgspec.structs.replace(CASE, constraints=EVERYTHING, unenforced=not_held)
    group, name = held(limits_of(case.enforced, [storage], NO_SWAP))
    with Child(*group.enter) as child:
        assert child.do("again") == "intact"
        folders = witness.named(name)
        assert [(folder / "cgroup.procs").read_text().split() for folder in folders] == [[str(child.pid)]] * len(
            folders
        )
        assert cap.sweep(session) == [name]
        assert child.end() == -signal.SIGKILL
    assert witness.named(name) == []


def test_none_enforces_nothing(fresh: Callable[[], str], storage: Path) -> None:
    """A cap that does not enforce has exactly the requested constraints as shortfalls."""
    assert lacking(CAPS["none"], EVERYTHING, fresh, storage) == tuple(map(Shortfall, OPTIONAL))
    assert lacking(CAPS["none"], Constraints(cpus=1.0), fresh, storage) == (Shortfall("cpus"),)


def test_throttle_without_a_disk_is_a_shortfall(cap: Cap, fresh: Callable[[], str]) -> None:
    """If no disk can be throttled, reads and writes are shortfalls."""
    assert lacking(cap, Constraints(read_bps=BPS, write_bps=BPS), fresh, Path("/proc/version")) == (
        Shortfall("read_bps"),
        Shortfall("write_bps"),
    )


def test_case_has_its_enforced_constraints() -> None:
    """Constraints that are not enforced at all are left out; those that are enforced in part are not."""
    held = Constraints(read_bps=BPS, swap_bytes=0, cpus=0.5, cores=4, threads=2)
    case = msgspec.structs.replace(CASE, constraints=held)
    assert case.enforced == held
    marked = msgspec.structs.replace(case, unenforced=(Shortfall("cpus"), Shortfall("cores", "2 of 4")))
    assert marked.enforced == held.without(["cpus"])
