"""Fixtures: the cap of a session, names for its groups, and swap space."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.sandbox.caps import Cap, choose
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.sandbox.swap import Swap, open_swap
from tests.accuracy.programs import Fresh


@pytest.fixture(scope="session")
def cap() -> Cap:
    """Return the cap that `auto` chooses; skip if there is none, because then the kernel counts nothing."""
    name, found = choose("auto")
    if not found.enforces:
        pytest.skip(f"--edge-cap=auto is {name} here: no group counts anything")
    return found


@pytest.fixture(scope="session")
def fresh() -> Fresh:
    """Return a function that returns a new name for a group at each call."""
    serial = itertools.count()
    return lambda: f"{PREFIX}{tag(os.getpid())}-accuracy-{next(serial)}"


@pytest.fixture
def swap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swap]:
    """Return swap space: the machine's own, or a temporary file."""
    folder = tmp_path_factory.mktemp("swap")
    try:
        found = open_swap("existing", folder, "")
        found = found if found.size_bytes else open_swap("256M", folder, f"{tag(os.getpid())}-accuracy")
    except Refusal as refused:
        pytest.skip(str(refused))
    yield found
    found.close()
