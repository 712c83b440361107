"""Devices in TOML: the shipped ones, a project's own, and those that are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.devices import Device, known_devices
from pytest_edgeload.devices.constraints import Constraints

MIB = 1 << 20
SHIPPED = known_devices(None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a place for a project's own devices."""
    return tmp_path / "edge-devices.toml"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_device_has_note_sources_and_memory(name: str) -> None:
    """Each shipped device has a note, addresses as sources, and enough memory to start a worker."""
    device = SHIPPED[name]
    assert device.note
    assert device.sources
    assert all(re.match(r"https?://\S+$", source) for source in device.sources)
    assert device.memory.size_bytes >= 384 * MIB
    assert device.constraints.cpus is None, (
        "no published figure says what share of this machine's processor is a board's"
    )


def test_every_key_sets_its_value(file: Path) -> None:
    """Each key sets its constraint: sizes and rates in powers of 1024, `off` for no swap."""
    file.write_text(
        '[mine]\nmemory = "512M"\ncpus = 1.5\ncores = 2\nthreads = 3\nread = "20M"\nwrite = "10M/s"\nswap = "off"\n'
        'sources = ["https://example.org"]\nnote = "a board"\n'
    )
    constraints = Constraints(512 * MIB, 0, 3, 20 * MIB, 10 * MIB, cpus=1.5, cores=2)
    assert known_devices(file)["mine"] == Device("mine", constraints, ("https://example.org",), "a board")


def test_kind_of_swap_is_inherited_until_the_swap_is_set(file: Path) -> None:
    """A swap may have a kind, which a device that extends another keeps unless it sets a swap of its own."""
    file.write_text(
        '[mine]\nmemory = "512M"\nswap = "zram:1G"\n[same]\nextends = "mine"\n'
        '[disk]\nextends = "mine"\nswap = "file:2G"\n[any]\nextends = "mine"\nswap = "100M"\n'
        '[off]\nextends = "mine"\nswap = "off"\n'
    )
    swaps = {name: device.swap for name, device in known_devices(file).items() if name not in SHIPPED}
    assert swaps == {"mine": "zram:1G", "same": "zram:1G", "disk": "file:2G", "any": "100M", "off": "off"}
    assert SHIPPED["jetson-nano"].swap is None


def test_device_extends_another(file: Path) -> None:
    """A device extends a shipped or an earlier one; one of the same name replaces a shipped one."""
    file.write_text(
        '[mine]\nextends = "rpi3"\ncpus = 0.5\n\n[small]\nextends = "mine"\nmemory = "400M"\n\n'
        '[rpi3]\nextends = "rpi3"\nswap = "1G"\n\n[coral-dev]\nmemory = "700M"\n'
    )
    found, rpi3 = known_devices(file), SHIPPED["rpi3"]
    assert found["mine"].constraints == rpi3.constraints | Constraints(cpus=0.5)
    assert found["mine"].sources == rpi3.sources
    assert found["small"].constraints == rpi3.constraints | Constraints(400 * MIB, cpus=0.5)
    assert found["small"].note == "", "what the other one was is not what this one is"
    assert found["rpi3"].constraints == rpi3.constraints | Constraints(swap_bytes=1 << 30)
    assert found["coral-dev"] == Device("coral-dev", Constraints(700 * MIB))
    assert found.keys() == SHIPPED.keys() | {"mine", "small"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[a]\nmemory = "12X"', '[a] memory = \'12X\': not a size; try "512M" or "1G"'),
        ("[a]\nmemory = 512", '[a] memory = 512: Expected `str`, got `int`; write memory = "512M"'),
        ('[a]\nmemory = "1GB"', "[a] memory = '1GB': GB means 1000 to some and 1024 to others; write 1G"),
        ("[a]\ncores = 2", '[a]: has no memory; add memory = "512M", or extend a device that has some'),
        ('[a]\nmemry = "1G"', "[a] memry: unknown key; did you mean memory?"),
        ('[a]\nextends = "rpi33"', "[a] extends = 'rpi33': unknown or further down; did you mean rpi3?"),
        ("[a]\nextends = [1]", "[a] extends = [1]: unknown or further down; choose from rpi3, "),
        ('[a]\nextends = "b"\n[b]\nmemory = "1G"', "[a] extends = 'b': unknown or further down"),
        ('[a]\nmemory = "1G"\ncpus = 0', "[a] cpus = 0: Expected `float` >= 0.01; write cpus = 0.5"),
        ('[a]\nmemory = "1G"\ncpus = true', "[a] cpus = True: Expected `float`, got `bool`; write cpus = 0.5"),
        ('[a]\nmemory = "1G"\ncpus = nan', "[a] cpus = nan: Expected `float` >= 0.01"),
        ('[a]\nmemory = "1G"\ncores = 0', "[a] cores = 0: Expected `int` >= 1; write cores = 2"),
        ('[a]\nmemory = "1G"\nthreads = "2"', "[a] threads = '2': Expected `int`, got `str`; write threads = 2"),
        ('[a]\nmemory = "1G"\nread = "fast"', "[a] read = 'fast': not a size; try 90M, which is 90 MiB a second"),
        ('[a]\nmemory = "1G"\nwrite = "9"', "[a] write = '9': a rate is at least 1M a second"),
        ('[a]\nmemory = "1G"\nswap = "much"', '[a] swap = \'much\': not a size; try "100M", "zram:1G" or "off"'),
        ('[a]\nmemory = "1G"\nswap = "zip:1G"', "[a] swap = 'zip:1G': not a kind of swap; try zram:2G, or file:4G"),
        (
            '[a]\nmemory = "1G"\nsources = "x"',
            "[a] sources = 'x': Expected `array`, got `str`; write sources = [\"https://",
        ),
        ('a = "1G"', "[a] = '1G': not a device; begin a device with [a]"),
        ('[none]\nmemory = "1G"', "[none]: not a name for a device; try one such as my-board"),
        ('["a,b"]\nmemory = "1G"', "[a,b]: not a name for a device"),
        ("[a", ": not TOML: "),
    ],
)
def test_wrong_device_is_refused(file: Path, text: str, said: str) -> None:
    """A wrong device is refused in one sentence: the file, the device, the key, its value and a hint."""
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        known_devices(file)
    assert str(refused.value).startswith(f"{file}: {said}" if said.startswith("[") else f"{file}{said}")
    assert "\n" not in str(refused.value)


def test_unreadable_file_is_named(file: Path) -> None:
    """A file that cannot be read is refused by name."""
    with pytest.raises(UsageError, match=r"edge-devices.toml: No such file or directory; name another file of devices"):
        known_devices(file)
