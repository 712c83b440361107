"""The directories of a pytest session, on which its processes under xdist agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.plugin import options

_DIRECTORIES = pytest.StashKey[SessionDirectories]()


def directories_of(config: pytest.Config) -> SessionDirectories:
    """Return the directories of the session that this process belongs to."""
    if _DIRECTORIES not in config.stash:
        sent = options.sent(config)
        new = (
            SessionDirectories(*map(Path, sent["directories"]))
            if sent
            else SessionDirectories.new(options.parse(options.read(config)).cache_dir)
        )
        config.stash[_DIRECTORIES] = new
    return config.stash[_DIRECTORIES]
