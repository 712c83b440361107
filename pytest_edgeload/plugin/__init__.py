"""The pytest plugin: everything that knows pytest is in this folder, and nothing else is.

This file is what every pytest start imports wherever the package is installed, so it is small: options, hooks for
projects, fixtures. The rest starts when an option of ours is given or a test that measures is collected.
"""

from __future__ import annotations

import pytest

from pytest_edgeload.plugin import hookspecs, options
from pytest_edgeload.plugin.fixtures import (
    edge,
    edge_mem,
    edge_policy,
    edge_reader,
    edge_round,
    parametrize,
    start,
    uses_ours,
)

__all__ = ["edge", "edge_mem", "edge_policy", "edge_reader", "edge_round"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that projects implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Start where an option is given, or under xdist. Raises pytest.UsageError for an option that makes no sense."""
    distributes = hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"
    if distributes or options.read(config):
        start(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Start where a test uses our fixtures, and run it once for each policy, limit, reader and round."""
    if uses_ours(metafunc):
        parametrize(metafunc, start(metafunc.config).axes())
