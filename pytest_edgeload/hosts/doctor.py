"""The doctor's checks on a host, read from its answer."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.text import printable
from pytest_edgeload.hosts.check import Examined, Problem


class HostCheck(msgspec.Struct, frozen=True):
    """A check of the doctor: whether it is so, and how to mend it."""

    what: str
    ok: bool
    found: str
    hint: str
    weight: str


def faults(examined: Examined) -> Iterator[Problem]:
    """Yield the checks that failed on a host: those that it cannot measure without, and those that are better so."""
    if "pytest-edgeload" not in examined.facts.versions:
        return
    try:
        checks = decoding.decode(examined.facts.doctor, tuple[HostCheck, ...])
    except ValueError:
        yield Problem("its doctor does not answer", f"run edgeload doctor on {examined.host.name}")
        return
    for check in checks:
        if not check.ok and check.weight in {"required", "desirable"}:
            words = f"{check.what}: {check.found}" if check.found else check.what
            yield Problem(printable(words), printable(check.hint), is_fatal=check.weight == "required")
