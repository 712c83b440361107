"""One call of `edge.run`, `edge.call` or `edge.command`: its arguments, its test, and its case."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_edgeload.base.arguments import whole
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import SIZE_HINT, Limit, format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.networks.compressed import PLAIN, STORES, StoreForm
from pytest_edgeload.plugin.axes import Turn
from pytest_edgeload.plugin.items import own_parameters, test_name
from pytest_edgeload.results.case import AUTO, PROGRAM, Case
from pytest_edgeload.sandbox.command import MIN_BYTES, Command
from pytest_edgeload.sandbox.launch import Calling
from pytest_edgeload.workload import Mix


@dataclass(frozen=True, slots=True)
class Caller:
    """The test that measures: its name, round, parameters and device."""

    test: str = ""
    round: int = 0
    parameters: tuple[tuple[str, str], ...] = ()
    device: str | None = None

    @classmethod
    def of(cls, item: pytest.Item, turn: Turn) -> Caller:
        """Return the caller for a running item, and the device and round that its `edge` measures for."""
        return cls(test_name(item), turn.round, own_parameters(item), turn.device)


@dataclass(frozen=True, slots=True)
class WorkloadRun:
    """The arguments of `edge.run`, and the test that calls it."""

    caller: Caller
    workload: Mix
    policy: str
    memory: Limit | None = None
    reader: str = AUTO
    store: StoreForm = PLAIN

    @property
    def row(self) -> tuple[str, str, str]:
        """The workload, policy and reader of the case."""
        return self.workload.name, self.policy, self.reader


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """A program that `edge.call` or `edge.command` runs, the name of its row, and the test that calls it.

    A function that answers a `workload` has its row among those of the policies with the same reader.
    """

    caller: Caller
    name: str
    program: Calling | Command
    memory: Limit | None = None
    workload: Mix | None = None
    reader: str = AUTO
    store: StoreForm = PLAIN

    @property
    def row(self) -> tuple[str, str, str]:
        """The workload, policy and reader of the case."""
        return (PROGRAM, self.name, "none") if self.workload is None else (self.workload.name, self.name, self.reader)


def unlimited_case(run: WorkloadRun | ProgramRun, threads: int) -> Case:
    """Return the case of a run without a limit, cap and swap."""
    workload, policy, reader = run.row
    return Case(
        test=run.caller.test,
        workload=workload,
        policy=policy,
        reader=reader,
        store=run.store,
        cap="none",
        swap="none",
        constraints=Constraints(threads=threads),
    )


Memory = Limit | str | int | None
"""A limit as a test gives it: a limit or its text, a number of bytes, or None."""


def to_store(store: str) -> StoreForm:
    """Return the form of weights that a test gives. Raises UsageError."""
    for form in STORES:
        if form == store:
            return form
    raise UsageError(f"store={store!r}", "not a form of weights", f"choose from {', '.join(STORES)}")


def to_limit(memory: Memory) -> Limit | None:
    """Return the limit that a test gives. Raises UsageError, also for a limit that no process could start under."""
    if memory is None or isinstance(memory, Limit):
        return memory
    if isinstance(memory, str):
        try:
            limit = Limit.parse(memory)
        except ValueError as error:
            raise UsageError(f"memory={memory!r}", str(error)) from error
    else:
        limit = Limit(whole("memory", memory, 1, hint=SIZE_HINT))
    if limit.size_bytes < MIN_BYTES and not limit.above_base:
        hint = f"did you mean {memory}M?" if str(memory).isdecimal() else SIZE_HINT
        raise UsageError(f"memory={memory!r}", f"no process fits into {format_size(limit.size_bytes)} bytes", hint)
    return limit
