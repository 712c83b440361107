"""The tests that are lost with a host."""

from __future__ import annotations

import traceback

import pytest

pytest.importorskip("xdist")

import execnet

from pytest_edgeload.plugin.host_tests import HostTests, SharedHostTests, without_tests


class Node:
    """A host that is sent its tests."""

    def __init__(self, *groups: str) -> None:
        self.groups = groups
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        """Take some tests."""
        self.sent = [*indices]

    def send_runtest_all(self) -> None:
        """Take all tests."""
        self.sent = [*range(len(self.groups))]

    def shutdown(self) -> None:
        """Take no more."""


TESTS = ["test_a", "test_b"]


def ready(pytestconfig: pytest.Config, kind: type[HostTests], monkeypatch: pytest.MonkeyPatch) -> HostTests:
    """Return the tests of two hosts."""
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen", "popen"])
    return kind(pytestconfig)


@pytest.mark.parametrize("kind", [HostTests, SharedHostTests])
def test_host_lost_between_collections_loses_tests_only_if_no_other_has_them(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, kind: type[HostTests]
) -> None:
    """A host that has collected and not started loses all of its tests, or none if the other host runs them."""
    tests, first, second = ready(pytestconfig, kind, monkeypatch), Node("a", "b"), Node("a", "b")
    tests.add_node(first)
    tests.add_node_collection(first, TESTS)
    assert tests.lose(first) == (TESTS if kind is HostTests else [])
    assert not tests.collection_is_completed
    tests.add_node(second)
    tests.add_node_collection(second, TESTS)
    assert tests.collection_is_completed
    tests.schedule()
    assert second.sent == [0, 1]
    tests.mark_test_complete(second, 0)
    assert tests.lose(second) == ["test_b"], "the last host loses what it has not run"


def test_last_of_equal_hosts_loses_all_tests(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no other host is left, the shared tests are lost by name."""
    tests, first, second = ready(pytestconfig, SharedHostTests, monkeypatch), Node("a", "b"), Node("a", "b")
    tests.add_node(first)
    tests.add_node(second)
    assert tests.lose(first) is None, "it had not collected"
    tests.add_node_collection(second, TESTS)
    assert tests.lose(second) == TESTS


def test_reason_of_a_host_that_cannot_start_is_shown() -> None:
    """A host that failed says the last line of its error that is no detail; one whose connection ended was lost."""
    said = "".join(traceback.format_exception(pytest.UsageError("no such device\n  rootdir: /")))
    sentence = "pi4 ended before it had collected its tests: no such device"
    assert without_tests("pi4", execnet.RemoteError(said)) == sentence
    assert without_tests("pi4", "Not properly terminated") == "pi4 was lost before it had collected its tests"
