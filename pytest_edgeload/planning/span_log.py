"""The record of the tasks that ran, which does not grow with the steps of a loop. Pure; for simulator and engine."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_edgeload.planning.plan import Span, TaskTotal

KEPT_STEPS = 3
"""The first steps of a loop, whose spans are kept."""


class SpanLog:
    """The spans of all tasks in the first steps, and the totals of each task in the later ones."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, Span]] = []
        self._totals: dict[int, TaskTotal] = {}

    def add(self, span: Span, turn: int = 0) -> None:
        """Add a task that ran. Of tasks that started at the same time, the one with the smaller `turn` was first."""
        if span.step < KEPT_STEPS:
            self._spans.append((turn, span))
        else:
            self._totals[span.task] = self._totals.get(span.task, TaskTotal(span.task)).with_span(span)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans that are kept, in order of start."""
        return tuple(span for _, span in sorted(self._spans, key=lambda entry: (entry[1].start_s, entry[0])))

    @property
    def totals(self) -> tuple[TaskTotal, ...]:
        """The totals of all other tasks that ran."""
        return tuple(self._totals.values())


def makespan_s(spans: Iterable[Span], totals: Iterable[TaskTotal]) -> float:
    """Return the end of the last task in seconds, 0 if there is none."""
    return max([0.0, *(span.end_s for span in spans), *(total.end_s for total in totals)])
