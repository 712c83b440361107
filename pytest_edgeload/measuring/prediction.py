"""Predicts the measurement of a workload under a policy and a limit, in virtual time. Pure."""

from __future__ import annotations

from pytest_edgeload.base.arguments import whole
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.base.units import SIZE_HINT, Limit
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.virtual_workload import VirtualWorkload
from pytest_edgeload.planning.budget import enforced_bytes
from pytest_edgeload.planning.calibrated import WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.simulate import Holds, always
from pytest_edgeload.policies import POLICIES, Policy
from pytest_edgeload.results.case import AUTO, REFERENCE
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Workload

_IMAGINED = MachineSpeeds()


def predict(
    workload: Workload,
    policy: str | Policy = REFERENCE,
    *,
    memory: Limit | str | int | None = None,
    swap_bytes: int | None = None,
    reader: str = AUTO,
    threads: int | None = None,
    read_bps: int | None = None,
    lanes: int = 2,
    speeds: MachineSpeeds = _IMAGINED,
    holds: Holds = always,
) -> Measurement:
    """Return the measurement of `workload` under `policy` that a simulation predicts; nothing runs.

    `policy` is the name of a built-in policy, or a function. `memory` is the limit of the worker, its text (`"512M"`,
    `"base+256M"`) or a number of bytes; None means no limit. `swap_bytes` None: as much swap as it needs. `reader` is
    `read`, `mmap`, `direct`, or `auto` for the best one. `threads` is the number of threads of an operator, by default
    the most that were measured, `read_bps` the bytes that may be read per second, and `lanes` the most lanes that the
    policy may use. `speeds` are those of the machine; without them, those of an imagined device. `holds` returns
    whether the condition of a request holds.

    The outcome is `oom` if memory and swap do not suffice. Metrics that a simulation does not know are None. Raises
    UsageError for an unknown name or a limit that an idle worker exceeds, and InvalidPlan if the policy fails.
    """
    name, function = _policy(policy)
    if reader != AUTO and reader not in READERS:
        raise UsageError(f"reader={reader!r}", "unknown", suggestion(reader, [AUTO, *READERS]))
    limit_bytes = None if memory is None else enforced_bytes(_limit(memory), speeds.worker.idle_bytes)
    setup = WorkerSetup(reader, limit_bytes, swap_bytes, threads)
    return VirtualWorkload(workload, speeds, read_bps, lanes, holds=holds).run(name, function, setup).measurement


def _policy(policy: str | Policy) -> tuple[str, Policy]:
    """Return the name and the function of a policy. Raises UsageError for an unknown name."""
    if not isinstance(policy, str):
        return getattr(policy, "__name__", "policy"), policy
    if policy not in POLICIES:
        raise UsageError(f"policy={policy!r}", "unknown", suggestion(policy, POLICIES))
    return policy, POLICIES[policy]


def _limit(memory: Limit | str | int) -> Limit:
    """Return a limit as a caller gives it. Raises UsageError or ValueError."""
    if isinstance(memory, Limit):
        return memory
    if isinstance(memory, str):
        return Limit.parse(memory)
    return Limit(whole("memory", memory, 1, hint=SIZE_HINT))
