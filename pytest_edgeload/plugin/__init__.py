"""The pytest plugin. Everything that knows pytest is in this folder, and nothing else is.

Every pytest start imports this file wherever the package is installed, so it only declares options, hooks and
fixtures. `start` creates the three plugins that do the work (collection, running, reporting) when an option of ours is
given, when a project implements our hooks, or when a test uses our fixtures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_edgeload.plugin import axes, hookspecs, labels, options
from pytest_edgeload.plugin.fixtures import (
    edge,
    edge_device,
    edge_examples,
    edge_host,
    edge_mem,
    edge_network,
    edge_peer,
    edge_policies,
    edge_policy,
    edge_reader,
    edge_records,
    edge_round,
    edge_seed,
    edge_store,
)
from pytest_edgeload.plugin.start import directories_of, start

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

__all__ = [
    "edge",
    "edge_device",
    "edge_examples",
    "edge_host",
    "edge_mem",
    "edge_network",
    "edge_peer",
    "edge_policies",
    "edge_policy",
    "edge_reader",
    "edge_records",
    "edge_round",
    "edge_seed",
    "edge_store",
]

MARKERS = (
    "edge_threshold(METRIC='TEXT', ...): fail the test if a metric exceeds a limit: peak='600M', makespan='0.5x bulk'",
)
"""The markers with their meaning, as `pytest --markers` lists them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that projects implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Start if an option is given or a project implements our hooks. Raises pytest.UsageError."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if options.sent(config) is None:
        try:
            for sentence in options.unknown_variables(os.environ):
                config.issue_config_time_warning(pytest.PytestConfigWarning(sentence), stacklevel=2)
        except pytest.PytestConfigWarning as error:  # warnings are errors here
            raise pytest.UsageError(str(error)) from None
    hooks = (config.hook.pytest_edge_networks, config.hook.pytest_edge_policies, config.hook.pytest_edge_peers)
    if options.read(config) or any(hook.get_hookimpls() for hook in hooks):
        start(config)


def pytest_cmdline_main(config: pytest.Config) -> None:
    """Measure on the hosts if the options name some."""
    if _has_hosts(config) and options.sent(config) is None and not config.getoption("collectonly"):
        config.pluginmanager.register(_OnHosts())


def _has_hosts(config: pytest.Config) -> bool:
    """Return whether the options name hosts; an empty value takes back that of the ini file."""
    given = options.read(config).get("hosts")
    return given is not None and bool(given.text)


class _OnHosts:
    """The session on hosts, which begins where xdist's own session would begin."""

    @pytest.hookimpl(trylast=True)  # after pytest has its terminal
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take the place of xdist's session. Raises pytest.UsageError."""
        if not config.pluginmanager.hasplugin("xdist"):
            raise pytest.UsageError("--edge-hosts: pytest-xdist is missing; run pip install 'pytest-edgeload[xdist]'")
        from pytest_edgeload.plugin.host_session import begin  # noqa: PLC0415  # needs xdist

        begin(config, start(config))


_IS_OURS = pytest.StashKey[bool]()
"""Whether the test that pytest parametrizes now uses our fixtures."""


@pytest.hookimpl(wrapper=True, tryfirst=True)  # a test's own parameters come first in its id
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Start if a test uses our fixtures, and run it once for each device, limit, policy, reader and round."""
    if not axes.uses_ours(metafunc):
        return (yield)
    parameters, stash = axes.watch(metafunc), metafunc.config.stash
    stash[_IS_OURS] = True
    try:
        result = yield
        start(metafunc.config).collection.parametrize(metafunc, parameters)
    except pytest.UsageError as error:  # pytest would show a traceback of it here
        raise pytest.Collector.CollectError(str(error)) from None
    finally:
        stash[_IS_OURS] = False
    return result


def pytest_itemcollected(item: pytest.Item) -> None:
    """Start if a test uses our fixtures that pytest does not parametrize: a method of a unittest.TestCase."""
    if "edge" in getattr(item, "fixturenames", ()):
        start(item.config)


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name the values of tests that use our fixtures, because a case is found again by its test's id."""
    return labels.id_of(val) if config.stash.get(_IS_OURS, False) else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Send a worker of xdist the options of this process, because its own ini file may have other options."""
    with options.as_pytest_errors():
        directories = directories_of(node.config)
        if "cache-dir" in options.read(node.config):
            directories.make(directories.cache)  # in a worker, a refusal would only be a traceback
    node.workerinput[options.SENT] = json.dumps(
        {"given": options.read(node.config), "directories": [str(path) for path in directories]}
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController) -> None:
    """Prepare the machine as soon as a worker of xdist on it has collected tests that measure."""
    if _has_hosts(node.config):
        return
    directories = directories_of(node.config)
    if directories.refusal.exists():
        raise pytest.UsageError(directories.refusal.read_text(encoding="utf-8", errors="surrogateescape"))
    measuring = directories.measuring_tests
    if measuring.exists():
        ids = measuring.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        start(node.config).collection.prepare(ids, must_fit_networks=False)
