"""Sessions in virtual time: what is shown and written, what is skipped, and that a baseline never mixes with it."""

from __future__ import annotations

import msgspec
import pytest

from pytest_edgeload.results.finding import identity
from tests.plugin.sessions import Begin, Ended, write

TEST = """\
from pytest_edgeload import Ask, Condition, Mix

def test_pair(edge, edge_policy, edge_mem, edge_store):
    run = edge.run(["small", "wide"], policy=edge_policy, memory=edge_mem, store=edge_store)
    assert run.outcome == "ok"
    assert run.makespan_s > 0

def test_conditions(edge):
    always, never = Condition(0, -1e9), Condition(0, 1e9)
    mix = Mix("conditional", (Ask("small"), Ask("small", when=always), Ask("small", when=never)))
    assert edge.run(mix, policy="linear").dropped == (2,)

def test_peer(edge):
    edge.run(["small"], policy="torch-load")

def test_function(edge):
    edge.call(len, "abc")

def test_service_time(edge):
    assert edge.service_s(["small"]) > 0
"""


@pytest.fixture(scope="module")
def ended(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Simulate a session of each kind of test."""
    project = write(tmp_path_factory.mktemp("project"), test_tiny=TEST)
    files = [f"--edge-{kind}=out.{kind}" for kind in ("json", "csv", "md", "html", "trace")]
    options = (
        "--edge-simulate",
        "--edge-policy=bulk,stream",
        "--edge-mem=512M",
        "--edge-store=plain",
        "--edge-save=one",
    )
    return begin(project, *options, "--edge-storage=saved", *files, "-rs").end()


def test_programs_and_peers_are_skipped(ended: Ended) -> None:
    """Each skip has one sentence; everything else passes, with one round."""
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines([
        "edgeload: memory 512M, simulated: no worker starts and nothing is measured, seed *",
        "SKIPPED * peer torch-load cannot be simulated",
        "SKIPPED * edge.call runs a program, which cannot be simulated",
        "*= 4 passed, 2 skipped in *",
    ])  # fmt: skip


def test_every_table_and_file_says_simulated(ended: Ended) -> None:
    """The title of a table has the word, and so has each file."""
    ended.lines.fnmatch_lines([
        "test_tiny.py::test_pair small+wide at 512M, simulated",
        "cap simulated, swap off, reader direct, * threads",
        "makespan by policy, small+wide at 512M, simulated",
    ])  # fmt: skip
    for kind in ("json", "csv", "md", "html", "trace"):
        assert "simulated" in (ended.running.folder / f"out.{kind}").read_text(), kind


def test_a_record_has_the_cap_simulated_and_the_metrics_of_a_run(ended: Ended) -> None:
    """A policy's response times, peak and tasks are there."""
    for record in ended.records:
        assert record.case.is_simulated
        [run] = record.rounds
        assert run.tasks
        assert run.response_mean_s
        assert run.peak_bytes


def test_a_simulated_case_is_never_paired_with_a_measured_one(ended: Ended) -> None:
    """The identity of a case, by which a baseline finds it, and its group differ."""
    for record in ended.records:
        case = record.case
        measured = msgspec.structs.replace(case, cap="cgroup2")
        assert identity(case) != identity(measured)
        assert case.group != measured.group
        assert identity(measured) == identity(msgspec.structs.replace(case, cap="cgroup1"))
