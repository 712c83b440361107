"""Sessions with open loops, conditional requests, drawn workloads, and tests that judge the records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.sessions import Begin, Ended, write

WORKLOADS = """
from hypothesis import given, seed, settings

from pytest_edgeload import Ask, Condition, Exponential, Mix
from pytest_edgeload.strategies import workloads


def test_a_judge(edge_records):
    assert {record.case.workload for record in edge_records} == {"coming", "asked", "drawn"}
    assert all(m.outcome == "ok" for record in edge_records for m in record.rounds)


def test_coming(edge, edge_policy):
    mix = Mix.of("coming", ["small"], images=3)
    service_s = edge.service_s(mix)
    assert 0 < service_s == edge.service_s(mix)
    coming = mix.in_service_times().arriving(Exponential(2), seed=5).due(1000)
    measured = edge.run(coming, policy=edge_policy)
    assert measured.service_time_s == service_s
    assert measured.arrived_s == tuple(ask.arrival_s * service_s for ask in coming.asks)
    assert measured.deadline_misses == 0
    assert 0 < measured.response_p50_s <= measured.response_p99_s
    assert measured.service["small"].requests == 3


def test_asked(edge, edge_policy):
    never = Condition(0, 1e30)
    mix = Mix("asked", (Ask("small"), Ask("wide", when=never), Ask("small", 1, when=Condition(0, -1e30))))
    measured = edge.run(mix, policy=edge_policy)
    assert (measured.outcome, measured.dropped) == ("ok", (1,))


def test_drawn(edge, edge_policies, edge_examples, edge_seed):
    @seed(edge_seed)
    @settings(max_examples=edge_examples, deadline=None, database=None)
    @given(workloads(["small"], max_requests=3))
    def run(mix):
        for policy in edge_policies:
            assert edge.run(mix, policy=policy).outcome == "ok"

    run()
"""


def _drawn(ended: Ended) -> list[object]:
    return [record.case.requests for record in ended.records if record.case.workload == "drawn"]


@pytest.fixture(scope="module")
def whole(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session of the tests above, under two policies."""
    folder = write(tmp_path_factory.mktemp("workloads"), test_tiny=WORKLOADS)
    return begin(folder, "--edge-policy=masa,bulk", "--edge-examples=2", "--edge-json=out.json", "-v").end()


def test_every_kind_of_workload_runs(whole: Ended) -> None:
    """Open loops, conditions and drawn mixes run, and the test that judges the records runs last."""
    assert whole.status == 0, whole.said
    ran = dict.fromkeys(re.findall(r"test_tiny.py::(\S+)", whole.said))  # a wait for other sessions repeats a name
    assert [*ran].index("test_a_judge") == 5
    assert whole.running.leavings == []


def test_record_has_seed_and_arrival_process(whole: Ended) -> None:
    """The record has the seed and the arrival process; the arrival times are in the measurement."""
    cases = {record.case.policy: record.case for record in whole.records if record.case.workload == "coming"}
    assert set(cases) == {"bulk", "masa"}
    for case in cases.values():
        assert (case.loop, case.arrivals, case.seed) == ("open", "exponential, every 2 service times", 5)
        assert [ask.arrival_s for ask in case.requests] == [0.0] * 3
    coming = {record.rounds[0].arrived_s for record in whole.records if record.case.workload == "coming"}
    assert len(coming) == 1


def test_open_loop_is_compared_by_response_times(whole: Ended) -> None:
    """An open loop is compared by response times, overall and by network; dropped requests are shown."""
    whole.lines.fnmatch_lines(
        [
            "test_tiny.py::test_coming coming at no limit",
            "open loop: exponential, every 2 service times, seed 5",
            "policy *response s *x bulk *p50 *p90 *p99 *slowdown*",
            "network *policy *mean response s *p90 s *",
            "small  *",
        ]
    )
    whole.lines.fnmatch_lines(["conditions: wait", "policy*makespan s*", "*ok; 1 of 3 dropped"])


def test_other_session_has_the_same_cases(whole: Ended, begin: Begin, tmp_path: Path) -> None:
    """A session with the seed of another draws the same workloads; arrivals in service times are the same case."""
    found = re.search(r"seed (\d+)", whole.said)
    assert found is not None
    folder = write(tmp_path, test_tiny=WORKLOADS)
    options = ("-k", "drawn or coming", "--edge-policy=masa,bulk", "--edge-examples=2", "--edge-json=out.json")
    again = begin(folder, *options, f"--edge-seed={found[1]}").end()
    assert again.status == 0, again.said
    assert _drawn(again) == _drawn(whole) != []
    first, second = ({r.case: r.rounds[0] for r in s.records if r.case.workload == "coming"} for s in (whole, again))
    assert first.keys() == second.keys()
    assert all(first[case].service_time_s != second[case].service_time_s for case in first)


def test_seed_is_recorded_and_shown(begin: Begin, tmp_path: Path) -> None:
    """The seed that a session chose is in its file and, if -q hides the header, below the tables."""
    ended = begin(write(tmp_path), "-q", "--edge-policy=bulk", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    assert re.findall(r"\bseed (\d+)", ended.said) == [ended.settings["seed"]]


def test_disabled_service_time_measures_nothing(begin: Begin, tmp_path: Path) -> None:
    """Under --edge-disable, a service time is not measured."""
    code = "def test_it(edge):\n    assert edge.service_s(['small']) == 1.0\n    edge.run(['small'])\n"
    ended = begin(write(tmp_path, test_tiny=code), "--edge-disable").end()
    assert ended.status == 0, ended.said
