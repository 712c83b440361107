"""Real parts for the tests of the sandbox: caps, groups, swap, storage, networks, and a check for leftovers."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.sandbox.caps import CAPS, Cap, Group
from pytest_edgeload.sandbox.constraints import Limits, disks_of
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.sandbox.swap import Swap, open_swap
from tests.network_cache import copy_networks, copy_store
from tests.sandbox import witness
from tests.sandbox.child import MIB

_serial = itertools.count()

FACTORIES = '''
"""Networks for tests."""

import torch
from torch import nn

from pytest_edgeload import Feed, Inputs


def _even(module, value):
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)
    return module


def wide():
    """Twelve layers of 16 MiB: large beside what an idle worker holds of its own, quick to compute."""
    size = 2048
    layers = [nn.utils.skip_init(nn.Linear, size, size) for _ in range(12)]
    return _even(nn.Sequential(*layers), 1 / size), [(torch.ones(1, size),), (torch.zeros(1, size),)]


def tiny():
    return _even(nn.Linear(8, 8), 0.125), [(torch.ones(1, 8),)]


class _Pair(nn.Linear):
    """Has two outputs."""

    def forward(self, x):
        found = super().forward(x)
        return found, -found


def pair():
    return _even(_Pair(8, 8), 0.125), [(torch.ones(1, 8),)]


class _Lying(nn.Linear):
    """Computes one more than its graph."""

    def forward(self, x):
        found = super().forward(x)
        return found if torch.compiler.is_compiling() else found + 1


def lying():
    return _even(_Lying(8, 8), 0.125), [(torch.ones(1, 8),)]


def steps():
    """Each step has the output of the one before as its input."""
    return _even(nn.Linear(8, 8), 0.125), [Inputs((torch.ones(1, 8),), steps=4, feeds=(Feed(0, output=0),))]
'''


FREE = Limits()


def within(memory_bytes: int | None, reads: Limits = FREE, *, may_swap: bool = False) -> Limits:
    """Return the limits of a group with this much memory, and with reads throttled as `reads` has it."""
    return replace(reads, constraints=reads.constraints | Constraints(memory_bytes), may_swap=may_swap)


class Opened(Protocol):
    """Opens groups that the test need not close."""

    def __call__(
        self, limit_bytes: int | None = None, *, swap: bool = False, reads: Limits = FREE, name: str = ""
    ) -> Group:
        """Return a group of the cap."""


@pytest.fixture(scope="session")
def session() -> str:
    """Return the tag in all names of these tests."""
    return tag(os.getpid())


@pytest.fixture(scope="session")
def fresh(session: str) -> Callable[[], str]:
    """Return a function that returns a new name for a group."""
    return lambda: f"{PREFIX}{session}-{next(_serial)}"


def _here() -> list[Any]:
    """Return the caps that enforce and that this machine has; where it has none, one that is skipped with all reasons.

    What a machine lacks is no case of a test there: tests/uml has those of version 2 and of systemd.
    """
    reasons = {name: cap.unavailable() for name, cap in CAPS.items() if cap.enforces}
    found = [name for name, reason in reasons.items() if reason is None]
    why = "NO memory limit can be enforced here: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return found or [pytest.param("none", marks=pytest.mark.skip(reason=why))]


HERE = _here()


@pytest.fixture(scope="session", params=[*HERE, *(name for name, cap in CAPS.items() if not cap.enforces)])
def any_cap_name(request: pytest.FixtureRequest) -> str:
    """Return the name of each cap that this machine has."""
    return str(request.param)


@pytest.fixture(scope="session")
def any_cap(any_cap_name: str) -> Cap:
    """Return each cap that this machine has."""
    return CAPS[any_cap_name]


@pytest.fixture(scope="session", params=HERE)
def cap_name(request: pytest.FixtureRequest) -> str:
    """Return the name of each cap that enforces and that this machine has."""
    return str(request.param)


@pytest.fixture(scope="session")
def cap(cap_name: str) -> Cap:
    """Return each cap that enforces and that this machine has."""
    return CAPS[cap_name]


@pytest.fixture
def opened(cap: Cap, fresh: Callable[[], str]) -> Iterator[Opened]:
    """Open groups, and end and remove them after the test."""
    made: list[Group] = []

    def open_group(
        limit_bytes: int | None = None, *, swap: bool = False, reads: Limits = FREE, name: str = ""
    ) -> Group:
        made.append(cap.open(name or fresh(), within(limit_bytes, reads, may_swap=swap)))
        return made[-1]

    yield open_group
    for group in made:
        group.kill()
        group.close()


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory, session: str) -> Iterator[Swap]:
    """Yield swap: the machine's own, or a temporary file."""
    folder = tmp_path_factory.mktemp("swap")
    found = open_swap("existing", folder, session)
    if not found.size_bytes:
        try:
            found = open_swap("512M", folder, session)
        except (UsageError, Unsupported) as error:
            pytest.skip(str(error))
    yield found
    found.close()
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose files are on storage, where a page that was dropped has to be fetched."""
    folder = tmp_path_factory.mktemp("storage")
    if witness.in_memory(folder):
        pytest.skip(f"{folder} is in memory; set TMPDIR to a folder on a disk")
    return folder


@pytest.fixture(scope="session")
def throttle(cap: Cap, storage: Path) -> Limits:
    """Return limits that hold reads of `storage` to those of an SD card."""
    reason = cap.unavailable(throttles=True)
    if reason is not None:
        pytest.skip(str(reason))
    slow = Constraints(read_bps=90 * MIB)
    try:
        return Limits(slow, disks=disks_of(slow, [storage], []))
    except Unsupported as error:
        pytest.skip(str(error))


@pytest.fixture(params=["plain", "throttled"])
def reads(request: pytest.FixtureRequest) -> Limits:
    """Return limits that leave reads free, and limits that throttle them."""
    return request.getfixturevalue("throttle") if request.param == "throttled" else FREE


@pytest.fixture(scope="session")
def registry(shared: Path, tmp_path_factory: pytest.TempPathFactory, storage: Path) -> Iterator[Registry]:
    """Return the networks wide, tiny, pair, lying and steps; the last three are made when they are first asked for."""
    module = tmp_path_factory.mktemp("factories") / "networks_for_tests.py"
    module.write_text(FACTORIES)
    prepared = os.environ.get("EDGELOAD_TESTS_PREPARED")  # by a quicker kernel, see tests/uml
    if prepared:
        copy_store(Path(prepared), storage / "cache")
    else:
        copy_networks(shared, storage / "cache", module.parent, module.stem, "wide", "tiny")
    registry = Registry(Store(storage / "cache"))
    for name in ("wide", "tiny", "pair", "lying", "steps"):
        registry.register(name, f"{module.stem}:{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(module.parent)])
        yield registry


@pytest.fixture(autouse=True)
def nothing_left(session: str) -> Iterator[None]:
    """Have every test leave no group and no process behind."""
    process = psutil.Process()
    before = {*process.children()}
    yield
    assert witness.groups(session) == []
    assert {*process.children()} <= before
