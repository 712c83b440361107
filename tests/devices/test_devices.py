"""Devices in TOML: what ships, what a project adds, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices import Device, known_devices

MIB = 1 << 20
SHIPPED = known_devices(None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a place for a project's own devices."""
    return tmp_path / "edge-devices.toml"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped(name: str) -> None:
    """Each shipped device has a note, cites addresses, and has a limit that a worker can start under."""
    device = SHIPPED[name]
    assert device.note
    assert device.sources
    assert all(re.match(r"https?://\S+$", source) for source in device.sources)
    assert device.memory.size_bytes >= 384 * MIB
    assert device.cpus is None, "no published figure says what share of this machine's processor is a board's"


def test_every_key(file: Path) -> None:
    """Each key means what the page says: sizes and rates in powers of 1024, `off` no swap."""
    file.write_text(
        '[mine]\nmemory = "512M"\ncpus = 1.5\ncores = 2\nthreads = 3\nread = "20M"\nwrite = "10M/s"\nswap = "off"\n'
        'sources = ["https://example.org"]\nnote = "a board"\n'
    )
    assert known_devices(file)["mine"] == Device(
        "mine", Limit(512 * MIB), 1.5, 2, 3, 20 * MIB, 10 * MIB, 0, ("https://example.org",), "a board"
    )


def test_extends(file: Path) -> None:
    """A device begins as a shipped one or one further up, and a device of a shipped one's name takes its place."""
    file.write_text(
        '[mine]\nextends = "rpi3"\ncpus = 0.5\n\n[small]\nextends = "mine"\nmemory = "400M"\n\n'
        '[rpi3]\nextends = "rpi3"\nswap = "1G"\n\n[coral-dev]\nmemory = "700M"\n'
    )
    found, rpi3 = known_devices(file), SHIPPED["rpi3"]
    assert (found["mine"].memory, found["mine"].read_bps, found["mine"].cpus) == (rpi3.memory, rpi3.read_bps, 0.5)
    assert (found["small"].memory, found["small"].cpus) == (Limit(400 * MIB), 0.5)
    assert found["small"].note == "", "what the other one was is not what this one is"
    assert (found["rpi3"].swap, found["rpi3"].cores) == (1 << 30, 4)
    assert found["coral-dev"] == Device("coral-dev", Limit(700 * MIB))
    assert found.keys() == SHIPPED.keys() | {"mine", "small"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[a]\nmemory = "12X"', "[a] memory = '12X': not a size; try 512M"),
        ("[a]\nmemory = 512", "[a] memory = 512: not a text; put it in quotes"),
        ('[a]\nmemory = "1GB"', "[a] memory = '1GB': GB means 1000 to some and 1024 to others; write 1G"),
        ("[a]\ncores = 2", '[a]: has no memory; add memory = "512M", or extend a device that has'),
        ('[a]\nmemry = "1G"', "[a] memry: unknown key; did you mean memory?"),
        ('[a]\nextends = "rpi33"', "[a] extends = 'rpi33': unknown or further down; did you mean rpi3?"),
        ("[a]\nextends = [1]", "[a] extends = [1]: unknown or further down; choose from rpi3, "),
        ('[a]\nextends = "b"\n[b]\nmemory = "1G"', "[a] extends = 'b': unknown or further down"),
        ('[a]\nmemory = "1G"\ncpus = 0', "[a] cpus = 0: not a number of processors; try 0.5 or 2, without quotes"),
        ('[a]\nmemory = "1G"\ncpus = true', "[a] cpus = True: not a number of processors"),
        ('[a]\nmemory = "1G"\ncpus = nan', "[a] cpus = nan: not a number of processors"),
        ('[a]\nmemory = "1G"\ncores = 0', "[a] cores = 0: not a count; give a whole number of at least 1"),
        ('[a]\nmemory = "1G"\nthreads = "2"', "[a] threads = '2': not a count"),
        ('[a]\nmemory = "1G"\nread = "fast"', "[a] read = 'fast': not a size; try 90M, which is 90 MiB a second"),
        ('[a]\nmemory = "1G"\nwrite = "9"', "[a] write = '9': a rate is at least 1M a second"),
        ('[a]\nmemory = "1G"\nswap = "much"', '[a] swap = \'much\': not a size; try "100M" or "off"'),
        ('[a]\nmemory = "1G"\nsources = "x"', "[a] sources = 'x': not a list; write it as in"),
        ('a = "1G"', "[a] = '1G': not a device; begin it by [a]"),
        ('[none]\nmemory = "1G"', "[none]: no name for a device; try one such as my-board"),
        ('["a,b"]\nmemory = "1G"', "[a,b]: no name for a device"),
        ("[a", ": not TOML: "),
    ],
)
def test_wrong(file: Path, text: str, said: str) -> None:
    """What makes no sense is refused in one sentence: the file, the device, the key, its value and the way out."""
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        known_devices(file)
    assert str(refused.value).startswith(f"{file}: {said}" if said.startswith("[") else f"{file}{said}")
    assert "\n" not in str(refused.value)


def test_no_file(file: Path) -> None:
    """A file that cannot be read is told by name."""
    with pytest.raises(UsageError, match=r"edge-devices.toml: No such file or directory; name another file of devices"):
        known_devices(file)
