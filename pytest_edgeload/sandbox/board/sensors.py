"""The sensors of a machine, found once in sysfs, and their readings.

Sources: Documentation/power/powercap/powercap.rst, Documentation/hwmon/sysfs-interface.rst and ina3221.rst,
Documentation/ABI/testing/sysfs-class-power, Documentation/driver-api/thermal/sysfs-api.rst,
Documentation/admin-guide/pm/cpufreq.rst, and the commands of Raspberry Pi OS (vcgencmd get_throttled).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.sandbox.board.figures import BoardReading, Brake

SYS = Path("/sys")

_WHOLE_RAIL = re.compile(r"_IN$|total$", re.IGNORECASE)  # VDD_IN of a Jetson feeds its other rails
_GRAPHICS = {"amdgpu", "radeon", "nouveau", "i915", "xe"}
_PROCESSOR_ZONE = re.compile(r"cpu|soc|core|pkg|package", re.IGNORECASE)
_PROCESSOR_COOLING = re.compile(r"cpufreq|^Processor$")
_PI_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
_PI_NOW = 0b1110  # frequency capped, throttled, soft temperature limit; each has a sticky bit 16 places higher
_PI_STICKY = 16
_HEX = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-f]{1,8})", re.IGNORECASE)
_SIGNED = re.compile(r"-?\d{1,18}", re.ASCII)
_COMMAND_S = 1.0


@dataclass(frozen=True, slots=True)
class PowerRail:
    """A sensor of power: one file in microwatts, or two whose product is `watts` per unit of both."""

    files: tuple[Path, ...]
    watts: float

    def read(self) -> float | None:
        """Return the power in watts; None if it cannot be read now."""
        power = self.watts
        for file in self.files:
            value = _number(file)
            if value is None:
                return None
            power *= abs(value)  # some batteries count what they give as negative
        return power


@dataclass(frozen=True, slots=True)
class Sensors:
    """The sensors of a machine, as files.

    `counters` are energy counters in microjoules with the value at which each wraps. `frequencies` are files of the
    present frequency with the maximum in kHz, and `frequency_limits` files of the highest one allowed now with that
    allowed when they were found. `pi_command` asks the firmware of a Raspberry Pi without a file.
    """

    counters: tuple[tuple[Path, int], ...] = ()
    rails: tuple[PowerRail, ...] = ()
    zones: tuple[Path, ...] = ()
    frequencies: tuple[tuple[Path, int], ...] = ()
    frequency_limits: tuple[tuple[Path, int], ...] = ()
    cooling: tuple[Path, ...] = ()
    throttle_counts: tuple[Path, ...] = ()
    pi_file: Path | None = None
    pi_command: str | None = None

    @classmethod
    def of_host(cls) -> Sensors:
        """Return the sensors of this machine."""
        return find_sensors(SYS, shutil.which("vcgencmd"))

    @property
    def has_energy(self) -> bool:
        """Whether it has sensors of energy or power."""
        return bool(self.counters or self.rails)

    def __bool__(self) -> bool:
        """Return whether there is any sensor."""
        return self != Sensors()

    def read(self, at_s: float, *, with_command: bool = False) -> BoardReading:
        """Read all sensors; the command, which starts a process, only on request."""
        states = [*_known(map(_number, self.cooling))]
        counts = [*_known(map(_number, self.throttle_counts))]
        falls = [now_khz < khz for file, khz in self.frequency_limits if (now_khz := _number(file)) is not None]
        return BoardReading(
            at_s,
            energy_uj=tuple(_number(file) for file, _ in self.counters),
            power_w=_sum(rail.read() for rail in self.rails),
            temperature_c=max((value / 1000 for value in _known(map(_number, self.zones))), default=None),
            frequency_share=max(self._shares(), default=None),
            brakes=(
                Brake(is_on=any(state > 0 for state in states)) if states else None,
                Brake(events=sum(counts)) if counts else None,
                self._pi_brake(with_command=with_command),
                Brake(is_on=any(falls)) if falls else None,
            ),
        )

    def _shares(self) -> Iterator[float]:
        for file, max_khz in self.frequencies:
            khz = _number(file)
            if khz is not None:
                yield khz / max_khz

    def _pi_brake(self, *, with_command: bool) -> Brake | None:
        text = ""
        if self.pi_file is not None:
            text = _text(self.pi_file)
        elif self.pi_command is not None and with_command:
            command = [self.pi_command, "get_throttled"]
            with suppress(OSError, subprocess.SubprocessError):
                text = subprocess.run(  # the firmware's own command, by its whole path
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_S, check=True, text=True
                ).stdout
        match = _HEX.fullmatch(text.strip())
        if match is None:
            return None
        flags = int(match[1], 16)
        return Brake(is_on=bool(flags & _PI_NOW), events=(flags >> _PI_STICKY & _PI_NOW).bit_count())


def find_sensors(root: Path, pi_command: str | None = None) -> Sensors:
    """Return the sensors in the sysfs at `root` that can be read now.

    Energy is that of one kind of sensor, because different kinds measure the same current: counters of the processor,
    else rails of the board, else a battery.
    """
    counters = _counters(root)
    zones = [zone for zone in _folders(root / "class/thermal", "thermal_zone*") if _number(zone / "temp") is not None]
    processor = [zone for zone in zones if _PROCESSOR_ZONE.search(_text(zone / "type"))]
    pi_file = root / _PI_THROTTLED
    has_file = bool(_text(pi_file))
    return Sensors(
        counters=counters,
        rails=() if counters else _board_rails(root) or _batteries(root),
        zones=tuple(zone / "temp" for zone in processor or zones),
        frequencies=tuple(_frequencies(root)),
        frequency_limits=tuple(_frequency_limits(root)),
        cooling=tuple(_cooling(root)),
        throttle_counts=tuple(_throttle_counts(root)),
        pi_file=pi_file if has_file else None,
        pi_command=None if has_file else pi_command,
    )


def _counters(root: Path) -> tuple[tuple[Path, int], ...]:
    """Return the counters of processors and their memory; other zones are parts of a processor, or contain it."""
    found = []
    for zone in _folders(root / "class/powercap", "intel-rapl:*"):
        range_uj = _number(zone / "max_energy_range_uj")
        is_whole = _text(zone / "name").startswith(("package", "dram"))
        if is_whole and range_uj and _number(zone / "energy_uj") is not None:
            found.append((zone / "energy_uj", range_uj))
    return tuple(found)


def _board_rails(root: Path) -> tuple[PowerRail, ...]:
    """Return the rails of the chips that watch power; only the whole rails if some contain the others."""
    supplies = {folder.name for folder in _folders(root / "class/power_supply", "*")}
    rails: list[tuple[str, PowerRail]] = []
    for chip in _folders(root / "class/hwmon", "hwmon*"):
        name = _text(chip / "name")
        if name not in supplies | _GRAPHICS:  # the kernel repeats power supplies there, with other names of files
            rails += _rails_of(chip, has_channels=name == "ina3221")
    known = [(label, rail) for label, rail in rails if rail.read() is not None]
    whole = [rail for label, rail in known if _WHOLE_RAIL.search(label)]
    return tuple(whole or [rail for _, rail in known])


def _rails_of(chip: Path, *, has_channels: bool) -> Iterator[tuple[str, PowerRail]]:
    """Yield the rails of a chip by label: of powers, or else of the currents and voltages of its three channels."""
    powers = sorted(chip.glob("power[0-9]*_input"))
    for file in powers:
        yield _text(chip / file.name.replace("_input", "_label")), PowerRail((file,), 1e-6)
    for i in (1, 2, 3) if has_channels and not powers else ():  # curr4 is their sum, and in4 a voltage of shunt 1
        yield _text(chip / f"in{i}_label"), PowerRail((chip / f"curr{i}_input", chip / f"in{i}_input"), 1e-6)  # mA x mV


def _batteries(root: Path) -> tuple[PowerRail, ...]:
    """Return the batteries that supply the machine now."""
    found = []
    for supply in _folders(root / "class/power_supply", "*"):
        if (_text(supply / "type"), _text(supply / "status")) == ("Battery", "Discharging"):
            product = PowerRail((supply / "voltage_now", supply / "current_now"), 1e-12)  # uV x uA
            rails = [PowerRail((supply / "power_now",), 1e-6), product]
            found += [rail for rail in rails if rail.read() is not None][:1]
    return tuple(found)


def _frequencies(root: Path) -> Iterator[tuple[Path, int]]:
    for policy in _folders(root / "devices/system/cpu/cpufreq", "policy*"):
        file, max_khz = policy / "scaling_cur_freq", _number(policy / "cpuinfo_max_freq")
        if max_khz and _number(file) is not None:
            yield file, max_khz


def _frequency_limits(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the limits that the kernel lowers for heat or firmware. A limit of the user is there from the start."""
    for policy in _folders(root / "devices/system/cpu/cpufreq", "policy*"):
        file = policy / "scaling_max_freq"
        khz = _number(file)
        if khz is not None:
            yield file, khz


def _cooling(root: Path) -> Iterator[Path]:
    """Yield the states of the kernel's brakes on processors: above 0 while the kernel slows one because of heat."""
    for device in _folders(root / "class/thermal", "cooling_device*"):
        if _PROCESSOR_COOLING.search(_text(device / "type")) and _number(device / "cur_state") is not None:
            yield device / "cur_state"


def _throttle_counts(root: Path) -> Iterator[Path]:
    """Yield the counters of x86 that grow whenever heat slows a core or a processor."""
    for cpu in _folders(root / "devices/system/cpu", "cpu[0-9]*"):
        for kind in ("core", "package"):
            file = cpu / "thermal_throttle" / f"{kind}_throttle_count"
            if _number(file) is not None:
                yield file


def _folders(parent: Path, pattern: str) -> list[Path]:
    try:
        return sorted(parent.glob(pattern))
    except OSError:
        return []


def _text(file: Path) -> str:
    """Return the text of a file without white space around it; empty if it cannot be read."""
    try:
        return kernel_text.read(file).strip()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    """Return the whole number in a file; None if there is none that can be read now."""
    text = _text(file)
    return int(text) if _SIGNED.fullmatch(text) else None


def _known(values: Iterable[int | None]) -> Iterator[int]:
    return (value for value in values if value is not None)


def _sum(values: Iterable[float | None]) -> float | None:
    """Return the sum; None if there is no value, or if one of them is not known."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if found and len(known) == len(found) else None
