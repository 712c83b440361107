"""Policies with parameters: `ttl(30s)` is made by its family `ttl` when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.workload import Workload

Policy = Callable[[Workload, Budget], Plan]
"""A pure function from a workload and a budget to a plan; it touches no file, no clock and no torch."""

Family = Callable[[str], Policy]
"""Makes a policy of the text in the parentheses, which is empty without them. Raises UsageError for a wrong one."""

_FAMILY = re.compile(r"([^()]+)(?:\((.*)\))?")


class PolicyTable(dict[str, Policy]):
    """Policies by name. It also has the policies with parameters of its families, which it does not list."""

    def __init__(self, policies: Mapping[str, Policy], families: Mapping[str, Family]) -> None:
        super().__init__(policies)
        self.families = families

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a policy. Raises UsageError for wrong parameters of a known family."""
        return super().__contains__(name) or (isinstance(name, str) and self._make(name) is not None)

    def __missing__(self, name: str) -> Policy:
        """Return a policy with parameters. Raises KeyError for an unknown name, UsageError for wrong parameters."""
        if (policy := self._make(name)) is None:
            raise KeyError(name)
        return policy

    def _make(self, name: str) -> Policy | None:
        match = _FAMILY.fullmatch(name)
        return None if match is None or match[1] not in self.families else self.families[match[1]](match[2] or "")
