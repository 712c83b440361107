"""Items and cases: the device, round, name and parameters that a measurement has, and values that reach no test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_edgeload.plugin import items
from tests.cases import CASE
from tests.plugin.sessions import Begin, write

DEVICES = "--edge-device=rpi3,coral-dev"
DISABLED = "--edge-disable"


# ---- devices and rounds reach every fixture --------------------------------------------------------------------

SHARED = """
import pytest

made = []

@pytest.fixture(scope="{scope}")
def measured(edge, edge_device):
    made.append(edge_device)
    return edge_device

@pytest.fixture(scope="{scope}")
def without_device(edge):
    made.append("again")
    return len(made)

def test_first(measured, without_device, edge_device):
    assert measured == edge_device

def test_second(measured, without_device, edge_device):
    assert measured == edge_device

def test_made():
    assert made == ["rpi3", "again", "coral-dev", "again"]
"""


@pytest.mark.parametrize("scope", ["module", "package", "session"])
def test_fixture_of_wider_scope_is_set_up_once_per_device(bare: pytest.Pytester, scope: str) -> None:
    """A fixture of wider scope that uses `edge` is set up for each device, once for all tests that share it."""
    bare.makepyfile(SHARED.format(scope=scope))
    bare.runpytest(DEVICES, DISABLED).assert_outcomes(passed=5)


def test_tests_that_share_a_measurement_run_round_by_round(bare: pytest.Pytester) -> None:
    """All tests that share the measurements of a fixture run before its next round."""
    bare.makepyfile("""
        import pytest

        @pytest.fixture(scope="module")
        def measured(edge): pass

        def test_first(measured): pass
        def test_second(measured): pass
        def test_alone(edge): pass
    """)
    found = bare.runpytest("--collect-only", "-q", "--edge-rounds=2").outlines
    assert [line.partition("::")[2] for line in found if "::" in line] == [
        "test_first[round0]",
        "test_second[round0]",
        "test_first[round1]",
        "test_second[round1]",
        "test_alone[round0]",
        "test_alone[round1]",
    ]


def test_device_of_a_mark_reaches_a_fixture_of_wider_scope(bare: pytest.Pytester) -> None:
    """A device that a test names in a mark, not indirectly, reaches `edge` and the fixtures that use it."""
    bare.makepyfile("""
        import pytest

        @pytest.fixture(scope="module")
        def measured(edge, edge_device): return edge_device

        @pytest.mark.parametrize(("edge_device", "expected"), [("rpi3", "rpi3"), ("coral-dev", "coral-dev")])
        def test_it(measured, expected): assert measured == expected
    """)
    bare.runpytest(DEVICES, DISABLED).assert_outcomes(passed=2)


OUTSIDE = """
import unittest

import pytest

class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take(self, edge, edge_mem):
        self.limit = edge_mem

    def test_old(self):
        print("has", self.limit)

def test_asks(request):
    print("has", request.getfixturevalue("edge_mem"))
"""


def test_only_value_reaches_tests_without_parameters(bare: pytest.Pytester) -> None:
    """A method of a unittest.TestCase, and a test that asks for a fixture by name, get the only value of an option."""
    bare.makepyfile(OUTSIDE)
    result = bare.runpytest(DISABLED, "--edge-mem=64M", "--edge-device=none", "-s")
    result.assert_outcomes(passed=2)
    assert result.stdout.str().count("has 64M") == 2


@pytest.mark.parametrize(
    ("option", "axis", "errors"),
    [(DEVICES, "edge_device", 1), ("--edge-mem=64M,32M", "edge_mem", 2)],
    ids=["devices", "limits"],
)
def test_several_values_are_refused_for_tests_without_parameters(
    bare: pytest.Pytester, option: str, axis: str, errors: int
) -> None:
    """A test that would run for one of several values, and be green for all, is refused in one sentence."""
    bare.makepyfile(OUTSIDE)
    result = bare.runpytest(DISABLED, option)
    sentence = "2 values, but pytest runs this test only once; make it an argument of a test function (*"
    result.stdout.fnmatch_lines([f"E *UsageError: {axis}: {sentence}"])
    outcomes = result.parseoutcomes()
    assert outcomes.get("errors", 0) + outcomes.get("error", 0) + outcomes.get("failed", 0) == errors


def test_edge_of_another_test_is_refused(bare: pytest.Pytester) -> None:
    """An `edge` that a test kept from another device is refused, because its row would be of that device."""
    bare.makepyfile("""
        kept = []

        def test_it(edge):
            kept.append(edge)
            kept[0].command(["true"])
    """)
    result = bare.runpytest(DEVICES, DISABLED)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *UsageError: edge.command: this `edge` is for another device or round than the *"])


SHARED_RUN = """
import pytest

@pytest.fixture(scope="module")
def measured(edge):
    return edge.command(["true"])

def test_first(measured, edge_mem):
    assert measured.outcome == "ok"

def test_second(measured):
    assert measured.outcome == "ok"
"""


def test_every_round_of_a_shared_fixture_is_measured(begin: Begin, tmp_path: Path) -> None:
    """A fixture that several tests share measures each round once, for the first of these tests.

    A warning says that the limit of the test did not reach the measurement.
    """
    folder = write(tmp_path, test_tiny=SHARED_RUN)
    ended = begin(folder, "--edge-rounds=2", "--edge-mem=64M", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["*PytestWarning: no measurement of this test has edge_mem=64M; pass it to `edge`"])
    [record] = ended.records
    assert record.case.test == "test_tiny.py::test_first"
    assert [m.round for m in record.rounds] == [0, 1]


@pytest.mark.parametrize(
    ("fields", "unused"),
    [
        ({"limit": "1G", "policy": "linear"}, []),
        ({"limit": None, "policy": "linear"}, ["edge_mem=1G"]),
        ({"limit": "1G"}, ["edge_policy=linear"]),
    ],
    ids=["all", "no limit", "another policy"],
)
def test_parameter_that_reached_no_measurement_is_found(
    bare: pytest.Pytester, fields: dict[str, str | None], unused: list[str]
) -> None:
    """A limit or policy that the test did not pass to `edge` is found, also if the test writes 1024M instead of 1G."""
    source = (
        '@pytest.mark.parametrize("edge_mem", ["1024M"])\n'
        "def test_it(edge, edge_mem, edge_policy, edge_round, edge_device): pass"
    )
    [item] = collected(bare, source, "--edge-policy=linear")
    assert items.unused_parameters(item, [msgspec.structs.replace(CASE, **fields)]) == unused
    assert items.unused_parameters(item, []) == []


# ---- names -----------------------------------------------------------------------------------------------------


def named(bare: pytest.Pytester, source: str, *args: str) -> list[str]:
    """Return the names of the cases of the tests in `source`, in the order that they run, without the file's name."""
    return [items.test_name(item).partition("::")[2] for item in collected(bare, source, *args)]


def collected(bare: pytest.Pytester, source: str, *args: str) -> list[Any]:
    """Return the items of the tests in `source`."""
    bare.makepyfile(f"import pytest\nfrom pathlib import Path\n{source}")
    found, _ = bare.inline_genitems("-p", "edgeload", *args)
    return found


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ('"v", [1, "1"]', ["1_0", "1_1"]),
        ('("net", "size"), [("resnet-50", "small"), ("resnet", "50-small")]', ["resnet-50-small0", "resnet-50-small1"]),
        ('"path", [Path("fp32/model.bin"), Path("int8/model.bin")]', ["fp32/model.bin", "int8/model.bin"]),
        ('"v", [object(), object()], ids=["first", "second"]', ["first", "second"]),
        ('"v", [pytest.param(object(), id="x"), [1, 2]]', ["x", "[1, 2]"]),
        ('("v", "edge_policy"), [(1, "bulk"), (2, "linear")]', ["1", "2"]),
        ('("v", "edge_policy"), [(1, "bulk"), (2, "linear")], ids=["x", "y"]', ["1", "2"]),
        ('"v", [pytest.param(1, id=pytest.HIDDEN_PARAM), pytest.param(2, id="two")]', ["1", "two"]),
        ('"edge_policy", ["bulk", "linear"]', ["", ""]),
    ],
    ids=["types", "hyphens", "paths", "ids", "param", "mixed", "mixed with ids", "hidden", "only ours"],
)
def test_name_is_the_id_of_pytest_without_our_parameters(bare: pytest.Pytester, mark: str, expected: list[str]) -> None:
    """A case has pytest's own id, which `ids=` sets, without policy, limit, reader, device and round."""
    source = f"@pytest.mark.parametrize({mark})\ndef test_it(edge, edge_policy, edge_mem{_arguments(mark)}): pass"
    names = named(bare, source, "--edge-rounds=2", "--edge-policy=bulk", "--edge-mem=1G,2G")
    assert set(names) == {f"test_it[{text}]" if text else "test_it" for text in expected}
    assert len(names) == 2 * 2 * 2


def _arguments(mark: str) -> str:
    return "".join(f", {name}" for name in ("v", "net", "size", "path") if f'"{name}"' in mark)


def test_name_of_a_value_does_not_depend_on_its_position(bare: pytest.Pytester) -> None:
    """A value inserted before others does not change their names."""
    values = "(1, 2), [1, 2], {'a': 1}, Path('x'), 'y' * 500"
    source = "@pytest.mark.parametrize('v', [%s])\ndef test_it(edge, v): pass"
    assert named(bare, source % values) == named(bare, source % f"Path('new'), {values}")[1:]


def test_stacked_parameters_with_hyphens_are_two_cases(bare: pytest.Pytester) -> None:
    """Tests to which pytest gives the same id differ in the parameters of their cases."""
    one, other = (
        items.own_parameters(item)
        for item in collected(
            bare,
            "@pytest.mark.parametrize('size', ['small', '50-small'])\n"
            "@pytest.mark.parametrize('net', ['resnet-50', 'resnet'])\n"
            "def test_it(edge, net, size): pass",
        )
        if item.nodeid.endswith("[resnet-50-small]")
    )
    assert one != other


def test_names_of_long_parameters_are_bounded_and_distinct(bare: pytest.Pytester) -> None:
    """A parameter of a megabyte has a short name, and two that differ at their end have two names."""
    values = "['x' * 1_000_000 + end for end in 'ab']"
    source = f"@pytest.mark.parametrize('v', {values}, ids=str)\ndef test_it(edge, v): pass"
    found = collected(bare, source)
    names, parameters = {items.test_name(item) for item in found}, {items.own_parameters(item) for item in found}
    assert len(names) == len(parameters) == 2
    assert all(len(name) < 300 for name in names)
    assert all(len(text) < 300 for [(_, text)] in parameters)


def test_ids_of_other_tests_stay_as_they_are(bare: pytest.Pytester) -> None:
    """The plugin names no values of tests that do not use its fixtures."""
    bare.makepyfile("""
        import pytest

        @pytest.mark.parametrize("v", [[1], [2]])
        def test_ours(edge, v): pass

        @pytest.mark.parametrize("v", [[1], [2]])
        def test_other(v): pass
    """)
    found, _ = bare.inline_genitems("-p", "edgeload")
    assert [item.name for item in found] == ["test_ours[[1]]", "test_ours[[2]]", "test_other[v0]", "test_other[v1]"]


def test_brackets_of_a_folder_are_not_parameters() -> None:
    """The function of an id is found although a folder has brackets in its name."""
    assert items.function_of("a[b]/test_it.py::TestIt::test_it[c::d]") == "a[b]/test_it.py::TestIt::test_it"
    assert items.function_of("a[b]/test_it.py::test_it") == "a[b]/test_it.py::test_it"
