"""A file that was compared with its digest is not read again, and no change of it goes unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from torch import nn, rand

from pytest_edgeload.networks.edgenet_writer import write_edgenet
from pytest_edgeload.networks.folder import verify_network
from pytest_edgeload.networks.tensor_file import DamagedNetwork
from pytest_edgeload.networks.verified import verify_once
from tests.builders import stored

WEIGHTS_BYTES = 4 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a network."""
    folder = stored(tmp_path / "made", nn.Linear(1024, 1024), (rand(1, 1024),))
    write_edgenet(tmp_path / "wide.edgenet", folder)
    return tmp_path / "wide.edgenet"


def _read_bytes(file: Path, cache: Path) -> int:
    """Return the bytes that are read to verify a file."""
    before = _counted()
    assert verify_once(file, cache) == verify_network(file)  # which reads all bytes
    return _counted() - before - file.stat().st_size


def _counted() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def _damage(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(-100, os.SEEK_END)
        opened.write(b"other bytes")


def test_a_file_is_read_once(file: Path, tmp_path: Path) -> None:
    """The second time, only its graph is read; a copy is read again, and so is each file without a cache."""
    cache = tmp_path / "cache"
    assert _read_bytes(file, cache) > WEIGHTS_BYTES
    assert _read_bytes(file, cache) < WEIGHTS_BYTES / 10
    copy = file.with_name("copy.edgenet")
    copy.write_bytes(file.read_bytes())
    assert _read_bytes(copy, cache) > WEIGHTS_BYTES
    (tmp_path / "file").touch()
    for _ in range(2):
        assert _read_bytes(file, tmp_path / "file") > WEIGHTS_BYTES


def test_damage_is_noticed_after_the_first_time(file: Path, tmp_path: Path) -> None:
    """A file that was written to is compared again, even if its size and time are as before."""
    verify_once(file, tmp_path)
    before = file.stat()
    _damage(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(DamagedNetwork, match=r"wide\.edgenet is damaged: its bytes are not the ones"):
            verify_once(file, tmp_path)
