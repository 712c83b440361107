"""The tasks of a run with what is known of them: what time lines of lanes are drawn from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_edgeload.planning.plan import Span
from pytest_edgeload.results.record import Case, Measurement, Step


@dataclass(frozen=True, slots=True)
class Ran:
    """A task as it ran, and what it was about; `step` and `network` are empty where the record does not say."""

    span: Span
    step: Step | None
    network: str

    @property
    def kind(self) -> str:
        """What the task did; `task` where the record does not say."""
        return "task" if self.step is None else self.step.kind

    @property
    def name(self) -> str:
        """The kind and the layer, or the number of the task where no more is known."""
        if self.step is None:
            return f"task {self.span.task}"
        return f"{self.step.kind} {self.step.layer}".strip()


def tasks(case: Case, measurement: Measurement) -> Iterator[Ran]:
    """Yield the tasks that ran, in the order of the record."""
    for span in measurement.tasks:
        step = measurement.steps[span.task] if span.task < len(measurement.steps) else None
        asked = step is not None and step.request < len(case.requests)
        yield Ran(span, step, case.requests[step.request].network if step is not None and asked else "")
