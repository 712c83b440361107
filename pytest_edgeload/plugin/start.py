"""The objects of a pytest process that are created when they are first needed: the directories and the three plugins.

Every pytest start imports this file, so it imports them inside its functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_edgeload.plugin import options

if TYPE_CHECKING:
    from pytest_edgeload.measuring.directories import SessionDirectories
    from pytest_edgeload.plugin.collection import Collection
    from pytest_edgeload.plugin.reporting import Reporting
    from pytest_edgeload.plugin.running import Running


class Plugins(NamedTuple):
    """The plugins that other code calls. Only the owner of the session reports."""

    collection: Collection
    running: Running
    reporting: Reporting | None


_PLUGINS = pytest.StashKey[Plugins]()
_DIRECTORIES = pytest.StashKey["SessionDirectories"]()


def start(config: pytest.Config) -> Plugins:
    """Return the plugins of this process, created and registered at the first call. Raises pytest.UsageError."""
    if _PLUGINS not in config.stash:
        from pytest_edgeload.plugin.collection import Collection  # noqa: PLC0415  # see the first lines
        from pytest_edgeload.plugin.on_host import OnHost  # noqa: PLC0415
        from pytest_edgeload.plugin.reporting import Reporting  # noqa: PLC0415
        from pytest_edgeload.plugin.running import Running  # noqa: PLC0415
        from pytest_edgeload.plugin.setup import Setup  # noqa: PLC0415

        with options.as_pytest_errors():
            setup = Setup.of(config, directories_of(config))
        running = Running(config, setup)
        reporting = Reporting(config, setup, running) if setup.is_owner else None
        on_host = OnHost(config, setup, running) if setup.host is not None else None
        collection = Collection(config, setup, (reporting or on_host or running).prepare_tests)
        config.stash[_PLUGINS] = Plugins(collection, running, reporting)
        named = {"collection": collection, "running": running, "reporting": reporting, "on-host": on_host}
        for name, plugin in named.items():
            if plugin is not None:
                config.pluginmanager.register(plugin, f"edgeload-{name}")
    return config.stash[_PLUGINS]


def directories_of(config: pytest.Config) -> SessionDirectories:
    """Return the directories of the session, which all processes of xdist on this machine share. Raises UsageError."""
    if _DIRECTORIES not in config.stash:
        from pytest_edgeload.measuring.directories import SessionDirectories  # noqa: PLC0415

        sent = options.sent(config)
        config.stash[_DIRECTORIES] = (
            SessionDirectories.new(options.parse(options.read(config), config.rootpath).cache_dir)
            if sent is None or sent["directories"] is None
            else SessionDirectories(*map(Path, sent["directories"]))
        )
    return config.stash[_DIRECTORIES]
