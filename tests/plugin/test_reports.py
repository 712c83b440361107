"""Reports of real sessions: files, GitHub's annotations, JUnit's properties, quiet sessions, and colours."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tests.plugin.sessions import CONFTEST, Begin, Ended, write

POLICIES = """
import os
from pytest_edgeload.policies import POLICIES

def pytest_edge_policies(register):
    for name in ("mine", "theirs"):
        register(name, POLICIES[os.environ[name.upper()]])
"""
"""Two policies. A variable switches each from one layer in memory to all layers, or back."""

BEFORE = {"MINE": "linear", "THEIRS": "bulk-unchained"}
AFTER = {"MINE": "bulk-unchained", "THEIRS": "linear"}
OPTIONS = ("--edge-policy=mine,theirs", "--edge-mem=none")
GATE = "--edge-compare-fail=plan_peak:10%"
FILES = ("--edge-json=out.json", "--edge-csv=out.csv", "--edge-md=out.md", "--edge-export=bmf:bmf.json,gab:gab.json")


@pytest.fixture(scope="module")
def project_with_baseline(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a baseline in which one policy held few weights and the other many."""
    folder = write(tmp_path_factory.mktemp("reports"), conftest=CONFTEST + POLICIES)
    ended = begin(folder, *OPTIONS, "--edge-save=first", **BEFORE).end()
    assert ended.status == 0, ended.said
    return folder


@pytest.fixture(scope="module", params=["0", "2"], ids=["alone", "xdist"])
def told(request: pytest.FixtureRequest, begin: Begin, project_with_baseline: Path) -> Ended:
    """Return a session on GitHub in which one policy is worse and the other better, with and without xdist."""
    folder = project_with_baseline
    summary = folder / "summary.md"
    summary.write_text("# What came before\n", encoding="utf-8")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_WORKSPACE": str(folder.parent)}
    options = (*OPTIONS, GATE, *FILES, "-n", request.param, "--junitxml=junit.xml")
    return begin(folder, *options, COLUMNS="250", **AFTER, **github).end()


def test_annotations_name_file_and_line(told: Ended) -> None:
    """Each failure is one error on its own line, with the test's file and line, and each improvement one notice."""
    assert told.status == 1, told.said
    name = told.running.folder.name
    lines = [line for line in told.said.splitlines() if "::error" in line or "::notice" in line]
    assert len(lines) == 2, told.said
    pytest.LineMatcher(lines).fnmatch_lines(
        [
            f"::error file={name}/test_tiny.py,line=1,title=regressed%3A mine%2C small+wide at no limit*::plan_peak *",
            f"::notice file={name}/test_tiny.py,line=1,title=improved%3A theirs%2C *::plan_peak *",
        ]
    )


def test_summary_of_the_job_gets_the_markdown(told: Ended) -> None:
    """The Markdown is appended to the job's summary."""
    markdown = (told.running.folder / "out.md").read_text(encoding="utf-8")
    assert re.match("### edgeload: 1 (regressed|improved), 1 (regressed|improved)\n", markdown)
    assert (told.running.folder / "summary.md").read_text(encoding="utf-8") == f"# What came before\n{markdown}"


def test_every_file_is_written_and_named(told: Ended) -> None:
    """Every file of the options is written at the end, has the measurements, and is named in the summary."""
    folder = told.running.folder
    rows = list(csv.DictReader(io.StringIO((folder / "out.csv").read_text(encoding="utf-8"), newline="")))
    assert sorted(float(row["makespan_s"]) for row in rows) == sorted(m.makespan_s or 0.0 for m in told.measurements)
    benchmarks = json.loads((folder / "bmf.json").read_text(encoding="utf-8"))
    assert [name.partition(",")[0] for name in benchmarks] == [record.case.policy for record in told.records]
    assert {entry["name"].partition(",")[0] for entry in json.loads((folder / "gab.json").read_text())} == {
        "mine", "theirs",
    }  # fmt: skip
    told.lines.fnmatch_lines(
        [
            f"{name} written to {folder / file}"
            for name, file in (
                ("records", "out.json"),
                ("csv", "out.csv"),
                ("markdown", "out.md"),
                ("bmf", "bmf.json"),
                ("gab", "gab.json"),
            )
        ]
    )
    assert not list(folder.glob("*.part"))


def test_junit_has_every_metric(told: Ended) -> None:
    """In JUnit's XML each test has its case and every metric by name as properties."""
    found = []
    for case in told.tests.values():
        properties = {item.attrib["name"]: item.attrib["value"] for item in case.iter("property")}
        assert properties["edgeload.workload"] == "small+wide"
        assert properties["edgeload.outcome"] == "ok"
        assert int(properties["edgeload.peak_bytes"]) > 0
        found.append((properties["edgeload.policy"], float(properties["edgeload.makespan_s"])))
    known = [(record.case.policy, m.makespan_s) for record in told.records for m in record.rounds]
    assert sorted(found) == sorted(known)


def test_quiet_session_shows_only_regressions(begin: Begin, project_with_baseline: Path) -> None:
    """A quiet session shows regressions and no table; --edge-github=no writes nothing for GitHub."""
    summary = project_with_baseline / "untouched.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ended = begin(project_with_baseline, *OPTIONS, GATE, "--edge-quiet", "--edge-github=no", **AFTER, **github).end()
    assert ended.status == 1, ended.said
    ended.lines.fnmatch_lines(["*= edgeload =*", "regressed: mine, *", "FAILED test_tiny.py::test_case*"])
    assert "makespan s" not in ended.said
    assert "::error" not in ended.said
    assert not summary.exists()


TWICE = """
from pytest_edgeload import Mix

MANY = Mix.of("many", ["wide"], images=6)

def test_twice(edge):
    edge.run(["small"])
    edge.run(MANY, policy="bulk-unchained", memory="base+20M")
    assert False
"""


def test_quiet_session_shows_failed_runs(begin: Begin, project: Path) -> None:
    """A quiet session shows failed runs; -x leaves files; JUnit's XML numbers the runs of a test."""
    write(project, test_tiny=TWICE)
    options = ("--edge-quiet", "-x", "--edge-csv=out.csv", "--junitxml=junit.xml", "--edge-mem=none")
    ended = begin(project, *options).end()
    assert ended.status == 1, ended.said
    if "NOT enforced" not in ended.said:
        ended.lines.fnmatch_lines(["*= edgeload =*", "bulk-unchained, many at base+20M, round 0: oom: *"])
    assert len((project / "out.csv").read_text(encoding="utf-8").splitlines()) == 3
    properties = {item.attrib["name"]: item.attrib["value"] for item in ended.tests["test_twice"].iter("property")}
    assert (properties["edgeload.workload"], properties["edgeload.2.workload"]) == ("small", "many")


def test_tables_follow_the_options_and_never_wrap(begin: Begin, project: Path) -> None:
    """Tables have the columns, rows and order of the options, colours if the terminal has them, and never wrap."""
    view = ("--edge-columns=ratio,min,peak,outcome", "--edge-sort=policy", "--edge-group-by=limit")
    options = ("--edge-policy=linear,bulk", "--edge-mem=none", "--color=yes", *view)
    ended = begin(project, *options, COLUMNS="72", PY_COLORS="1").end()
    assert ended.status == 0, ended.said
    assert "\033[32;1m" in ended.said
    plain = re.sub(r"\033\[[\d;]*m", "", ended.said).splitlines()
    start = next(number for number, line in enumerate(plain) if re.fullmatch("=+ edgeload =+", line))
    section = [line for line in plain[start:] if line][:6]
    assert section[1] == "limit none"
    assert section[2].split() == ["policy", "x", "bulk", "(1", "round)", "makespan.min", "s", "peak", "outcome"]
    assert [line.split()[0] for line in section[4:6]] == ["bulk", "linear"]
    assert max(map(len, section)) <= 72


def test_no_colours_without_a_terminal(told: Ended) -> None:
    """Without a terminal that has colours there are none."""
    assert "\033" not in told.said
