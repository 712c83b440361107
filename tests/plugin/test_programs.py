"""Peers in sessions: named, measured and shown like policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.peers import PEERS
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.sandbox.caps import choose
from tests.plugin.sessions import CONFTEST, Begin, Ended, write

REGISTERED = """
def pytest_edge_peers(register):
    register("plain", "my_peers:plain")
    register("saved", "my_peers:saved", prepare="my_converters:save")
    register("wrong", "my_peers:wrong")
    register("greedy", "my_peers:greedy")
    register("killed", "my_peers:killed")
"""

MY_CONVERTERS = """
import torch

def save(module, samples, folder):
    torch.save(module, folder / "module.pt")
"""

MY_PEERS = """
import os, signal
import torch
import tiny
from pytest_edgeload.engine.program import network_by_network

def made(weights):
    return tiny.small if os.path.getsize(weights[0]) < 8 << 20 else tiny.wide

def first(make):
    return lambda: make()[0]

def plain(job):
    return network_by_network(job, lambda network: first(made(network.weights)))

def saved(job):
    return network_by_network(
        job, lambda network: lambda: torch.load(network.files / "module.pt", weights_only=False)
    )

def wrong(job):
    answer = plain(job)
    return lambda: {r: [output + 1 for output in outputs] for r, outputs in answer().items()}

def greedy(job):
    def answer():
        held = [torch.ones(8 << 20) for _ in range(64)]
        return {}
    return answer

def killed(job):
    return lambda: os.kill(os.getpid(), signal.SIGSEGV)
"""

TEST = """
import pytest
from pytest_edgeload import Ask, Condition, Constant, Mix

def test_outcome(edge, edge_policy, edge_mem):
    assert edge.run(["small", "wide", "small"], policy=edge_policy, memory=edge_mem).outcome == "ok"

def test_over_time(edge):
    edge.run(Mix.of("mix", ["small"], images=2).arriving(Constant(0.1)), policy="plain")

def test_condition(edge):
    edge.run(Mix("mix", (Ask("small"), Ask("wide", when=Condition(0, 0.5)))), policy="plain")

def test_unknown(edge):
    edge.run(["small"], policy="plane")
"""

_, ENFORCED = choose("auto")


@pytest.fixture(scope="module")
def session(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session that runs a policy and all peers."""
    folder = tmp_path_factory.mktemp("peers")
    write(folder, conftest=CONFTEST + REGISTERED, my_peers=MY_PEERS, my_converters=MY_CONVERTERS, test_tiny=TEST)
    options = ("--edge-policy=bulk,plain,saved,wrong,greedy,killed", "--edge-mem=base+256M", "--edge-rounds=1")
    return begin(folder, *options, "--edge-json=out.json", "--junitxml=junit.xml").end()


def test_peers_are_compared_with_policies(session: Ended) -> None:
    """Peers and policies are one comparison group; every end of a program is an outcome with a reason."""
    assert len({record.case.group for record in session.records}) == 1
    found = {record.case.policy: record.rounds[0] for record in session.records}
    assert {name: m.outcome for name, m in found.items()} == {
        "bulk": "ok",
        "plain": "ok",
        "saved": "ok",
        "wrong": "wrong",
        "greedy": "oom" if ENFORCED.enforces else "wrong",
        "killed": "crashed",
    }, session.said
    assert found["wrong"].detail.startswith("request 0 differs from plain PyTorch by ")
    assert found["killed"].detail.startswith("the worker was ended by signal 11")


def test_peer_has_the_figures_seen_from_outside(session: Ended) -> None:
    """A peer has the figures that are seen from outside, and none of the figures of a plan."""
    found = {record.case.policy: record.rounds[0] for record in session.records}
    bulk, plain = ({name for name in METRICS if getattr(found[p], name) is not None} for p in ("bulk", "plain"))
    assert {"makespan_s", "peak_bytes", "baseline_bytes", "cpu_s", "output_error"} <= plain
    assert bulk - plain >= {"load_s", "exec_s", "wait_s", "ledger_peak_bytes", "plan_peak_bytes", "response_s"}
    assert (found["plain"].tasks, found["plain"].arrived_s) == ((), ())


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        (
            "test_over_time",
            "*peer plain, workload mix: a peer cannot answer requests that arrive over time; run it under a policy",
        ),
        (
            "test_condition",
            "*peer plain, workload mix: a peer cannot answer requests with a condition; run it under a policy",
        ),
        ("test_unknown", "*policy=plane: unknown; did you mean plain?"),
    ],
)
def test_wrong_peer_call_is_one_sentence(session: Ended, test: str, sentence: str) -> None:
    """A workload that a peer cannot answer, and an unknown name, are one sentence with a hint."""
    pytest.LineMatcher([session.failure(test).attrib["message"]]).fnmatch_lines([sentence])


def test_all_excludes_peers(bare: pytest.Pytester) -> None:
    """`all` means policies only; `edge_peer` has the given policies and then all peers, without duplicates."""
    bare.makeconftest(REGISTERED)
    bare.makepyfile("def test_it(edge, edge_policy): pass\ndef test_all(edge, edge_peer): pass")
    given = bare.runpytest_subprocess("--collect-only", "-q", "--edge-policy=saved,linear").outlines
    assert given[:2] == ["test_all_excludes_peers.py::test_it[saved]", "test_all_excludes_peers.py::test_it[linear]"]
    every_peer = [*PEERS, "plain", "wrong", "greedy", "killed"]
    names = ["saved", "linear", *every_peer]
    assert given[2 : 2 + len(names)] == [f"test_all_excludes_peers.py::test_all[{name}]" for name in names]
    every = bare.runpytest_subprocess("--collect-only", "-q", "--edge-policy=all").outlines
    assert "test_all_excludes_peers.py::test_it[bulk]" in every
    assert "test_all_excludes_peers.py::test_it[plain]" not in every


TESTS = """
def test_it(edge, edge_policy): pass
def test_both(edge, edge_peer): pass
def test_loop(edge, edge_policies): print(*edge_policies)
"""


def test_peer_option_adds_peers_to_the_policies(bare: pytest.Pytester) -> None:
    """--edge-peer adds its peers to the policies of every test, in a project that registers nothing."""
    bare.makepyfile(test_a=TESTS)
    lines = bare.runpytest_subprocess("--collect-only", "-q", "--edge-policy=linear", "--edge-peer=torch-load").outlines
    assert lines[:5] == [
        "test_a.py::test_it[linear]", "test_a.py::test_it[torch-load]",
        "test_a.py::test_both[linear]", "test_a.py::test_both[torch-load]",
        "test_a.py::test_loop",
    ]  # fmt: skip


ABSENT = """
import sys
from importlib import metadata

import pytest_edgeload.peers as peers
from pytest_edgeload.peers.peer import Peer

peers.PEERS["rival"] = Peer("m:f", "m:g", "no-such-package")
"""
REASON = "the package no-such-package is not installed; try pip install 'pytest-edgeload[[]peers]'"


def test_peer_without_its_package_is_refused_by_name_and_skipped_in_all(bare: pytest.Pytester) -> None:
    """A named peer whose package is missing ends the session in one sentence; as a part of all it is skipped."""
    bare.makeconftest(ABSENT)
    bare.makepyfile(test_a="def test_it(edge_peer): pass\ndef test_named(edge): edge.run(['net'], policy='rival')")
    named = bare.runpytest_subprocess("--edge-peer=rival")
    assert named.ret == pytest.ExitCode.USAGE_ERROR
    named.stderr.fnmatch_lines([f"ERROR: --edge-peer=rival: {REASON}"])
    unknown = bare.runpytest_subprocess("--edge-peer=torch-lode")
    unknown.stderr.fnmatch_lines(["ERROR: --edge-peer=torch-lode: unknown, also to *; did you mean torch-load?"])
    skipped = bare.runpytest_subprocess("--edge-peer=all", "-k", "rival", "-rs")
    skipped.stdout.fnmatch_lines([f"SKIPPED * peer rival: {REASON}"])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('register("bulk", "my_peers:plain")', "peer bulk: a policy has the same name; give the peer another name"),
        (
            'register("more", "my_peers.plain")',
            "peer more: program 'my_peers.plain': not of the form 'module:function'",
        ),
    ],
)
def test_wrong_peer_ends_the_session_first(begin: Begin, project: Path, line: str, sentence: str) -> None:
    """A wrong peer is one sentence and the status of a usage error, before any test runs."""
    write(project, conftest=f"{CONFTEST}{REGISTERED}    {line}\n")
    ended = begin(project).end()
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert sentence in ended.said
    assert "Traceback" not in ended.said
