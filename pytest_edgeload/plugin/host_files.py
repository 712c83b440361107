"""Files of networks that are missing on a host: asked for at the controller, on a channel beside that of xdist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_edgeload.hosts.incoming import receive

FETCH = "edgeload_fetch"
"""The name of the event by which a host asks for the files of a checkpoint."""


def controller(config: pytest.Config) -> Any:
    """Return the plugin of xdist that sends events to the controller."""
    return next(each for each in config.pluginmanager.get_plugins() if hasattr(each, "sendevent"))


class MissingFiles:
    """Fetches checkpoints into the cache of a host. A path in the project is sent relative to its folder."""

    def __init__(self, config: pytest.Config, cache: Path) -> None:
        self._config = config
        self._cache = cache

    def __call__(self, path: Path) -> Path:
        """Return the path of a copy of the checkpoint at `path`. Raises Unsupported."""
        project = self._config.rootpath
        place = path.relative_to(project) if path.is_relative_to(project) else path
        interactor = controller(self._config)
        channel = interactor.channel.gateway.newchannel()
        interactor.sendevent(FETCH, channel=channel, path=str(place))
        return receive(channel, self._cache)[0]
