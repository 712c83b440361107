"""Compressed weights as a dimension of a session: parameters, outputs, records, and what is refused."""

from __future__ import annotations

import pytest

from tests.plugin.sessions import Begin, Ended, write

TEST = """\
def test_network(edge, edge_reader, edge_store):
    measured = edge.run(["small"], policy="stream", reader=edge_reader, store=edge_store)
    assert measured.outcome == "ok", measured.detail

def test_read(edge):
    assert edge.run(["small"], reader="read", store="compressed").outcome == "ok"

def test_mapped(edge):
    edge.run(["small"], reader="mmap", store="compressed")

def test_form(edge):
    edge.run(["small"], store="zip")

def test_peer(edge):
    edge.run(["small"], policy="torch-load", store="compressed")
"""
REFUSALS = [
    "E *UsageError: reader mmap: compressed weights cannot be mapped; choose read or direct",
    "E *UsageError: store='zip': not a form of weights; choose from plain, compressed",
    "E *UsageError: peer torch-load: it reads files of its own, which are not compressed; choose --edge-store=plain",
]


@pytest.fixture(scope="module")
def ended(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Run a session with both forms of weights."""
    project = write(tmp_path_factory.mktemp("project"), test_tiny=TEST)
    options = ("--edge-store=plain,compressed", "--edge-reader=direct,mmap", "--edge-mem=none", "--edge-json=out.json")
    return begin(project, *options, "--edge-group-by=workload", "-ra").end()


def test_networks_run_in_both_forms(ended: Ended) -> None:
    """Each reader but mmap runs with compressed weights and computes the outputs of plain PyTorch; records say so."""
    found = {(record.case.store, record.case.reader, record.case.policy) for record in ended.records}
    assert found == {
        ("plain", "direct", "stream"),
        ("compressed", "direct", "stream"),
        ("plain", "mmap", "stream"),
        ("compressed", "read", "bulk"),
    }
    assert {m.outcome for record in ended.records for m in record.rounds} == {"ok"}
    pytest.LineMatcher(ended.said.splitlines()).fnmatch_lines(
        ["policy*reader*store*", "SKIPPED*compressed weights cannot be mapped"]
    )


def test_refusals_are_one_sentence(ended: Ended) -> None:
    """A reader that maps, an unknown form and a peer are refused before any process starts."""
    pytest.LineMatcher(ended.said.splitlines()).fnmatch_lines_random(REFUSALS)
