"""The disks that a throttle applies to, and the refusal if there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.constraints import disk_of, disks_of
from tests.sandbox.child import MIB

SLOW = Constraints(read_bps=90 * MIB)
SECTOR = 512


def tool(*command: object) -> str:
    """Return the output of an administrator's tool."""
    program = shutil.which(str(command[0]), path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run([program, *map(str, command[1:])], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk with one partition, on which there is a file system, mounted at `mounted` in the same folder."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("only root, on a kernel with loop devices, makes a disk of a file")
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    image.touch()
    os.truncate(image, 32 * MIB)
    made = Path(tool("losetup", "--find", "--show", "--partscan", image))
    try:
        tool("addpart", made, 1, 2048, 16 * MIB // SECTOR)
        tool("mkfs.ext4", "-q", f"{made}p1")
        tool("mount", f"{made}p1", mounted)
        try:
            yield made
        finally:
            tool("umount", mounted)
    finally:
        tool("losetup", "--detach", made)


def test_partition_is_on_its_whole_disk(disk: Path, tmp_path: Path) -> None:
    """A file on a partition, and the partition itself, are on the whole disk, by the kernel's name."""
    (tmp_path / "mounted" / "file").touch()
    number = disk.stat().st_rdev
    for path in (tmp_path / "mounted" / "file", Path(f"{disk}p1"), disk):
        assert disk_of(path) == Path("/sys/block", disk.name).resolve()
        assert disks_of(SLOW, [path], []) == (f"{os.major(number)}:{os.minor(number)}",)


def test_each_disk_is_named_once(disk: Path, tmp_path: Path, storage: Path) -> None:
    """Each disk is named once, first those of the files, then those of swap."""
    here, there = (disks_of(SLOW, [path], []) for path in (storage, tmp_path / "mounted"))
    assert disks_of(SLOW, [storage, storage], [Path(f"{disk}p1"), disk, storage]) == here + there


def test_compressed_memory_is_not_throttled(storage: Path) -> None:
    """Swap in compressed memory is not throttled, because it is not storage."""
    area = Path("/dev/zram0")
    if not area.exists():
        pytest.skip("this machine has no zram")
    assert disks_of(SLOW, [storage], [area]) == disks_of(SLOW, [storage], [])


@pytest.mark.parametrize("path", [Path("/proc/version"), Path("/nowhere")])
def test_file_on_no_disk_is_refused(path: Path, storage: Path) -> None:
    """A file that is not on a disk, or not visible, is refused in a sentence with its name and a hint."""
    begin = f"read-bw=90M: {path} is not on a disk that can be throttled (overlay, tmpfs and btrfs are not)"
    with pytest.raises(Unsupported) as refused:
        disks_of(SLOW, [path], [])
    assert str(refused.value) == f"{begin}; name a folder on a disk with cache-dir, or leave it out"
    with pytest.raises(Unsupported) as refused:
        disks_of(SLOW, [storage], [path])
    assert str(refused.value) == f"{begin}; try swap=off, or leave it out"
