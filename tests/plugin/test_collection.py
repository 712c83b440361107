"""Tests before they run: their parameters and order, and the cost for a project that measures nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.sessions import CONFTEST, write

HEAVY = ("torch", "msgspec", "numpy", "tabulate", "psutil", "filelock", "pytest_edgeload.plugin.running")
TELLTALE = f"""
import sys

def pytest_unconfigure():
    print("heavy:", [name for name in {HEAVY} if name in sys.modules])
"""


def collected(bare: pytest.Pytester, *args: str) -> list[str]:
    """Return the ids of the tests that pytest would run, in order, without the name of the file."""
    result = bare.runpytest("--collect-only", "-q", *args)
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


def parts(name: str) -> set[str]:
    """Return the parts of an id."""
    return set(re.split(r"[\[\]-]", name)) - {""}


# ---- parameters ------------------------------------------------------------------------------------------------


def test_ids_name_policy_limit_and_reader(bare: pytest.Pytester) -> None:
    """A test runs once for each policy, limit and reader of the options, and its id names them."""
    bare.makepyfile("""
        def test_it(edge, edge_policy, edge_mem, edge_reader): pass
        def test_one(edge, edge_policy): pass
    """)
    found = collected(bare, "--edge-mem=512M,base+1.5G,none", "--edge-policy=bulk,linear")
    limits, policies = ("512M", "base+1.5G", "none"), ("bulk", "linear")
    assert found == [
        *(f"test_it[{limit}-auto-{policy}]" for limit in limits for policy in policies),
        *(f"test_one[{policy}]" for policy in policies),
    ]


def test_all_means_every_policy(bare: pytest.Pytester) -> None:
    """`all` means the built-in policies and those that a conftest registers."""
    bare.makeconftest("def pytest_edge_policies(register):\n    register('mine', lambda workload, budget: None)")
    bare.makepyfile("def test_it(edge, edge_policy): pass")
    found = collected(bare, "--edge-policy=mine,all")
    assert found[0] == "test_it[mine]"
    assert {"test_it[mine]", "test_it[bulk]", "test_it[linear]", "test_it[partial]"} <= set(found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "mark",
    [
        '"edge_policy", ["linear", "partial"]',
        '["edge_policy"], [("linear",), ("partial",)]',
        'argnames="edge_policy", argvalues=["linear", "partial"]',
        '"edge_policy", ["linear", "partial"], indirect=True',
    ],
    ids=["positional", "list", "keywords", "indirect"],
)
def test_own_parameters_replace_the_options(bare: pytest.Pytester, mark: str) -> None:
    """A test that parametrizes one of our fixtures gets its own values for it, and the options' for the others."""
    bare.makepyfile(f"import pytest\n@pytest.mark.parametrize({mark})\ndef test_it(edge, edge_policy, edge_mem): pass")
    found = collected(bare, "--edge-policy=bulk", "--edge-mem=1G,512M")
    expected = [{"test_it", policy, limit} for policy in ("linear", "partial") for limit in ("1G", "512M")]
    assert sorted(map(sorted, map(parts, found))) == sorted(map(sorted, expected))


def test_own_pairs_are_not_multiplied(bare: pytest.Pytester) -> None:
    """A module that parametrizes two of our fixtures together gets exactly its own pairs."""
    bare.makepyfile(
        "import pytest\n"
        "pytestmark = pytest.mark.parametrize('edge_policy, edge_mem', [('linear', '1G'), ('bulk', None)])\n"
        "def test_it(edge, edge_policy, edge_mem): pass"
    )
    assert collected(bare, "--edge-policy=partial", "--edge-mem=2G") == ["test_it[linear-1G]", "test_it[bulk-None]"]


def test_parameters_of_a_hook_replace_the_options(bare: pytest.Pytester) -> None:
    """A project that parametrizes one of our fixtures in `pytest_generate_tests` gets its own values for it."""
    bare.makeconftest("""
        def pytest_generate_tests(metafunc):
            if "edge_policy" in metafunc.fixturenames:
                metafunc.parametrize("edge_policy", ["linear"])
    """)
    bare.makepyfile("def test_it(edge, edge_policy, edge_mem): pass")
    assert collected(bare, "--edge-policy=bulk", "--edge-mem=1G,512M") == ["test_it[linear-1G]", "test_it[linear-512M]"]


# ---- names that conftest files register ------------------------------------------------------------------------

REGISTER = "def pytest_edge_policies(register):\n    register('mine', lambda workload, budget: None)"


@pytest.fixture
def nested(bare: pytest.Pytester) -> pytest.Pytester:
    """Return a project with a policy that only the conftest.py of the folder `bench` registers."""
    bare.makepyfile(
        **{
            "bench/conftest": REGISTER,
            "bench/test_in_bench": "def test_bench(edge, edge_policy): pass",
            "other/test_other": "def test_other(edge, edge_policy): pass",
        }
    )
    return bare


@pytest.mark.parametrize("folder", [".", "bench"])
def test_policy_of_a_subfolder_is_known_from_everywhere(
    nested: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """A policy that the conftest.py of a subfolder registers can be chosen from the rootdir as from that folder."""
    nested.makeini("[pytest]")
    monkeypatch.chdir(nested.path / folder)
    assert "test_bench[mine]" in collected(nested, "--edge-policy=mine")


@pytest.mark.parametrize("paths", [("bench", "other"), ("other", "bench"), ("other",)])
def test_all_means_the_policies_that_a_test_sees(nested: pytest.Pytester, paths: tuple[str, ...]) -> None:
    """`all` means the same for a test whatever else is collected: policies of the folders that contain it."""
    found = collected(nested, "--edge-policy=all", *paths)
    assert "test_other[mine]" not in found
    assert "test_other[bulk]" in found
    assert ("test_bench[mine]" in found) is ("bench" in paths)


UNKNOWN = "unknown, also to the conftest.py files of the collected tests"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--edge-policy=mine", f"{UNKNOWN}; *"),
        ("--edge-policy=xyzzy", f"{UNKNOWN}; choose from bulk, *linear*"),
        ("--edge-policy=linaer", f"{UNKNOWN}; did you mean linear[?]"),
        ("--edge-compare-fail=makespan/bulkk:10%", "bulkk is not a policy; did you mean bulk[?]"),
    ],
    ids=["policy of another folder", "unlike all", "policy", "reference"],
)
def test_unknown_name_is_refused_after_collection(nested: pytest.Pytester, option: str, sentence: str) -> None:
    """A name that no conftest.py of the collected tests registers ends the session in one sentence."""
    result = nested.runpytest("other", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {option}: {sentence}"])


def test_unknown_name_is_refused_under_xdist(nested: pytest.Pytester) -> None:
    """A worker of xdist tells its controller about an unknown name, and no test runs."""
    result = nested.runpytest_subprocess("other", "--edge-policy=mine", "-n1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (result.stderr if result.errlines else result.stdout).fnmatch_lines([f"*--edge-policy=mine: {UNKNOWN}; *"])
    assert "Traceback" not in result.stdout.str()


# ---- order -----------------------------------------------------------------------------------------------------

TURNS = ["bulk-round0", "linear-round0", "bulk-round1", "linear-round1"]


def test_rounds_of_a_group_are_interleaved(bare: pytest.Pytester) -> None:
    """In a comparison group, all policies of a round run before the next round; other tests keep their position."""
    bare.makepyfile("""
        def test_before(): pass
        def test_limits(edge, edge_policy, edge_mem): pass
        def test_between(): pass
        class TestRounds:
            def test_rounds(self, edge, edge_policy): pass
        def test_once(edge): pass
        def test_after(): pass
    """)
    assert collected(bare, "--edge-rounds=2", "--edge-policy=bulk,linear", "--edge-mem=1G,512M") == [
        "test_before",
        *(f"test_limits[{limit}-{turn}]" for limit in ("1G", "512M") for turn in TURNS),
        "test_between",
        *(f"TestRounds::test_rounds[{turn}]" for turn in TURNS),
        "test_once[round0]",
        "test_once[round1]",
        "test_after",
    ]


def test_own_parameters_split_groups(bare: pytest.Pytester) -> None:
    """A parameter of the test splits groups, and each group runs in one piece, round by round."""
    bare.makepyfile("""
        import pytest
        @pytest.mark.parametrize("network", ["a", "b"])
        def test_it(edge, network, edge_policy): pass
    """)
    found = [parts(name) for name in collected(bare, "--edge-rounds=2", "--edge-policy=bulk,linear")]
    assert found == [{"test_it", network, *turn.split("-")} for network in "ab" for turn in TURNS]


def test_k_selects_by_policy_and_limit(bare: pytest.Pytester) -> None:
    """-k selects by policy and limit, because both are in the ids."""
    bare.makepyfile("def test_it(edge, edge_policy, edge_mem): pass")
    assert collected(bare, "-k", "linear and 512M", "--edge-mem=1G,512M") == ["test_it[512M-linear]"]


@pytest.mark.parametrize(
    ("option", "passed", "reason"),
    [
        ("--edge-only", {"test_measures", "test_judges"}, "does not measure, and --edge-only is given"),
        ("--edge-skip", {"test_plain", "test_other", "test_judges"}, "measures, and --edge-skip is given"),
    ],
)
def test_skipped_tests_show_the_option(bare: pytest.Pytester, option: str, passed: set[str], reason: str) -> None:
    """--edge-skip skips tests that measure, --edge-only tests that neither measure nor judge, with a reason."""
    bare.makepyfile("""
        def test_plain(): pass
        def test_measures(edge, edge_policy): pass
        def test_other(edge_policy): pass
        def test_judges(edge_records): pass
    """)
    result = bare.runpytest(option, "--edge-disable", "--edge-policy=bulk", "-rsp")
    found = {line.partition("::")[2].partition("[")[0] for line in result.outlines if line.startswith("PASSED")}
    assert found == passed
    result.stdout.fnmatch_lines([f"SKIPPED * {reason}"])


# ---- nothing is done before it is due --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ("--collect-only",),
        ("--collect-only", "-n2"),
        ("--edge-skip",),
        ("-k", "nothing"),
        ("--fixtures",),
        ("--setup-plan",),
    ],
)
def test_session_without_measurements_prepares_nothing(
    project: Path, bare: pytest.Pytester, args: tuple[str, ...]
) -> None:
    """If no test will measure, nothing is prepared: no session folder, no swap file, no file of records."""
    options = ("--edge-cache-dir=cache", "--edge-swap=auto", "--edge-json=out.json")
    result = bare.runpytest_subprocess(f"--rootdir={project}", str(project), *options, *args)
    assert result.ret in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    assert not list(bare.path.glob("cache/*"))
    assert not (bare.path / "out.json").exists()
    result.stdout.no_fnmatch_line("*= edgeload =*")


@pytest.mark.parametrize("args", [(), ("-n1",)], ids=["alone", "xdist"])
def test_idle_project_pays_for_no_import(bare: pytest.Pytester, args: tuple[str, ...]) -> None:
    """A project that measures nothing sees nothing of the plugin and pays for none of its heavy imports."""
    bare.makeconftest(TELLTALE)
    bare.makepyfile("def test_it(): pass")
    result = bare.runpytest_subprocess("-s", "-p", "no:cacheprovider", *args)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("edgeload*")
    result.stdout.no_fnmatch_line("*= edgeload =*")
    result.stdout.fnmatch_lines(["*heavy: []"])


def test_collection_does_not_import_torch(bare: pytest.Pytester) -> None:
    """Pytest does not import torch to register networks and to collect tests that measure."""
    write(bare.path, conftest=CONFTEST + TELLTALE)
    result = bare.runpytest_subprocess("--collect-only", "-s")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["collected 3 items", "heavy: *"])
    result.stdout.no_fnmatch_line("heavy: *torch*")


# ---- what pytest shows of us -----------------------------------------------------------------------------------


def test_fixtures_are_documented(bare: pytest.Pytester) -> None:
    """`pytest --fixtures` shows our fixtures with the first line of their documentation."""
    said = bare.runpytest("--fixtures").stdout
    for name in ("edge", "edge_mem", "edge_policy", "edge_reader", "edge_round"):
        said.fnmatch_lines([f"{name} [[]session scope[]] -- *fixtures.py:*"])
    said.fnmatch_lines_random(["    Measure a workload in a worker process *", "    Return a memory limit. *"])


def test_strict_project_sees_no_warning(bare: pytest.Pytester) -> None:
    """The plugin needs no marker and causes no warning in the strictest of projects."""
    bare.makepyfile("def test_it(edge, edge_policy, edge_mem): pass")
    for args in (["--markers"], ["--collect-only"]):
        strict = ("--strict-markers", "--strict-config", "-W", "error", "--edge-rounds=2")
        result = bare.runpytest_subprocess(*args, *strict)
        assert result.ret == 0
        assert not result.stderr.str()
        result.stdout.no_fnmatch_line("*warnings summary*")


def test_duplicate_policy_is_one_sentence(bare: pytest.Pytester) -> None:
    """A mistake in a conftest that only shows at collection is one sentence as well, without any option."""
    bare.makeconftest("def pytest_edge_policies(register):\n    register('bulk', lambda workload, budget: None)")
    bare.makepyfile("def test_it(edge, edge_policy): pass")
    result = bare.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (result.stderr if result.errlines else result.stdout).fnmatch_lines(["*policy bulk: registered twice; give *"])
    assert "Traceback" not in result.stdout.str()
    result.stdout.no_fnmatch_line("*in __call__*")
