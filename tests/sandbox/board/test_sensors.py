"""Sensors are found in trees of sysfs as boards have them; names and units are from the kernel's documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.sandbox.board.figures import BoardReading, Brake
from pytest_edgeload.sandbox.board.sensors import Sensors, find_sensors

# Documentation/power/powercap/powercap.rst: packages contain cores; dram is beside them; psys contains everything.
RAPL = {
    "class/powercap/intel-rapl/enabled": "1",
    **{
        f"class/powercap/intel-rapl:{zone}/{file}": text
        for zone, name, energy in [
            ("0", "package-0", "102000000"), ("0:0", "core", "52000000"), ("0:1", "dram", "7000000"),
            ("1", "psys", "400000000"),
        ]
        for file, text in [("name", name), ("energy_uj", energy), ("max_energy_range_uj", "262143328850")]
    },
}  # fmt: skip
LAPTOP = {
    **RAPL,
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/power_now": "9000000",
    "class/thermal/thermal_zone0/type": "acpitz",
    "class/thermal/thermal_zone0/temp": "27800",
    "class/thermal/thermal_zone1/type": "x86_pkg_temp",
    "class/thermal/thermal_zone1/temp": "61000",
    "class/thermal/cooling_device0/type": "Processor",
    "class/thermal/cooling_device0/cur_state": "0",
    "class/thermal/cooling_device1/type": "intel_powerclamp",
    "class/thermal/cooling_device1/cur_state": "-1",
    "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3",
    "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "4",
    "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1400000",
    "devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2800000",
    "devices/system/cpu/cpufreq/policy1/scaling_cur_freq": "2100000",
    "devices/system/cpu/cpufreq/policy1/cpuinfo_max_freq": "2800000",
}
# Documentation/hwmon/ina3221.rst, and the rails in the developer guide of the Jetson Orin NX and Nano: VDD_IN feeds
# the other two. The fourth current is the sum of the others, and the fourth voltage is that of a shunt.
JETSON = {
    "class/hwmon/hwmon1/name": "ina3221",
    **{
        f"class/hwmon/hwmon1/{file}": text
        for i, label, millivolts, milliamperes in [
            (1, "VDD_IN", 4960, 1250), (2, "VDD_CPU_GPU_CV", 4960, 300), (3, "VDD_SOC", 4960, 290),
        ]
        for file, text in [
            (f"in{i}_label", label), (f"in{i}_input", f"{millivolts}"), (f"curr{i}_input", f"{milliamperes}"),
        ]
    },
    "class/hwmon/hwmon1/in4_input": "6",
    "class/hwmon/hwmon1/curr4_input": "1840",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "48531",
    "class/thermal/thermal_zone1/type": "soc0-thermal",
    "class/thermal/thermal_zone1/temp": "49250",
    "class/thermal/thermal_zone2/type": "PMIC-Die",  # always 100 degrees
    "class/thermal/thermal_zone2/temp": "100000",
    "class/thermal/cooling_device0/type": "cpufreq-cpu0",
    "class/thermal/cooling_device0/cur_state": "2",
}  # fmt: skip
# The documentation of Raspberry Pi OS on vcgencmd: 16 + 18 are the sticky bits of 0 (voltage) and 2 (throttled).
PI = {
    "devices/platform/soc/soc:firmware/get_throttled": "50005",
    "class/hwmon/hwmon0/name": "cpu_thermal",
    "class/hwmon/hwmon0/temp1_input": "71900",
    "class/hwmon/hwmon1/name": "rpi_volt",
    "class/hwmon/hwmon1/in0_lcrit_alarm": "1",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "71900",
    "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "600000",
    "devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1500000",
}
BATTERY = {  # Documentation/ABI/testing/sysfs-class-power; the kernel repeats a battery among the hwmon devices
    "class/power_supply/cw2015-battery/type": "Battery",
    "class/power_supply/cw2015-battery/status": "Discharging",
    "class/power_supply/cw2015-battery/voltage_now": "3800000",
    "class/power_supply/cw2015-battery/current_now": "-500000",
    "class/hwmon/hwmon2/name": "cw2015-battery",
    "class/hwmon/hwmon2/power1_input": "1900000",
}
GRAPHICS = {"class/hwmon/hwmon3/name": "amdgpu", "class/hwmon/hwmon3/power1_input": "30000000"}
INA226 = {"class/hwmon/hwmon0/name": "ina226", "class/hwmon/hwmon0/power1_input": "2500000"}


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write files as the kernel does, and return their root."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def read(root: Path, files: dict[str, str]) -> BoardReading:
    """Return a reading of all sensors in a tree of these files."""
    return find_sensors(tree(root, files)).read(1.0)


def test_laptop_counts_packages_and_memory(tmp_path: Path) -> None:
    """A laptop has counters of its package and its memory, so its battery is not asked; 3 of 4 is the fastest core."""
    found = read(tmp_path, LAPTOP)
    assert found == BoardReading(
        1.0, (102000000, 7000000), None, 61.0, 0.75, (Brake(is_on=False), Brake(events=7), None, None)
    )


def test_jetson_has_the_power_of_its_input(tmp_path: Path) -> None:
    """A rail that contains the others is taken alone; a cooling device that acts shows a throttle."""
    found = read(tmp_path, JETSON)
    assert found.power_w == pytest.approx(6.2)
    assert (found.temperature_c, found.brakes) == (49.25, (Brake(is_on=True), None, None, None))


def test_rails_without_an_input_are_added(tmp_path: Path) -> None:
    """Rails are added if none contains the others; one that is switched off cannot be read and is left out."""
    off = "class/hwmon/hwmon1/curr1_input"
    parts = {name: text for name, text in JETSON.items() if name != off}
    assert read(tmp_path, parts).power_w == pytest.approx(4.96 * 0.59)


def test_raspberry_pi_reports_its_throttling(tmp_path: Path) -> None:
    """Bits 1 to 3 are throttles, each with a sticky bit; low voltage alone is none. A Pi has no sensor of power."""
    found = read(tmp_path, PI)
    assert found == BoardReading(1.0, (), None, 71.9, 0.4, (None, None, Brake(is_on=True, events=1), None))


def test_firmware_is_asked_on_request_if_it_has_no_file(tmp_path: Path) -> None:
    """Without the file the command of the firmware is asked, but only on request; one that fails shows nothing."""
    command = tmp_path / "vcgencmd"
    command.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0xe0008\n')
    command.chmod(0o755)
    sensors = find_sensors(tmp_path / "sys", str(command))
    assert sensors.read(0.0).brakes == (None, None, None, None)
    assert sensors.read(0.0, with_command=True).brakes[2] == Brake(is_on=True, events=3)
    command.write_text("#!/bin/sh\nexit 1\n")
    assert sensors.read(0.0, with_command=True).brakes == (None, None, None, None)


def test_lower_frequency_limit_shows_a_throttle(tmp_path: Path) -> None:
    """The kernel lowers `scaling_max_freq` for heat; a limit that was there before, such as a power mode's, is none."""
    limit = "devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    tree(tmp_path, {limit: "1200000"})
    sensors = find_sensors(tmp_path)
    assert sensors.read(0.0).brakes[3] == Brake(is_on=False)
    tree(tmp_path, {limit: "1000000"})
    assert sensors.read(0.0).brakes[3] == Brake(is_on=True)
    tree(tmp_path, {limit: "1200000"})
    assert sensors.read(0.0).brakes[3] == Brake(is_on=False)


def test_battery_counts_while_it_supplies_the_machine(tmp_path: Path) -> None:
    """The power of a battery is voltage times current, whatever their sign, and unknown while it is charged."""
    assert read(tmp_path, BATTERY).power_w == pytest.approx(1.9)
    tree(tmp_path, {"class/power_supply/cw2015-battery/status": "Charging"})
    assert find_sensors(tmp_path) == Sensors()


def test_power_of_graphics_does_not_count(tmp_path: Path) -> None:
    """Sensors of the board count, and those of a graphics card do not."""
    assert read(tmp_path, GRAPHICS | INA226).power_w == 2.5


def test_machine_without_sensors_has_none(tmp_path: Path) -> None:
    """Where sysfs has none of the files, or none that can be read, no sensor is found."""
    assert not find_sensors(tmp_path)
    secret = {name: "" if name.endswith("energy_uj") else text for name, text in RAPL.items()}
    assert find_sensors(tree(tmp_path, secret)) == Sensors()
