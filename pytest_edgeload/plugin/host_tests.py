"""The tests of a session on hosts: which host runs which of them, and the tests that are lost with a host."""

from __future__ import annotations

from typing import Any

import execnet
import pytest
from xdist.scheduler import EachScheduling

from pytest_edgeload.hosts.project import reason_of

_USAGE_ERROR = f"{pytest.UsageError.__module__}.{pytest.UsageError.__qualname__}: "


class HostTests(EachScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of all hosts. Each runs all that it collected."""

    def lose(self, node: Any) -> list[str] | None:
        """Forget a host. Return the ids of the tests that are lost with it; None if it had not collected them."""
        pending, known = self.node2pending.pop(node, []), self.node2collection.get(node)
        if known is None:
            self.numnodes -= 1
            self.collection_is_completed = len(self.node2collection) >= self.numnodes > 0
            return None
        if node in self._started:
            return [known[index] for index in pending]
        return self._lost_before_start(known)

    def _lost_before_start(self, known: list[str]) -> list[str]:
        """Return the tests that are lost with a host that has collected `known` and run none of them."""
        return known

    @property
    def count(self) -> int:
        """The number of tests, of all hosts."""
        return sum(map(len, self.node2collection.values()))


class SharedHostTests(HostTests):
    """Tests that equal hosts share. Each group goes to the host with the fewest tests so far, before any test runs."""

    def _lost_before_start(self, known: list[str]) -> list[str]:
        is_last = not self.node2pending and len(self.node2collection) >= self.numnodes
        return known if is_last else []  # the other hosts run them

    @property
    def count(self) -> int:
        """The number of tests, each of which runs on one host."""
        return max(map(len, self.node2collection.values()), default=0)

    def schedule(self) -> None:
        """Send each host its tests. Raises pytest.UsageError."""
        nodes = [node for node in self.node2pending if node not in self._started]
        if len({tuple(self.node2collection[node]) for node in nodes}) > 1:
            raise pytest.UsageError("--dist=load: the hosts collected different tests; leave it out")
        groups: dict[str, list[int]] = {}
        for index, group in enumerate(nodes[0].groups if nodes else ()):
            groups.setdefault(group, []).append(index)
        for tests in groups.values():
            self.node2pending[min(nodes, key=lambda node: len(self.node2pending[node]))] += tests
        for node in nodes:
            self.node2pending[node].sort()
            node.send_runtest_some(self.node2pending[node])
            node.shutdown()
            self._started.append(node)


def without_tests(name: str, error: object) -> str:
    """Return the sentence on a host that ended with this error before it had collected its tests."""
    if isinstance(error, execnet.RemoteError):
        reason = reason_of(error).removeprefix(_USAGE_ERROR)
        return f"{name} ended before it had collected its tests: {reason}"
    return f"{name} was lost before it had collected its tests"
