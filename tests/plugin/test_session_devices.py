"""Devices in a session: the parameters of tests, the options that overrule a device, and the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.plugin.devices import SessionDevices, session_devices
from pytest_edgeload.plugin.options import parse, read
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.constraints import cores_of
from tests.plugin.sessions import Begin, Ended, write

MIB = 1 << 20
CAP, ENFORCED = choose("auto")
DEVICES = """
[slow]
memory = "600M"
cpus = 1.5
cores = 1
swap = "off"

[many]
extends = "slow"
memory = "700M"
cores = 512
threads = 2
swap = "100M"
"""
TEST = """
def test_case(edge, edge_policy, edge_mem, edge_device):
    assert edge_device in ("slow", "many")
    assert str(edge_mem) == {"slow": "600M", "many": "700M"}[edge_device]
    assert edge.run(["small"], policy=edge_policy, memory=edge_mem).outcome == "ok"

def test_no_memory(edge):
    assert edge.run(["small"]).outcome == "ok"

def test_own_memory(edge):
    assert edge.run(["small"], memory="1G").outcome == "ok"
"""


# ---- what is collected -----------------------------------------------------------------------------------------


def collected(bare: pytest.Pytester, *args: str) -> list[str]:
    """Return the ids of the tests that pytest would run, in order, without the name of the file."""
    return [line.partition("::")[2] for line in bare.runpytest("--collect-only", "-q", *args).outlines if "::" in line]


def test_measuring_tests_run_once_per_device(bare: pytest.Pytester) -> None:
    """A test that measures runs once for each device, with its memory; other tests run once."""
    bare.makepyfile("""
        def test_it(edge, edge_policy, edge_mem): pass
        def test_one(edge): pass
        def test_none(): pass
    """)
    assert collected(bare, "--edge-device=rpi3,coral-dev,none", "--edge-policy=bulk") == [
        *(f"test_it[{place}-bulk]" for place in ("rpi3-768M", "coral-dev-768M", "none-1G")),
        *(f"test_one[{device}]" for device in ("rpi3", "coral-dev", "none")),
        "test_none",
    ]


def test_limits_of_the_command_line_overrule_devices(bare: pytest.Pytester) -> None:
    """Limits of the command line overrule those of devices, in all combinations; rounds alternate within a device."""
    bare.makepyfile("def test_it(edge, edge_policy, edge_mem): pass")
    options = ("--edge-device=rpi3,coral-dev", "--edge-mem=1G,512M", "--edge-policy=bulk,linear", "--edge-rounds=2")
    assert collected(bare, *options) == [
        f"test_it[{device}-{limit}-{policy}-round{number}]"
        for device in ("rpi3", "coral-dev")
        for limit in ("1G", "512M")
        for number in range(2)
        for policy in ("bulk", "linear")
    ]


def test_own_devices_and_limits_replace_the_options(bare: pytest.Pytester) -> None:
    """A test that parametrizes limits or devices gets its own values."""
    bare.makepyfile("""
        import pytest

        @pytest.mark.parametrize("edge_mem", ["1G", "512M"])
        def test_limits(edge, edge_mem): pass

        @pytest.mark.parametrize("edge_device", ["coral-dev"], indirect=True)
        def test_device(edge, edge_device): pass
    """)
    found = collected(bare, "--edge-device=rpi3")
    assert sorted(found) == ["test_device[coral-dev]", "test_limits[1G-rpi3]", "test_limits[512M-rpi3]"]


def test_without_a_device_the_fixture_is_none(bare: pytest.Pytester) -> None:
    """Without the option, the fixture is None and not a part of the id."""
    bare.makepyfile("def test_it(edge_device): assert edge_device is None")
    for option in ((), ("--edge-device=none",)):
        assert collected(bare, *option) == ["test_it"]
        bare.runpytest(*option).assert_outcomes(passed=1)


# ---- what goes before what -------------------------------------------------------------------------------------


def boards(bare: pytest.Pytester, *args: str, ini: str = "") -> SessionDevices:
    bare.makeini(f"[pytest]\n{ini}")
    given = read(bare.parseconfig(*args))
    return session_devices(parse(given, bare.path), given, bare.path)


def test_equal_limit_of_an_option_is_not_the_devices(bare: pytest.Pytester) -> None:
    """A limit of the command line is not the device's, even if both are equal."""
    assert not boards(bare, "--edge-device=rpi3,rpi4-2g", "--edge-mem=768M").sets_memory
    assert boards(bare, "--edge-device=rpi3").sets_memory


def test_options_overrule_a_device(bare: pytest.Pytester) -> None:
    """Options of the command line and the environment overrule the values of a device, and no other values."""
    found = boards(bare, "--edge-device=rpi3", "--edge-threads=1", "--edge-read-bw=5M", "--edge-swap=off")
    device = found.devices["rpi3"]
    assert device is not None
    assert device.constraints == Constraints(768 * MIB, write_bps=13 * MIB, cores=4)
    assert found.memory == {"rpi3": (Limit(768 * MIB),)}


@pytest.mark.parametrize("where", ["environment", "command line", "ini file"])
def test_ini_file_overrules_only_its_own_device(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Options of the ini file overrule a device only if the ini file also sets the device."""
    ini = "edge_mem = 900M\nedge_read_bw = 5M\n" + ("edge_device = rpi3" if where == "ini file" else "")
    if where == "environment":
        monkeypatch.setenv("PYTEST_EDGE_DEVICE", "rpi3")
    found = boards(bare, *(["--edge-device=rpi3"] if where == "command line" else []), ini=ini)
    device = found.devices["rpi3"]
    assert device is not None
    is_before = where == "ini file"
    assert found.memory == {"rpi3": (Limit((900 if is_before else 768) * MIB),)}
    assert device.constraints.read_bps == (None if is_before else 18 * MIB)


def test_threads_follow_the_cores_of_a_device(bare: pytest.Pytester) -> None:
    """A device without a number of threads has as many threads as it has cores here."""
    (bare.path / "edge-devices.toml").write_text(DEVICES)
    devices = boards(bare, "--edge-device=slow,many,rpi3").devices
    threads = [device.constraints.threads for device in devices.values() if device is not None]
    assert threads == [1, 2, len(cores_of(4))]


def test_given_file_of_devices_replaces_that_of_rootdir(bare: pytest.Pytester) -> None:
    """A given file is used instead of the one in rootdir, and both extend the built-in devices."""
    (bare.path / "edge-devices.toml").write_text(DEVICES)
    (bare.path / "other.toml").write_text('[other]\nmemory = "300M"\n')
    assert boards(bare, "--edge-device=slow,rpi3").memory.keys() == {"slow", "rpi3"}
    assert boards(bare, "--edge-device=other,rpi3", f"--edge-devices={bare.path}/other.toml").limits == (
        Limit(300 * MIB),
        Limit(768 * MIB),
    )


def test_device_of_a_test_must_be_in_the_options(bare: pytest.Pytester) -> None:
    """A device that only a test names is refused."""
    found = boards(bare, "--edge-device=rpi3")
    assert found.device("rpi3") == found.devices["rpi3"]
    for name in ("coral-dev", None):
        with pytest.raises(UsageError, match=rf"^edge_device={name}: .*; add it to device$"):
            found.device(name)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--edge-device=slow",), "ERROR: --edge-device=slow: no such device; choose from rpi3, *"),
        (
            ("--edge-device=rpi3", "--edge-mem=1G,none"),
            "ERROR: --edge-mem=none: a device has a limit; leave it out, or leave out --edge-device",
        ),
        (
            ("--edge-device=rpi3", "--edge-devices=wrong.toml"),
            "ERROR: */wrong.toml: [[]a] memory = 1: Expected *; write *",
        ),
    ],
)
def test_wrong_device_is_one_sentence(bare: pytest.Pytester, args: tuple[str, ...], said: str) -> None:
    """A device that is unknown, without a limit or invalid ends pytest in a sentence."""
    (bare.path / "wrong.toml").write_text("[a]\nmemory = 1\n")
    bare.makepyfile("def test_it(edge): pass")
    result = bare.runpytest_subprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


# ---- a session -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session of two devices."""
    folder = write(tmp_path_factory.mktemp("devices"), test_tiny=TEST)
    (folder / "edge-devices.toml").write_text(DEVICES)
    options = ("--edge-device=slow,many", "--edge-policy=bulk", "--edge-json=out.json", "--junitxml=junit.xml")
    return begin(folder, *options, PYTEST_EDGE_SWAP="", PYTEST_EDGE_MEM="").end()


def test_session_shows_its_devices(ended: Ended) -> None:
    """A session on devices names them in its header, shows them side by side, and lists the constraints of each."""
    assert ended.status == 0, ended.said
    marks = dict.fromkeys(("memory", "cpus"), "" if ENFORCED.enforces else " (NOT enforced)")
    ended.lines.fnmatch_lines(
        [
            "edgeload: device slow (600M), many (700M) *enforced*, swap existing, rounds 1, *",
            "test_tiny.py::test_case small on *",
            f"cap {CAP}, reader *",
        ]
    )
    ended.lines.fnmatch_lines_random(
        [
            f"slow: memory 600M{marks['memory']}, swap *, 1 threads, cpus 1.5{marks['cpus']}, cores 1*",
            f"many: memory 700M{marks['memory']}, swap *, 2 threads, cpus 1.5{marks['cpus']}, cores 512 (*",
            "bulk *slow *1.00 *ok",
            "bulk *many *1.00 *ok",
        ]
    )
    assert ended.said.count("x bulk") == 3, "a table a test, for both devices"
    assert ended.running.leavings == []


def test_record_has_the_constraints_of_the_device(ended: Ended) -> None:
    """A record has the constraints, which of them the device set, and which were not enforced."""
    cases = {(record.case.test.partition("::")[2], record.case.device): record.case for record in ended.records}
    assert {test for test, _ in cases} == {"test_case", "test_no_memory", "test_own_memory"}
    slow, many = cases["test_case", "slow"], cases["test_case", "many"]
    assert (slow.limit, slow.limit_bytes, slow.threads) == ("600M", 600 * MIB, 1)
    assert slow.constraints == Constraints(600 * MIB, swap_bytes=0, cpus=1.5, cores=1, threads=1)
    assert many.constraints.swap_bytes == 100 * MIB
    assert slow.by_device == ("memory_bytes", "swap_bytes", "threads", "cpus", "cores")
    assert "cores" in {each.constraint for each in many.unenforced}
    assert (Shortfall("cpus") in many.unenforced) is not ENFORCED.enforces
    assert cases["test_no_memory", "many"].limit == "700M"
    own = cases["test_own_memory", "many"]
    assert (own.limit, "memory_bytes" in own.by_device) == ("1G", False)


def test_junit_names_the_device(ended: Ended) -> None:
    """JUnit's XML has the name of the device."""
    properties = {
        item.attrib["name"]: item.attrib["value"] for item in ended.tests["test_no_memory[slow]"].iter("property")
    }
    assert properties["edgeload.device"] == "slow"


def test_xdist_worker_uses_the_controllers_device(begin: Begin, tmp_path: Path) -> None:
    """A worker of xdist measures on the controller's device, with the constraints that the controller checked."""
    folder = write(tmp_path, test_tiny="def test_it(edge):\n    edge.run(['small'])")
    (folder / "edge-devices.toml").write_text(DEVICES)
    found = begin(folder, "--edge-device=many", "-n1", "--edge-json=out.json", PYTEST_EDGE_MEM="").end()
    assert found.status == 0, found.said
    [record] = found.records
    assert (record.case.device, record.case.limit, record.case.threads) == ("many", "700M", 2)
    assert "cores" in {each.constraint for each in record.case.unenforced}
