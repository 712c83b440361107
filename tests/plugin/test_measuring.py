"""Sessions that measure, from the command line to the tables, the files and the messages of failures."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from pytest_edgeload.plugin.properties import unpack
from pytest_edgeload.sandbox.caps import CAPS, choose
from tests.plugin.sessions import CONFTEST, Begin, Ended, write

CAP, ENFORCED = choose("auto")
needs_cap = pytest.mark.skipif(not ENFORCED.enforces, reason="no memory limit can be enforced on this machine")

# ---- a session in which all goes well --------------------------------------------------------------------------

TELLTALE = """
import sys

def pytest_unconfigure():
    print("torch in pytest:", "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def whole(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session of two policies, two rounds and one limit."""
    folder = write(tmp_path_factory.mktemp("whole"), conftest=CONFTEST + TELLTALE)
    options = ("--edge-policy=linear,bulk", "--edge-mem=base+64M", "--edge-rounds=2", "--edge-json=out.json")
    return begin(folder, *options, "--junitxml=junit.xml").end()


def test_session_shows_header_and_one_table(whole: Ended) -> None:
    """A session passes, its header says what enforces the limit, and it shows one table with the main figures."""
    assert whole.status == 0, whole.said
    enforced = f"enforced by {CAP}" if ENFORCED.enforces else "NOT enforced"
    limit = "base+64M" if ENFORCED.enforces else "base+64M (NOT enforced)"
    whole.lines.fnmatch_lines(
        [
            f"edgeload: memory base+64M {enforced}*swap off*rounds 2, *",
            "collected 4 items",
            "*= edgeload =*",
            f"test_tiny.py::test_case small+wide at {limit}",
            f"cap {CAP}, swap off, reader *, * threads",
            "policy *makespan* x bulk *peak *swap in/out *faults *outcome",
            f"records written to {whole.running.folder / 'out.json'}",
            "*= 4 passed in *",
        ]
    )
    whole.lines.fnmatch_lines_random(["linear *.* *.* *M * 2 ok", "bulk *.* 1.00 *M * 2 ok"])
    assert whole.said.count("x bulk") == 1
    whole.lines.no_fnmatch_line("*not interleaved*")
    assert whole.running.leavings == []


def test_record_has_interleaved_rounds_with_spans(whole: Ended) -> None:
    """The file has each case with its rounds, interleaved as they ran, each with spans and a timeline."""
    first, second = whole.records
    assert (first.case.policy, second.case.policy) == ("linear", "bulk")
    assert first.case.group == second.case.group
    assert first.case.limit == "base+64M"
    in_turns = [m.started for pair in zip(first.rounds, second.rounds, strict=True) for m in pair]
    assert [m.started for m in whole.measurements] == in_turns
    assert [m.round for m in whole.measurements] == [0, 0, 1, 1]
    for m in whole.measurements:
        assert m.outcome == "ok"
        assert m.interleaved
        assert len(m.response_s or ()) == 2
        assert len(m.tasks) == 2 + 3 * 4, "two inits; load, exec and free of four layers"
        assert len(m.timeline.at_s) == len(m.timeline.anon_bytes) > 0
        assert m.plan_peak_bytes == m.ledger_peak_bytes


def test_record_has_the_settings(whole: Ended) -> None:
    """The file has the settings of the session, including those of the environment."""
    expected = {"policy": "linear,bulk", "mem": "base+64M", "rounds": "2", "swap": "off", "timeout": "300s"}
    assert whole.settings.items() >= expected.items()


def test_record_names_project_and_command(whole: Ended) -> None:
    """The file names the project by its folder, and the command line of the session."""
    stored = json.loads((whole.running.folder / "out.json").read_text())
    assert stored["project"] == whole.running.folder.name
    assert stored["command"].startswith("pytest -p no:cacheprovider -p edgeload -p xdist --edge-policy=linear,bulk ")


def test_junit_has_packed_measurements(whole: Ended) -> None:
    """Each test carries its measurement, packed into one property, which JUnit's XML shows."""
    properties = [item.attrib for case in whole.tests.values() for item in case.iter("property")]
    found = [unpack(item["value"]) for item in properties if item["name"] == "edgeload"]
    assert len(found) == 4
    in_turns = sorted((entry.measurement for entry in found), key=lambda m: m.started)
    assert in_turns == [m.summary() for m in whole.measurements]
    assert {entry.file for entry in found} == {entry.file for entry in whole.running.on_disk}


def test_pytest_measures_without_torch(whole: Ended) -> None:
    """The process of pytest measures without importing torch."""
    whole.lines.fnmatch_lines(["torch in pytest: False"])


def test_terminal_xdist_and_cache_are_optional(begin: Begin, project: Path) -> None:
    """Measuring needs neither pytest's terminal nor xdist nor pytest's cache."""
    plugins = ("-p", "no:terminal", "-p", "no:xdist", "-p", "no:cacheprovider")
    ended = begin(project, *plugins, "--edge-policy=bulk", "--edge-json=out.json").end()
    assert (ended.status, ended.said) == (0, "")
    assert [m.outcome for m in ended.measurements] == ["ok"]


def test_limit_of_programs_is_refused_only_by_networks(begin: Begin, tmp_path: Path) -> None:
    """A limit below PyTorch's need is refused by tests of networks, and at once if there are no other tests."""
    program = "def test_it(edge, edge_mem):\n    assert edge.command(['true'], memory=edge_mem).outcome == 'ok'\n"
    folder = write(tmp_path, test_program=program)
    sentence = "*memory limit 24M: the worker needs *M before it holds any weights; try at least *M, or base+64M"
    options = ("--edge-mem=24M", "--edge-policy=bulk")
    mixed = begin(folder, *options).end()
    mixed.lines.fnmatch_lines([sentence, "*= 1 failed, 1 passed in *"])
    alone = begin(folder, "test_tiny.py", *options).end()
    assert alone.status == pytest.ExitCode.USAGE_ERROR
    alone.lines.fnmatch_lines([f"ERROR: {sentence[1:]}"])


# ---- the ways to call edge.run ---------------------------------------------------------------------------------

POLICIES = """
from pytest_edgeload import POLICIES, Builder

def mine(workload, budget):
    return POLICIES["linear"](workload, budget)

def lazy(workload, budget):
    plan = Builder(workload)
    plan.add("init", 0)
    return plan.done()

def buggy(workload, budget):
    return {}["a bug of the policy's own"]

def pytest_edge_policies(register):
    register("mine", mine)
    register("lazy", lazy)
    register("buggy", buggy)
"""

MORE_NETWORKS = """\
    register("gone", "tiny:gone")
    register("nowhere", "no_such_module:gone")
"""

CALLS = """
import pytest
from hypothesis import given, settings, strategies as st
from pytest_edgeload import Mix

def test_names(edge):
    assert edge.run(["small", "wide"], memory="base+64M").outcome == "ok"

def test_mix(edge):
    assert len(edge.run(Mix.of("my mix", ["small"], images=3), policy="mine").response_s) == 3

@settings(max_examples=2, deadline=None)
@given(images=st.integers(1, 3))
def test_given(edge, images):
    assert edge.run(Mix.of("drawn", ["small"], images=images)).outcome == "ok"

@pytest.mark.parametrize("kind", ["a", "b"])
def test_own(edge, kind):
    edge.run(["small"])

def test_assertion(edge):
    assert edge.run(["small"]).outcome == "oom"

def test_lazy(edge):
    edge.run(["small"], policy="lazy")

def test_buggy(edge):
    edge.run(["small"], policy="buggy")

def test_policy(edge):
    edge.run(["small"], policy="linaer")

def test_reader(edge):
    edge.run(["small"], reader="raed")

def test_network(edge):
    edge.run(["smal"])

def test_size(edge):
    edge.run(["small"], memory="512MB")

def test_idle(edge):
    edge.run(["small"], memory="32M")

def test_gone(edge):
    edge.run(["gone"])

def test_nowhere(edge):
    edge.run(["nowhere"])

@pytest.fixture
def measured(edge):
    return edge.run(["small"])

def test_fixture(measured):
    assert measured.outcome == "ok"
"""

LATE = """
def test_late(request):
    assert request.getfixturevalue("edge").run(["small"]).outcome == "ok"
"""

SENTENCES = {
    "test_lazy": "InvalidPlan: *the plan lacks 1 exec of request 0, layer 0",
    "test_policy": "UsageError: policy=linaer: unknown; did you mean linear?",
    "test_reader": "UsageError: reader=raed: unknown; did you mean read?",
    "test_network": "UnknownNetwork: network 'smal': not registered; did you mean small?",
    "test_size": "UsageError: memory='512MB': *write 512M*",
    "test_idle": "UsageError: memory limit 32M: the worker needs *M before it *; try at least *M, or base+64M",
    "test_gone": "PreparationFailed: network gone (tiny:gone) could not be made: *no attribute 'gone'",
    "test_nowhere": "PreparationFailed: network nowhere: *'no_such_module'*; check sys.path",
}
"""The message of each test with a wrong call."""


@pytest.fixture(scope="module")
def calls(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session of tests that call `edge.run` in every way, right and wrong."""
    folder = tmp_path_factory.mktemp("calls")
    write(folder, conftest=CONFTEST + MORE_NETWORKS + POLICIES, test_calls=CALLS)
    return begin(folder, "test_calls.py", "--edge-json=out.json", "--junitxml=junit.xml").end()


def measured_in(ended: Ended) -> set[str]:
    """Return the names of the tests that measured something."""
    return {record.case.test.partition("::")[2] for record in ended.records}


def test_every_call_is_a_measurement(calls: Ended) -> None:
    """Names, mixes, limits as text, policies of a conftest and fixtures all work, and each call is a measurement."""
    passed = {name.partition("[")[0] for name, case in calls.tests.items() if case.find("failure") is None}
    assert passed == {"test_names", "test_mix", "test_given", "test_own", "test_fixture"}, calls.said
    found = {(r.case.test.partition("::")[2], r.case.workload, r.case.policy, r.case.limit) for r in calls.records}
    assert found >= {
        ("test_names", "small+wide", "bulk", "base+64M"),
        ("test_mix", "my mix", "mine", None),
        ("test_fixture", "small", "bulk", None),
    }


def test_given_measures_each_example(calls: Ended) -> None:
    """A test under hypothesis' @given has a measurement for each example, and passes its health checks."""
    properties = [item for item in calls.tests["test_given"].iter("property") if item.attrib["name"] == "edgeload"]
    assert len(properties) == 2
    assert sum(len(record.rounds) for record in calls.records if record.case.workload == "drawn") == 2


@pytest.mark.parametrize("test", ["test_given", "test_own"])
def test_requests_and_parameters_make_cases(calls: Ended, test: str) -> None:
    """Workloads of one name with other requests, and other parameters of a test, are separate cases."""
    assert [len(record.rounds) for record in calls.records if f"::{test}" in record.case.test] == [1, 1]


def test_measurement_before_a_failed_assertion_is_recorded(calls: Ended) -> None:
    """A measurement before a failed assertion is in the records as well."""
    assert calls.status == pytest.ExitCode.TESTS_FAILED
    [record] = [r for r in calls.records if r.case.test.endswith("::test_assertion")]
    assert [m.outcome for m in record.rounds] == ["ok"]


@pytest.mark.parametrize("name", SENTENCES)
def test_wrong_call_fails_at_its_own_line(calls: Ended, name: str) -> None:
    """A wrong call fails its test with one sentence and a hint, at the line of the call."""
    failure = calls.failure(name)
    pytest.LineMatcher([failure.attrib["message"]]).fnmatch_lines([f"*{SENTENCES[name]}"])
    assert "pytest_edgeload/" not in str(failure.text), "no frame of ours"
    assert "test_calls.py:" in str(failure.text)
    assert name not in measured_in(calls)


def test_bug_in_a_policy_shows_its_line(calls: Ended) -> None:
    """An exception in a user's policy shows the line of the policy that raised it."""
    assert 'return {}["a bug of the policy\'s own"]' in str(calls.failure("test_buggy").text)


@pytest.mark.parametrize("processes", ["-n0", "-n1"])
def test_fixture_requested_at_run_time_measures(begin: Begin, project: Path, processes: str) -> None:
    """A test that requests the fixture only while it runs measures like any other, or gets a usage error."""
    write(project, test_tiny=LATE)
    ended = begin(project, processes, "--edge-json=out.json", "--junitxml=junit.xml").end()
    if ended.status == 0:
        assert measured_in(ended) == {"test_late"}
    else:
        assert "UsageError: " in ended.failure("test_late").attrib["message"]


# ---- reads held back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["-n0", "-n1"])
def test_read_rate_is_enforced_and_shown(begin: Begin, project: Path, throttling: str, processes: str) -> None:
    """Header, title and record show the read rate, the worker keeps to it, and no group is left."""
    ended = begin(project, throttling, processes, "--edge-policy=bulk", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(
        ["edgeload: memory none *swap off, reads at 20M/s, threads *", "cap *, swap off, *threads, reads at 20M/s"]
    )
    [record], [m] = ended.records, ended.measurements
    assert record.case.constraints.read_bps == 20 << 20
    assert m.read_bytes is not None
    assert m.makespan_s is not None
    assert m.read_bytes > 30 << 20
    assert m.read_bytes / m.makespan_s < 1.25 * (20 << 20)
    assert ended.running.leavings == []


def test_read_rate_needs_a_disk(begin: Begin, project: Path, throttling: str) -> None:
    """A cache that is not on a disk is refused if reads should be throttled, before any test runs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as cache:
        ended = begin(project, throttling, PYTEST_EDGE_CACHE_DIR=cache).end()
    hint = "name a folder on a disk with --edge-cache-dir, or leave it out"
    assert_refused(ended, f"{throttling}: {cache} is not on a disk that can be throttled *; {hint}")


# ---- what no run can beat ---------------------------------------------------------------------------------------

BOUNDED = """
from pytest_edgeload import Constant, Mix

def test_case(edge, edge_policy, edge_mem):
    edge.run(["wide"], policy=edge_policy, memory=edge_mem)

def test_over_time(edge):
    edge.run(Mix.of("coming", ["small"], images=2).arriving(Constant(0.1)))
"""


def test_bound_is_shown_and_recorded(begin: Begin, project: Path) -> None:
    """With --edge-bound, a line, a column and the record have the bound, except for open loops."""
    write(project, test_tiny=BOUNDED)
    ended = begin(project, "--edge-bound", "--edge-policy=bulk,linear", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(
        [
            "cap *, reader *, * threads",
            "bound 0.* s: reading *M takes 0.* s, computing 0.* s",
            "policy *makespan s *x bulk *x bound *peak *",
        ]
    )
    assert ended.said.count("x bound") == 1
    bounds = {
        (record.case.loop, m.bound_s, m.bound_read_s, m.bound_compute_s, m.bound_read_bytes)
        for record in ended.records
        for m in record.rounds
    }
    open_loop, (loop, bound_s, read_s, compute_s, read_bytes) = sorted(bounds, key=lambda found: found[0] == "once")
    assert open_loop == ("open", None, None, None, None)
    assert (loop, bound_s) == ("once", max(read_s or 0, compute_s or 0))
    assert read_bytes is not None
    assert 28 << 20 < read_bytes < 30 << 20


def test_bound_is_off_by_default(whole: Ended) -> None:
    """Without --edge-bound, no output mentions a bound."""
    assert "bound" not in whole.said
    assert [m.bound_s for m in whole.measurements] == [None] * 4


# ---- disabled, out of memory, damaged --------------------------------------------------------------------------

TWO_ANSWERS = """
def test_case(edge, edge_policy, edge_mem):
    measurement = edge.run(["small", "wide"], policy=edge_policy, memory=edge_mem)
    assert len(measurement.response_s) == (1 if edge.disabled else 2)
"""


def test_disable_runs_each_case_once_without_a_record(begin: Begin, project: Path) -> None:
    """--edge-disable runs the first request of every case once without a limit, says so, and records nothing."""
    write(project, test_tiny=TWO_ANSWERS)
    options = ("--edge-rounds=3", "--edge-mem=1M", "--edge-read-bw=1M", "--edge-policy=bulk", "--edge-json=out.json")
    ended = begin(project, "--edge-disable", *options).end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["edgeload: disabled*is recorded, seed *", "collected 1 item", "*= 1 passed in *"])
    ended.lines.no_fnmatch_line("*= edgeload =*")
    assert not (project / "out.json").exists()
    assert ended.running.on_disk == []


def test_enable_overrules_disable(begin: Begin, project: Path) -> None:
    """--edge-enable overrules --edge-disable of an ini file, and `edge.disabled` is false."""
    (project / "pytest.ini").write_text("[pytest]\nedge_disable = true\naddopts = --edge-disable\n")
    write(project, test_tiny=TWO_ANSWERS)
    ended = begin(project, "--edge-enable", "--edge-policy=bulk", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    assert [m.outcome for m in ended.measurements] == ["ok"]


MANY = """
from pytest_edgeload import Mix

def test_many(edge, edge_policy, edge_mem):
    edge.run(Mix.of("many", ["wide"], images=6), policy=edge_policy, memory=edge_mem)
"""


@needs_cap
def test_killed_worker_is_a_row(begin: Begin, project: Path) -> None:
    """A worker that is killed for memory is a row of the table, a sentence below it and a record; pytest goes on."""
    write(project, test_tiny=MANY)
    options = ("--edge-mem=base+20M", "--edge-policy=bulk-unchained,linear", "--edge-json=out.json")
    ended = begin(project, *options).end()
    assert ended.status == 0, ended.said
    [killed], [survivor] = (record.rounds for record in ended.records)
    assert (killed.outcome, survivor.outcome) == ("oom", "ok")
    assert "limit" in killed.detail
    sentence = f"bulk-unchained*oom: {killed.detail}"
    ended.lines.fnmatch_lines_random(["bulk-unchained * - * oom", "linear *.* ok", sentence])
    assert ended.running.leavings == []


def test_damaged_network_is_refused(begin: Begin, project: Path, prepared: Path) -> None:
    """A stored file that was truncated or changed is named with a hint, and nothing runs."""
    cache = project / "cache"
    shutil.copytree(prepared, cache, ignore=shutil.ignore_patterns("sessions"))
    damaged: dict[str, Path] = {}
    for graph in cache.glob("networks/*/graph.json"):
        name = json.loads(graph.read_bytes())["name"]
        damaged[name] = graph.with_name("weights.safetensors" if name == "small" else "samples.safetensors")
    os.truncate(damaged["small"], 100_000)
    content = bytearray(damaged["wide"].read_bytes())
    content[-1] ^= 1
    damaged["wide"].write_bytes(content)
    write(project, test_tiny="".join(f"def test_{name}(edge):\n    edge.run(['{name}'])\n" for name in damaged))
    ended = begin(project, "--junitxml=junit.xml", PYTEST_EDGE_CACHE_DIR=str(cache)).end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    for name, path in damaged.items():
        message = ended.failure(f"test_{name}").attrib["message"]
        assert f"{path} is damaged" in message
        assert f"delete the folder {path.parent}, and it is made again" in message
    assert ended.running.on_disk == []


# ---- what cannot be had is said before any test runs -----------------------------------------------------------

TWICE = '    register("small", "tiny:wide")\n'
NO_FACTORY = '    register("third", "tiny.third")\n'
TWO_POLICIES = """
def pytest_edge_policies(register):
    register("bulk", lambda workload, budget: None)
"""


@pytest.mark.parametrize(
    ("conftest", "options", "sentence"),
    [
        ("", "--edge-mem=1G,100M", "memory limit 100M: the worker needs *M before it *; try at least *M, or base+64M"),
        ("", "--edge-json=/proc/out.json", "--edge-json=/proc/out.json: *; *"),
        ("", "--edge-swap=100T", "--edge-swap=100T: *; *"),
        (
            "",
            "--edge-cap=none --edge-read-bw=90M",
            "--edge-cap=none: *throttles no reads; try --edge-cap=auto, or leave --edge-read-bw out",
        ),
        ("", "--edge-cache-dir=/proc/cache", "*/proc/cache*; *--edge-cache-dir"),
        ("", "--edge-cache-dir=/proc/cache -n2", "*/proc/cache*; *--edge-cache-dir"),
        (TWICE, "", "network small: registered twice, as tiny:small and as tiny:wide; rename one"),
        (NO_FACTORY, "", "network third: factory 'tiny.third': not of the form 'module:function'"),
        (TWO_POLICIES, "", "policy bulk: registered twice; give the second another name"),
    ],
    ids=[
        "mem",
        "json",
        "swap",
        "read-bw",
        "cache-dir",
        "cache-dir-xdist",
        "network-twice",
        "factory",
        "policy-twice",
    ],
)
def test_refused_session_ends_before_any_test(
    begin: Begin, project: Path, conftest: str, options: str, sentence: str
) -> None:
    """A session that cannot measure ends with one sentence and the status of a usage error before any test runs."""
    write(project, conftest=CONFTEST + conftest)
    assert_refused(begin(project, *options.split()).end(), sentence)


def test_limit_below_the_idle_worker_fails_each_test_under_xdist(begin: Begin, project: Path) -> None:
    """Under xdist, where no process knows all tests, a limit that is too small fails each test with the sentence."""
    ended = begin(project, "--edge-mem=base+1M", "--edge-policy=bulk", "-n1").end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    ended.lines.fnmatch_lines(["E *memory limit base+1M: the worker needs *M before it *; try at least *M, or *"])
    assert ended.running.leavings == []


def assert_refused(ended: Ended, sentence: str) -> None:
    """Assert that the session ended with this sentence, without a test, a traceback or anything left behind."""
    assert ended.status == pytest.ExitCode.USAGE_ERROR, ended.said
    ended.lines.fnmatch_lines([f"ERROR: {sentence}"])
    for words in ("Traceback", "INTERNALERROR", "passed"):
        assert words not in ended.said
    assert ended.running.leavings == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [pytest.param(name, why, id=name) for name, cap in CAPS.items() if (why := cap.unavailable()) is not None],
)
def test_unavailable_cap_is_refused(begin: Begin, project: Path, name: str, reason: str) -> None:
    """A cap that this machine lacks is refused with the reason, before anything is collected."""
    ended = begin(project, f"--edge-cap={name}", "-q").end()
    assert_refused(ended, f"--edge-cap={name}: {reason}; try --edge-cap=auto")
    ended.lines.no_fnmatch_line("*collected*")
