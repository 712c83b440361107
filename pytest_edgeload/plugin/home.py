"""The home of a pytest session, on which its processes under xdist agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.measuring.directories import Home
from pytest_edgeload.plugin import options

_HOME = pytest.StashKey[Home]()


def home_of(config: pytest.Config) -> Home:
    """Return the home of the session that this process belongs to."""
    if _HOME not in config.stash:
        sent = options.sent(config)
        new = Home(*map(Path, sent["home"])) if sent else Home.new(options.parse(options.read(config)).cache_dir)
        config.stash[_HOME] = new
    return config.stash[_HOME]
