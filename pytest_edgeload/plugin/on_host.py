"""pytest on a host of --edge-hosts: prepares that machine and restores it. The controller, on another one, reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.files import noting
from pytest_edgeload.base.interrupts import Interrupts, ended_alike
from pytest_edgeload.hosts import lost
from pytest_edgeload.hosts.facts import ORIGIN
from pytest_edgeload.plugin.host_files import controller
from pytest_edgeload.plugin.items import comparison_group, measures
from pytest_edgeload.plugin.options import sent, spell
from pytest_edgeload.plugin.pulse import GIVEN_UP, PULSE, Watch
from pytest_edgeload.plugin.running import Running
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.results import journal
from pytest_edgeload.results.document import document

GROUPS = "edgeload_groups"
"""The name of the event that has the group of each test."""


class OnHost:
    """The hooks of a process on a host."""

    def __init__(self, config: pytest.Config, setup: Setup, running: Running) -> None:
        self._config = config
        self._setup = setup
        self._running = running
        self._until_the_end = ExitStack()
        workerinput: Any = config.workerinput  # type: ignore[attr-defined]  # of xdist
        self._origin = str((sent(config) or {})["origin"])
        self._watch = Watch(self._forget_origin, *workerinput[PULSE])

    def prepare_tests(self, measuring: Sequence[str], *, must_fit_networks: bool) -> None:  # noqa: ARG002  # as the owner's
        """Prepare the machine. If that is refused, each test raises the refusal, because xdist shows no other."""
        directories = self._setup.directories
        self._until_the_end.enter_context(ended_alike())
        try:
            directories.make(directories.runs)
            texts = {name: option.default for name, option in OPTIONS.items()}
            texts |= {name: given.text for name, given in self._setup.given.items()}
            with noting(directories.cache):
                journal.begin(directories.folder, document((), texts, self._config.rootpath))
                lost.note(directories.folder, self._origin)
            self._running.prepare(must_fit_networks=False)
        except Refusal as error:
            self._running.refuse(error.spelled(spell))

    @pytest.hookimpl(tryfirst=True)  # before xdist sends the ids
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send the group of each test, because a group is measured on one host."""
        groups = [str(comparison_group(item)) if measures(item) else item.nodeid for item in session.items]
        controller(self._config).sendevent(GROUPS, groups=groups)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Run nothing if only tests of other hosts failed last time; alone, pytest would run everything then."""
        cache: pytest.Cache | None = getattr(config, "cache", None)
        failed = cache.get("cache/lastfailed", {}) if cache is not None and config.getoption("lf", None) else {}
        if failed and failed.keys().isdisjoint(item.nodeid for item in items):
            config.hook.pytest_deselected(items=items[:])
            items.clear()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Restore the machine."""
        self._config.workeroutput[GIVEN_UP] = self._watch.has_given_up  # type: ignore[attr-defined]  # of xdist
        with suppress(KeyboardInterrupt), Interrupts():
            self._running.restore()

    def pytest_unconfigure(self) -> None:
        """Restore it as well if pytest failed before it could finish the session."""
        with suppress(KeyboardInterrupt), Interrupts():
            self._running.restore()
        self._until_the_end.close()
        self._watch.end()

    def _forget_origin(self) -> None:
        """Forget the session here: its controller has all measurements."""
        directories = self._setup.directories
        with suppress(OSError):
            for path in (directories.folder / ORIGIN, directories.unreported_marker):
                path.unlink(missing_ok=True)
