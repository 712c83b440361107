"""The launcher tests a read throttle before anything is measured."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.owner import PREFIX
from tests.measuring.parts import BPS


def test_throttle_that_the_kernel_refuses_is_an_error_with_the_setting(
    bench: Bench, cap: Cap, storage: Path, throttle: Limits, fresh: Callable[[], str]
) -> None:
    """A read throttle is tried on a group; an error of the kernel names the setting and the way out."""
    bench.launcher.check_reads(BPS, storage)
    name = fresh()
    session, _, serial = name.removeprefix(PREFIX).rpartition("-")
    launcher = replace(bench.launcher, session=session, _serial=itertools.count(int(serial)))
    group = cap.open(f"{PREFIX}{session}-{os.getpid()}-{serial}", Limits())
    try:
        with pytest.raises(Unsupported, match=r"^read-bw=90M: cgroup .* File exists; leave it out$"):
            launcher.check_reads(BPS, storage)
    finally:
        group.close()


def test_throttle_error_keeps_the_hint_of_the_cap(
    bench: Bench, cap: Cap, storage: Path, throttle: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the cap knows a remedy, the error of a read throttle has it as well."""

    def refuse(_name: str, _limits: Limits) -> None:
        raise Unsupported("/sys/fs/cgroup/a", "its cgroup.procs is locked", "have root run: chown 1000 cgroup.procs")

    monkeypatch.setattr(cap, "open", refuse)
    words = "read-bw=90M: /sys/fs/cgroup/a: its cgroup.procs is locked; have root run: chown 1000 cgroup.procs"
    with pytest.raises(Unsupported, match=f"^{words}, or leave it out$"):
        replace(bench.launcher, cap=cap).check_reads(BPS, storage)
