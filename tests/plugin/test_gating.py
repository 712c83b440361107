"""Baselines, thresholds, and the failure of a session with worse figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_edgeload.results.document import parse
from tests.plugin.sessions import Begin, Ended, write

POLICY = """
from pytest_edgeload.policies import POLICIES

def pytest_edge_policies(register):
    register("mine", POLICIES["linear"])
"""

HELD = """
import os

def hold(mib):
    return len(bytearray(mib << 20))

def test_case(edge, edge_policy, edge_mem):
    mib = os.environ.get("HELD", "1") if edge_policy == "mine" else "1"
    edge.call(hold, int(mib), memory=edge_mem, name=edge_policy)
"""
"""A function for each policy, which starts faster than a network; that of `mine` holds more if a variable is set."""

OPTIONS = ("--edge-policy=linear,mine", "--edge-mem=none")
TWICE = (*OPTIONS, "--edge-rounds=2")
GATE = "--edge-compare-fail=peak:16M"
GROWN = "regressed: mine at no limit: peak "


@pytest.fixture(scope="module")
def saved(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session that saved a baseline, in a project with the policy."""
    folder = write(tmp_path_factory.mktemp("saved"), conftest=POLICY, test_tiny=HELD)
    return begin(folder, *TWICE, "--edge-save=first").end()


@pytest.fixture(params=["0", "2"], ids=["alone", "xdist"])
def regressed(request: pytest.FixtureRequest, begin: Begin, saved: Ended) -> Ended:
    """Return a session in which `mine` holds 64 MiB, with and without xdist."""
    options = (*TWICE, GATE, "-n", request.param, "--junitxml=junit.xml", "-p", "cacheprovider")
    return begin(saved.running.folder, *options, HELD="64", COLUMNS="250").end()


def test_saved_baseline_is_a_numbered_file(saved: Ended) -> None:
    """A baseline is a numbered file of records without spans, in a folder for the kind of machine."""
    assert saved.status == 0, saved.said
    [path] = (saved.running.folder / ".edgeload").glob("*/0001_first_??????.json")
    saved.lines.fnmatch_lines([f"baseline saved as {path}"])
    document = parse(path.read_bytes())
    assert path.parent.name == document.machine.key
    assert [(record.case.policy, len(record.rounds)) for record in document.records] == [("linear", 2), ("mine", 2)]
    assert not any(m.tasks or m.timeline.at_s for record in document.records for m in record.rounds)
    assert {"pytest", "torch"} <= document.versions.keys()


def test_unchanged_figures_pass(saved: Ended, begin: Begin) -> None:
    """Unchanged figures pass; a table has both values, and a line has the number of verdicts."""
    ended = begin(saved.running.folder, *OPTIONS, GATE).end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["compared with *0001_first_*.json", "program *then *now *change *interval", "2 ok"])
    ended.lines.fnmatch_lines_random(["mine *none *makespan *s *s *%*", "mine *peak_anon *M *M *%*"])


def test_regression_is_a_failed_test(regressed: Ended) -> None:
    """A regression is a failed test like any other; nothing else fails, and there is no traceback."""
    assert regressed.status == 1, regressed.said
    failed = [name for name, case in regressed.tests.items() if case.find("failure") is not None]
    assert failed in (["test_case[none-mine-round0]"], ["test_case[none-mine-round1]"])
    assert GROWN in str(regressed.failure(failed[0]).attrib["message"])
    regressed.lines.fnmatch_lines(
        [
            "1 ok, 1 regressed",
            f"{GROWN}*M -> *M (+*%, 95% interval +*% to +*%), limit peak:16M",
            f"FAILED test_tiny.py::{failed[0].replace('[', '[[]')} - {GROWN}*",
            "*1 failed, 3 passed*",
        ]
    )
    assert "Traceback" not in regressed.said


def test_last_failed_runs_all_rounds_of_a_regression(saved: Ended, begin: Begin) -> None:
    """--lf runs all rounds of a regression until it is fixed, because one round alone cannot be judged."""
    folder = saved.running.folder
    begin(folder, *TWICE, GATE, "-p", "cacheprovider", HELD="64").end()
    again = begin(folder, *TWICE, GATE, "--lf", "-p", "cacheprovider").end()
    assert again.status == 0, again.said
    again.lines.fnmatch_lines(["*2 passed*"])


def test_x_stops_at_a_regression(saved: Ended, begin: Begin) -> None:
    """-x stops at a regression; tests that did not run are not missing, and no baseline is saved."""
    options = (*TWICE, GATE, "-x", "-k", "mine", "--edge-save=half")
    ended = begin(saved.running.folder, *options, HELD="64").end()
    assert ended.status == 1, ended.said
    ended.lines.fnmatch_lines(["1 regressed", "*stopping after 1 failures*"])
    assert not list(saved.running.folder.glob(".edgeload/*/*_half_*"))


def test_unwritable_storage_is_refused_before_anything_is_measured(begin: Begin, tmp_path: Path) -> None:
    """A baseline that could not be saved is refused before anything is measured."""
    folder = write(tmp_path, test_tiny=CALL.format(mark=""))
    ended = begin(folder, "--edge-save=first", "--edge-storage=/proc/none").end()
    assert ended.status == 4, ended.said
    assert ended.running.on_disk == []
    ended.lines.fnmatch_lines(["ERROR: --edge-storage=/proc/none: No such file or directory; name another folder"])


def test_missing_baseline_passes_unless_strict(begin: Begin, tmp_path: Path) -> None:
    """Without a baseline, a line says so and the session passes; --edge-strict refuses before anything is measured."""
    folder = write(tmp_path, conftest=POLICY, test_tiny=HELD)
    ended = begin(folder, *OPTIONS, GATE).end()
    assert ended.status == 0, ended.said
    sentence = "threshold peak:16M judged nothing: there is no baseline"
    ended.lines.fnmatch_lines([f"no baseline in {folder / '.edgeload'}, so nothing is compared", sentence])
    strict = begin(folder, *OPTIONS, GATE, "--edge-strict").end()
    assert strict.status == 4, strict.said
    assert strict.running.on_disk == []
    sentence = f"no baseline in {folder / '.edgeload'}, and --edge-strict is given; save one first"
    strict.lines.fnmatch_lines([f"ERROR: --edge-compare-fail: {sentence}"])


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--edge-strict",), 1)], ids=["lenient", "strict"])
def test_new_and_missing_cases_fail_if_strict(
    saved: Ended, begin: Begin, options: tuple[str, ...], status: int
) -> None:
    """A case that the baseline lacks is new, one that was not measured is missing; both fail under --edge-strict."""
    names = ("--edge-policy=linear,bulk", "--edge-mem=none")
    ended = begin(saved.running.folder, *names, GATE, *options).end()
    assert ended.status == status, ended.said
    ended.lines.fnmatch_lines_random(
        [
            "new: bulk at no limit: peak, limit *: the baseline has no such case",
            "missing: mine at no limit: peak, limit *: *not measured now*",
        ]
    )


MARKED = """
import pytest

def hold(mib):
    return len(bytearray(mib << 20))

@pytest.mark.edge_threshold(peak="48M", swap_in="0")
@pytest.mark.parametrize("mib", [1, 64])
def test_case(edge, edge_policy, edge_mem, mib):
    edge.call(hold, mib if edge_policy == "bulk" else 1, memory=edge_mem, name=edge_policy)
"""

TABLE = """
[tool.edgeload.thresholds]
plan_peak = "1M"
ledger_peak = "0.99x bulk"

[tool.edgeload.thresholds."test_tiny.py*linear*"]
plan_peak = "0.99x bulk"
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_threshold_of_a_test_needs_no_baseline(begin: Begin, tmp_path: Path, processes: str) -> None:
    """A threshold of a test holds without a baseline: a test beyond it fails."""
    folder = write(tmp_path, test_tiny=MARKED)
    ended = begin(folder, "--edge-policy=bulk,linear", "--edge-mem=none", "-n", processes, COLUMNS="250").end()
    assert ended.status == 1, ended.said
    ended.lines.fnmatch_lines(
        ["FAILED test_tiny.py::test_case[[]64-none-bulk[]] - regressed: *peak *M, limit peak 48M"]
    )
    assert ended.said.count("FAILED ") == 1


def test_nearest_threshold_counts(begin: Begin, tmp_path: Path) -> None:
    """pyproject.toml has thresholds for all tests and for some; the one nearest to the test counts."""
    folder = write(tmp_path)
    (folder / "pyproject.toml").write_text(TABLE)
    ended = begin(folder, "--edge-policy=bulk,linear", "--edge-mem=none", COLUMNS="250").end()
    assert ended.status == 1, ended.said
    ended.lines.fnmatch_lines(["FAILED test_tiny.py::test_case[[]none-bulk[]] - regressed: *limit plan_peak 1M"])
    assert ended.said.count("FAILED ") == 1
    assert "ledger_peak" not in ended.said, "linear keeps to it, and bulk is not compared with itself"


CALL = """
import pytest

{mark}
def test_case(edge):
    edge.call(sum, range(10))

def test_other():
    pass
"""


@pytest.mark.parametrize(
    ("mark", "options", "sentence"),
    [
        (
            "@pytest.mark.edge_threshold(makespan='2x sum')",
            (),
            "threshold makespan 2x sum judged nothing: no case was measured besides sum itself",
        ),
        ("", (), "--edge-strict judged nothing: no threshold is given, and no test has one"),
        ("", (GATE, "-k", "other"), "threshold peak:16M judged nothing: no test measures"),
    ],
    ids=["itself", "none", "unmeasured"],
)
def test_gate_that_judges_nothing_fails_if_strict(
    begin: Begin, tmp_path: Path, mark: str, options: tuple[str, ...], sentence: str
) -> None:
    """A gate that judged nothing says so, on GitHub as well, and fails under --edge-strict although all tests pass."""
    folder = write(tmp_path, test_tiny=CALL.format(mark=mark))
    ended = begin(folder, "--edge-mem=none", "--edge-strict", "--edge-github", *options).end()
    assert ended.status == 1, ended.said
    ended.lines.fnmatch_lines([sentence, f"::error title=edgeload::{sentence.replace('%', '%25')}", "*passed*"])
    assert "failed" not in ended.said


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        ("plan_peek='1M'", "plan_peek='1M': plan_peek is not a metric; did you mean plan_peak?"),
        ("peak=5", "peak=5: not a text; write a text with a unit, such as peak='600M'"),
        ("'1M'", "edge_threshold: a threshold without a metric; write edge_threshold(peak='600M')"),
        ("makespan='10%'", "makespan='10%': a ceiling cannot be a percentage; try 0.2s or 0.5x bulk"),
    ],
)
def test_refused_marker(bare: pytest.Pytester, mark: str, sentence: str) -> None:
    """A wrong threshold is refused at collection."""
    bare.makepyfile(f"import pytest\n@pytest.mark.edge_threshold({mark})\ndef test_it(edge): pass")
    result = bare.runpytest_subprocess("--strict-markers")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: test_refused_marker.py::test_it*{sentence}"])


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--edge-compare=.", "--edge-compare=.: not a baseline; if it is a test path, *"),
        ("--edge-compare=nix", "--edge-compare: nix: no such baseline in *; choose from first"),
        ("--edge-compare=7", "--edge-compare: 7: no such baseline in *; choose from first"),
        ("--edge-compare=nix.json", "--edge-compare: *nix.json: no such file; *"),
        ("--edge-compare=old.json", "--edge-compare: *old.json: its schema is 1, but this version reads 2; *"),
        ("--edge-compare=bad.json", "--edge-compare: *bad.json: not a file of records (*); *"),
        ("--edge-compare-fail=makespan", "--edge-compare-fail=makespan: 'makespan' is not a threshold; *"),
        ("--edge-save=a/b", "--edge-save=a/b: not a name for a baseline; *"),
        ("--edge-save=12", "--edge-save=12: not a name for a baseline; *"),
        ("--edge-rounds=5-3", "--edge-rounds=5-3: the minimum 5 is above the maximum 3; try 3-5"),
        ("--edge-precision=5%", "--edge-precision=5%: the number of rounds is fixed at 2; try --edge-rounds=3-15"),
    ],
)
def test_wrong_option_ends_the_session_first(saved: Ended, begin: Begin, option: str, sentence: str) -> None:
    """A wrong option ends the session before anything is measured."""
    (saved.running.folder / "old.json").write_text(json.dumps({"schema": 1}))
    (saved.running.folder / "bad.json").write_text("[]")
    ended = begin(saved.running.folder, *TWICE, option).end()
    assert ended.status == 4, ended.said
    assert ended.running.on_disk == []
    ended.lines.fnmatch_lines([f"ERROR: {sentence}"])


def test_optional_rounds_run_until_precise(begin: Begin, project: Path) -> None:
    """Optional rounds are skipped if the figures are precise enough, and all run if they are not."""
    write(project, test_tiny="def test_case(edge):\n    edge.call(sum, range(10_000))\n")
    options = ("--edge-mem=none", "--edge-rounds=2-4")
    ended = begin(project, *options, "--edge-precision=10000%", "-rs").end()
    ended.lines.fnmatch_lines(["SKIPPED * precise enough: *", "*2 passed, 2 skipped*"])
    assert ended.status == 0
    ended = begin(project, *options, "--edge-precision=0.0001%").end()
    ended.lines.fnmatch_lines(["*4 passed*"])
