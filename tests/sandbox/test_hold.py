"""Processor time, cores, writes and swap are held by the kernel, or are told as not enforced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_edgeload.results.record import Case
from pytest_edgeload.sandbox.caps import CAPS, Cap, Group
from pytest_edgeload.sandbox.hold import ENFORCED, Hold, limits_of, unenforced
from pytest_edgeload.sandbox.limits import Limits, Throttle, cores_of
from pytest_edgeload.sandbox.swap import Swap
from tests.sandbox import witness
from tests.sandbox.child import MIB, Child

LIMIT = 64 * MIB
BPS = 16 * MIB
PROCESSORS = len(os.sched_getaffinity(0))
EVERYTHING = Hold(20 * MIB, BPS, 0.5, 1, 0)
NO_SWAP = Swap(0)


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


def lacking(cap: Cap, asked: Hold, fresh: Callable[[], str], storage: Path, swap: Swap = NO_SWAP) -> tuple[str, ...]:
    """Return what of a hold this cap cannot do here."""
    return unenforced(cap, fresh, asked, lambda hold: limits_of(LIMIT, hold, [storage], swap), swap)


def contents(name: str, *files: str) -> str:
    """Return what the first of these files that the group has says."""
    return next((path / file).read_text() for file in files for path in witness.named(name) if (path / file).exists())


def test_processor_time(held: Held) -> None:
    """A process with a fifth of a processor is stopped in each period, as the kernel counts."""
    group, name = held(Limits(cpus=0.2))
    assert contents(name, "cpu.max", "cpu.cfs_quota_us").split()[0] == "20000"
    with Child(*group.enter) as child:
        assert child.do("burn", 0.1) == "burnt"
        counts = dict(line.split() for line in contents(name, "cpu.stat").splitlines())
    assert int(counts["nr_throttled"]) >= 3


def test_cores(cap: Cap, held: Held, fresh: Callable[[], str], storage: Path) -> None:
    """A process may run on the processors that it has and on no others; without a cpuset controller that is told."""
    found = lacking(cap, Hold(cores=1), fresh, storage)
    if found:
        assert found == ("cores",)
        assert not [path for path in witness.CGROUPS.rglob("cpuset.cpus") if os.access(path.parent, os.W_OK)]
        return
    group, _ = held(Limits(cores=cores_of(1)))
    with Child(*group.enter) as child:
        assert child.do("again") == "intact"
        assert os.sched_getaffinity(child.pid) == {min(os.sched_getaffinity(0))}


def test_more_cores_than_there_are(cap: Cap, fresh: Callable[[], str], storage: Path) -> None:
    """Of more cores than the machine has those that there are are used, and that is told."""
    found = lacking(cap, Hold(cores=PROCESSORS + 2), fresh, storage)
    assert found in {(f"cores: {PROCESSORS} of {PROCESSORS + 2}",), ("cores",)}
    assert cores_of(PROCESSORS + 2) == tuple(sorted(os.sched_getaffinity(0)))


def test_writes(held: Held, storage: Path, throttle: Throttle) -> None:
    """Direct writes are held to a tenth of what they are when free, but for a first helping; reads stay free."""

    def took_s(limits: Limits) -> tuple[float, str]:
        group, name = held(limits)
        with Child(*group.enter) as child:
            assert child.do("again") == "intact"
            start_s = time.monotonic()
            assert child.do("write", storage / "written") == "written"
            return time.monotonic() - start_s, name

    free_s, _ = took_s(Limits())
    bps = int(min(16 * MIB / free_s / 10, 16 * MIB))
    held_s, name = took_s(Limits(reads=Throttle(None, throttle.disks, bps)))
    assert held_s > max(3 * free_s, 16 * MIB / bps / 1.5)
    assert contents(name, "io.max", "blkio.throttle.write_bps_device").split()[0] == throttle.disks[0]
    assert str(bps) in contents(name, "io.max", "blkio.throttle.write_bps_device")
    reads = contents(name, "io.max", "blkio.throttle.read_bps_device")
    assert not reads or "rbps=max" in reads


@pytest.mark.parametrize(("most", "ended"), [(32 * MIB, -signal.SIGKILL), (96 * MIB, 0)])
def test_swap(held: Held, swap: Swap, most: int, ended: int) -> None:
    """A process has as much swap as it may have: it is killed with too little, and ends well with enough."""
    group, _ = held(Limits(LIMIT, swap=True, swap_bytes=most))
    with Child(*group.enter) as child:
        child.do("touch", 128 * MIB)
        assert child.end() == ended


def test_swap_asked_for(cap: Cap, fresh: Callable[[], str], storage: Path) -> None:
    """More swap than there is is told, and none is always to be had."""
    found = lacking(cap, Hold(swap_bytes=100 * MIB), fresh, storage, Swap(64 * MIB))
    assert found == ("swap: 64M of 100M",)
    assert lacking(cap, Hold(swap_bytes=100 * MIB), fresh, storage, Swap(0, usable=False)) == ("swap: off of 100M",)
    assert lacking(cap, Hold(swap_bytes=0), fresh, storage) == ()


def test_sweep(cap: Cap, held: Held, session: str, fresh: Callable[[], str], storage: Path, throttle: Throttle) -> None:
    """A group that holds all there is to hold is entered as a whole, and swept from every hierarchy."""
    not_held = lacking(cap, EVERYTHING, fresh, storage)
    assert not_held in {(), ("cores",)}
    case = Case(
        test="",
        workload="",
        policy="",
        limit=None,
        limit_bytes=None,
        reader="",
        threads=1,
        cap="",
        swap="",
        unenforced=not_held,
        **EVERYTHING._asdict(),
    )
    group, name = held(limits_of(LIMIT, Hold.of(case), [storage], NO_SWAP))
    with Child(*group.enter) as child:
        assert child.do("again") == "intact"
        folders = witness.named(name)
        assert [(folder / "cgroup.procs").read_text().split() for folder in folders] == [[str(child.pid)]] * len(
            folders
        )
        assert cap.sweep(session) == [name]
        assert child.end() == -signal.SIGKILL
    assert witness.named(name) == []


def test_nothing_enforced(fresh: Callable[[], str], storage: Path) -> None:
    """By a cap that does not enforce, all that is asked for is told, and nothing that is not."""
    assert lacking(CAPS["none"], EVERYTHING, fresh, storage) == ENFORCED
    assert lacking(CAPS["none"], Hold(cpus=1.0), fresh, storage) == ("cpus",)


def test_no_disk(cap: Cap, fresh: Callable[[], str]) -> None:
    """Where weights are on nothing that can be throttled, reads and writes are told as not enforced."""
    assert lacking(cap, Hold(BPS, BPS), fresh, Path("/proc/version")) == ("reads", "writes")


def test_what_is_not_enforced_is_not_asked() -> None:
    """Of a case that could not be enforced the rest is, and what could be in part."""
    case = Case(
        test="",
        workload="",
        policy="",
        limit=None,
        limit_bytes=None,
        reader="",
        threads=1,
        cap="",
        swap="",
        cores=4,
        cpus=0.5,
        read_bps=BPS,
        swap_bytes=0,
    )
    assert Hold.of(case) == Hold(BPS, None, 0.5, 4, 0)
    marked = Case(
        test="",
        workload="",
        policy="",
        limit=None,
        limit_bytes=None,
        reader="",
        threads=1,
        cap="",
        swap="",
        cores=4,
        cpus=0.5,
        read_bps=BPS,
        unenforced=("cpus", "cores: 2 of 4"),
    )
    assert Hold.of(marked) == Hold(BPS, cores=4)
    assert Hold.of(marked).computing == Hold(cores=4)
