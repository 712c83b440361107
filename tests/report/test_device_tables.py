"""Tables and sentences about records of devices."""

from __future__ import annotations

from typing import Any

from pytest_edgeload.devices.constraints import Shortfall
from pytest_edgeload.report import devices, terminal
from pytest_edgeload.results.finding import Judgement, identity
from pytest_edgeload.results.record import Record
from tests.report.documents import document, finding, record, view

MIB = 1 << 20
SLOW: dict[str, Any] = {
    "device": "slow",
    "limit": "400M",
    "memory_bytes": 400 * MIB,
    "swap": "off",
    "swap_bytes": 0,
    "cores": 1,
    "cpus": 0.5,
    "threads": 1,
    "read_bps": 20 * MIB,
    "write_bps": 10 * MIB,
    "by_device": ("memory_bytes", "swap_bytes", "threads", "read_bps", "write_bps", "cpus", "cores"),
}
FAST: dict[str, Any] = {
    "device": "fast",
    "limit": "1G",
    "memory_bytes": 1 << 30,
    "cores": 4,
    "by_device": ("memory_bytes", "cores"),
    "unenforced": (Shortfall("cores", "2 of 4"),),
}


def render(*records: Record, **changes: Any) -> list[str]:
    """Return the lines of the terminal report of `records`."""
    return terminal.summary(document(*records), Judgement(), view(**changes)).splitlines()


def test_title_has_all_constraints_of_the_device() -> None:
    """The title of a device's table names the device and all of its constraints."""
    assert render(record("bulk", {}, **SLOW))[:3] == [
        "suites/test_a.py::test_a mix on slow",
        "cap cgroup2, reader read",
        "slow: memory 400M, swap off, 1 threads, reads at 20M/s, writes at 10M/s, cpus 0.5, cores 1",
    ]


def test_constraints_that_were_not_enforced_are_marked() -> None:
    """A constraint that was not enforced is marked; if it was enforced in part, the mark says how far."""
    lacking = (
        *map(Shortfall, ("read_bps", "write_bps", "cpus")),
        Shortfall("cores", "1 of 4"),
        Shortfall("swap_bytes", "none of 100M"),
    )
    told = {**SLOW, "cores": 4, "swap": "none", "swap_bytes": 100 * MIB, "unenforced": lacking}
    assert render(record("bulk", {}, **told))[2] == (
        "slow: memory 400M, swap 100M (none of 100M here), 1 threads, reads at 20M/s (NOT enforced), "
        "writes at 10M/s (NOT enforced), cpus 0.5 (NOT enforced), cores 4 (1 of 4 here)"
    )
    assert render(record("bulk", {}, **{**SLOW, "cap": "none"}))[2].startswith("slow: memory 400M (NOT enforced), ")


def test_kind_of_swap_is_shown_or_marked() -> None:
    """A device's swap is shown with its kind; if the machine swaps elsewhere, the mark says where."""
    zram = {**SLOW, "swap": "zram:1G", "swap_bytes": 1 << 30}
    assert render(record("bulk", {}, **zram))[2].startswith("slow: memory 400M, swap zram:1G, 1 threads, ")
    lacking = {**zram, "swap": "8G", "unenforced": (Shortfall("swap_bytes", "8G of zram:1G"),)}
    assert render(record("bulk", {}, **lacking))[2].startswith(
        "slow: memory 400M, swap 1G (8G of zram:1G here), 1 threads, "
    )
    found = devices.grid([record("bulk", {}, **zram).case])
    assert found is not None
    assert found.rows[0][2].text == "zram:1G"


def test_devices_share_a_table() -> None:
    """Devices share a table, each with a line and its own bound, and ratios are within a device."""
    rounds = {"bulk": 2.0, "linear": 1.0}
    slow = [record(policy, {"makespan_s": s, "bound_s": 0.5}, **SLOW) for policy, s in rounds.items()]
    fast = [record(policy, {"makespan_s": s / 8, "bound_s": 0.1}, **FAST) for policy, s in rounds.items()]
    lines = render(*slow, *fast)
    assert lines[0].endswith(" mix on fast, slow")
    assert [line.partition(":")[0] for line in lines[2:6]] == ["fast", "slow"] * 2
    assert lines[2].endswith(", 2 threads, cores 4 (2 of 4 here)")
    assert lines[4].startswith("fast: bound 0.100 s")
    ratios = {tuple(line.split()[:2]): line.split()[3] for line in lines[8:12]}
    assert ratios == {
        ("linear", "fast"): "0.50",
        ("bulk", "fast"): "1.00",
        ("linear", "slow"): "0.50",
        ("bulk", "slow"): "1.00",
    }


def test_limits_of_options_have_tables_of_their_own() -> None:
    """Limits that an option sets for all devices have a table each."""
    made = [
        record("bulk", {}, **{**device, "by_device": ("cores",), "limit": limit})
        for device in (SLOW, FAST)
        for limit in ("1G", "512M")
    ]
    lines = render(*made)
    assert [line for line in lines if line.startswith("suites/")] == ["suites/test_a.py::test_a mix on slow, fast"] * 2
    assert [line.split(",")[0] for line in lines if line.startswith("fast:")] == [
        "fast: memory 1G",
        "fast: memory 512M",
    ]


def test_lines_on_devices_stay_in_other_groupings() -> None:
    """With another grouping the lines on the devices remain."""
    lines = render(record("bulk", {}, **SLOW), record("bulk", {}, **FAST), group_by=("workload",))
    assert lines[0] == "workload mix"
    assert [line.partition(":")[0] for line in lines[1:3]] in (["slow", "fast"], ["fast", "slow"])


def test_all_constraints_of_devices_are_a_table() -> None:
    """Each device is a row and each constraint a column; values that were not enforced are marked as bad."""
    records = [record(policy, {}, **device) for device in (SLOW, FAST) for policy in ("bulk", "linear")]
    found = devices.grid(one.case for one in records)
    assert found is not None
    assert found.headers == ("device", "memory", "swap", "threads", "read", "write", "cpus", "cores")
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["slow", "400M", "off", "1", "20M/s", "10M/s", "0.5", "1"],
        ["fast", "1G", "8G", "2", "-", "-", "-", "4 (2 of 4 here)"],
    ]
    assert [[cell.style for cell in row].count("bad") for row in found.rows] == [0, 1]
    assert devices.grid([record("bulk", {}).case]) is None


def test_unenforced_constraints_have_a_line_for_each_device() -> None:
    """Each device, and each limit without a device, has a line with the constraints that were not enforced."""
    cases = [record(policy, {}, **FAST).case for policy in ("bulk", "linear")]
    assert devices.unenforced(cases) == ["fast: cores 4 (2 of 4 here)"]
    free = [record("bulk", {}, cap="none", limit=limit).case for limit in ("1G", None)]
    assert devices.unenforced([*free, record("bulk", {}, **SLOW).case]) == ["memory 1G (NOT enforced)"]
    unknown = record("bulk", {}, **{**FAST, "unenforced": (Shortfall("colour"),)}).case
    assert devices.unenforced([unknown]) == ["fast: colour (NOT enforced)"]


def test_findings_and_failures_name_the_device() -> None:
    """A finding and a failure name the device."""
    failed = record("bulk", {"outcome": "oom", "detail": "killed"}, **SLOW)
    assert "bulk, mix at 400M on slow, round 0: oom: killed" in render(failed)
    assert (
        terminal.verdicts(Judgement((finding(failed.case),)), view())
        .splitlines()[1]
        .startswith("regressed: bulk, mix at 400M on slow, reader read: ")
    )


def test_identity_depends_on_the_device_not_on_enforcement() -> None:
    """A case is the same if a machine enforces more or less of its device, but not on another device."""
    slow, marked = record("bulk", **SLOW).case, record("bulk", **{**SLOW, "unenforced": (Shortfall("cores"),)}).case
    assert identity(slow) == identity(marked)
    assert identity(slow) != identity(record("bulk", **{**SLOW, "device": "other"}).case)
    assert identity(slow) != identity(record("bulk", **{**SLOW, "cpus": 0.4}).case)
