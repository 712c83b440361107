"""The tasks of a run with their descriptions, for the time lines of lanes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_edgeload.planning.plan import Span
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement, TaskInfo


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that ran; `info` is None and `network` empty if the record has no description of it."""

    span: Span
    info: TaskInfo | None
    network: str

    @property
    def kind(self) -> str:
        """The kind of the task; `task` if it is unknown."""
        return "task" if self.info is None else self.info.kind

    @property
    def name(self) -> str:
        """The kind and the layer; the number of the task if these are unknown."""
        if self.info is None:
            return f"task {self.span.task}"
        return f"{self.info.kind} {self.info.layer}".strip()


def tasks(case: Case, measurement: Measurement) -> Iterator[TaskView]:
    """Yield the tasks that ran, in the order of the record."""
    for span in measurement.tasks:
        info = measurement.steps[span.task] if span.task < len(measurement.steps) else None
        is_known = info is not None and info.request < len(case.requests)
        yield TaskView(span, info, case.requests[info.request].network if info is not None and is_known else "")
