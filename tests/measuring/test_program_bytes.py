"""The memory that is fetched before the run of a program is what it took before, or little."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.bench import Bench, program_bytes
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command
from pytest_edgeload.sandbox.swap import Swap
from tests.sandbox.child import MIB

GIB = 1 << 30


@pytest.mark.parametrize(
    ("limit_bytes", "known_bytes", "expected_bytes"),
    [
        (20 * GIB, 0, GIB),
        (64 * MIB, 0, 64 * MIB),
        (None, 0, 0),
        (20 * GIB, 3 * GIB, 3 * GIB),
        (20 * GIB, 2 * MIB, GIB),
        (None, 3 * GIB, 3 * GIB),
    ],
)
def test_large_limit_is_not_fetched(limit_bytes: int | None, known_bytes: int, expected_bytes: int) -> None:
    """Of a large limit 1 GiB is fetched, and more only if an earlier run took more."""
    assert program_bytes(limit_bytes, known_bytes) == expected_bytes


def test_bench_remembers_the_peak_of_a_program(case: Case, cap: Cap, session: str, tmp_path: Path) -> None:
    """After a run, its row's peak is known; another row's is not."""
    bench = Bench(Launcher(cap, Swap(0), session, 60.0), Registry(Store(tmp_path)), POLICIES, tmp_path, lambda *_: None)
    hold = Command.of(["dd", "if=/dev/zero", "of=/dev/null", "bs=24M", "count=1"], os.environ, None, None, None, None)
    row = msgspec.structs.replace(case, policy="dd", constraints=Constraints(20 * GIB))
    assert bench.run(row, hold).outcome == "ok"
    assert 24 * MIB <= bench.needs[case.test, "dd"] < 40 * MIB
    assert [*bench.needs] == [(case.test, "dd")]
