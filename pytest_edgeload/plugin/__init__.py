"""The pytest plugin: everything that knows pytest is in this folder, and nothing else is.

This file is what every pytest start imports wherever the package is installed, so it is small: options, hooks for
projects, fixtures. The rest starts when an option of ours is given or a test that measures is collected.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_edgeload.plugin import hookspecs, options
from pytest_edgeload.plugin.fixtures import (
    edge,
    edge_device,
    edge_examples,
    edge_mem,
    edge_network,
    edge_peer,
    edge_policies,
    edge_policy,
    edge_reader,
    edge_records,
    edge_round,
    edge_seed,
    parametrize,
    start,
    uses_ours,
)

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

__all__ = [
    "edge",
    "edge_device",
    "edge_examples",
    "edge_mem",
    "edge_network",
    "edge_peer",
    "edge_policies",
    "edge_policy",
    "edge_reader",
    "edge_records",
    "edge_round",
    "edge_seed",
]

MARKERS = ("edge_threshold(METRIC='TEXT', ...): the most a figure may be, as in peak='600M', makespan='0.5x bulk'",)
"""The markers, each with what it means, as `pytest --markers` lists them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that projects implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Start where an option is given or a project uses our hooks. Raises pytest.UsageError for what makes no sense."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    hooks = (config.hook.pytest_edge_networks, config.hook.pytest_edge_policies, config.hook.pytest_edge_peers)
    if options.read(config) or any(hook.get_hookimpls() for hook in hooks):
        start(config)


@pytest.hookimpl(trylast=True)  # a test's own parameters come first in its id
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Start where a test uses our fixtures, and run it once for each device, limit, policy, reader and round."""
    if uses_ours(metafunc):
        try:
            running = start(metafunc.config)
            axes, memory = running.axes(), running.boards.memory
        except pytest.UsageError as error:  # which pytest would show as a traceback here
            raise pytest.Collector.CollectError(str(error)) from None
        parametrize(metafunc, axes, memory)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Send a worker of xdist the options as given here: its own ini file may say something else."""
    from pytest_edgeload.plugin.directories import directories_of  # noqa: PLC0415  # not for every pytest start

    with options.as_pytest_errors():
        directories = directories_of(node.config)
        if "cache-dir" in options.read(node.config):
            directories.make(directories.cache)  # in a worker, a refusal would only be a traceback
    node.workerinput[options.SENT] = json.dumps(
        {"given": options.read(node.config), "directories": [str(path) for path in directories]}
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController) -> None:
    """Prepare the machine as soon as a worker of xdist has said that it collected tests that measure."""
    from pytest_edgeload.plugin.directories import directories_of  # noqa: PLC0415  # not for every pytest start

    measuring_tests = directories_of(node.config).measuring_tests
    if measuring_tests.exists():
        start(node.config).prepare(measuring_tests.read_text(encoding="utf-8", errors="surrogateescape").split("\n"))
