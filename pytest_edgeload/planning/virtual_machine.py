"""The machine of a simulation: the work of each task, and the pace at which work goes on. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, Protocol

from pytest_edgeload.networks.tile import share
from pytest_edgeload.planning.plan import Speeds, Task
from pytest_edgeload.workload import Workload

Resource = Literal[0, 1, 2]
"""The part of a machine that work occupies: its disk, its processors, or the kernel's reclaim of memory."""

DISK: Final = 0
PROCESSOR: Final = 1
RECLAIM: Final = 2

Work = Iterable[tuple[Resource, float]]
"""The work of a task, one part after the other: each a resource, and the seconds for which it is needed alone.

The next part is asked for when the one before has ended, so it may depend on everything that has happened until then.
"""


class OutOfMemory(Exception):
    """A task needs memory that a virtual machine does not have."""


class VirtualMachine(Protocol):
    """Returns the work of tasks while a plan is carried out in virtual time."""

    def begin(self, task: Task, step: int, read_bytes: int, activation_bytes: int) -> Work:
        """Return the work of a task that starts now, in this step of its loop.

        It reads `read_bytes` of weights; all requests together hold `activation_bytes` while it runs. Raises
        OutOfMemory.
        """

    def end(self, task: Task, activation_bytes: int) -> None:
        """Let a task end, after which all requests together hold `activation_bytes`."""

    def paces(self, on_disk: int, on_processor: int, in_reclaim: int) -> tuple[float, float, float]:
        """Return the pace of each work on each of the resources, while so many tasks occupy them.

        It is in seconds of work per second: 1 if nothing else slows it down.
        """


class NominalMachine:
    """A machine whose loads and execs have the speeds that a policy plans with, and do not slow each other.

    Other tasks take no time. Memory has no limit.
    """

    def __init__(self, workload: Workload, speeds: Speeds) -> None:
        self._networks = [request.network for request in workload.requests]
        self._speeds = speeds

    def begin(self, task: Task, step: int, read_bytes: int, activation_bytes: int) -> Work:  # noqa: ARG002
        """Return the time of the bytes or of the operations at the nominal speeds."""
        if task.kind == "load":
            return ((DISK, read_bytes / self._speeds.read_bytes_per_s),)
        if task.layer is None or task.kind == "free":
            return ()
        layer = self._networks[task.request].layers[task.layer]
        return ((PROCESSOR, self._speeds.exec_s(layer) * share(layer, task.tile)),)

    def end(self, task: Task, activation_bytes: int) -> None:
        """Do nothing."""

    def paces(self, on_disk: int, on_processor: int, in_reclaim: int) -> tuple[float, float, float]:  # noqa: ARG002
        """Return 1 for each: each lane has a disk and a processor of its own."""
        return 1.0, 1.0, 1.0
