"""A plan as it ran: the times of its layers and of its other tasks. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pytest_edgeload.networks.layer import Layer
from pytest_edgeload.networks.tile import WHOLE
from pytest_edgeload.planning.machine_speeds import LayerSize, LayerTime
from pytest_edgeload.planning.plan import Kind, Plan, Span
from pytest_edgeload.workload import Workload


@dataclass(frozen=True)
class TimedPlan:
    """A plan, the workload that it answered with `threads` threads of an operator, and its spans.

    `startup_s` is the time until the worker was ready.
    """

    plan: Plan
    workload: Workload
    threads: int
    spans: tuple[Span, ...]
    startup_s: float

    @property
    def makespan_s(self) -> float:
        """The end of the last task."""
        return max(span.end_s for span in self.spans)

    def layer_times(self) -> list[LayerTime]:
        """Return the times of the layers that ran whole: the first of each size, and the median of the others."""
        times_s: dict[LayerSize, list[float]] = {}
        for layer, span in self._executions():
            times_s.setdefault(LayerSize.of(layer), []).append(span.end_s - span.start_s)
        return [
            LayerTime(size, self.threads, first_s, statistics.median(later_s or [first_s]))
            for size, (first_s, *later_s) in times_s.items()
        ]

    def _executions(self) -> Iterator[tuple[Layer, Span]]:
        """Yield the layers that were executed whole, each as it is in its step, in order of time."""
        for span in sorted(self.spans, key=lambda span: span.start_s):
            task = self.plan.tasks[span.task]
            if task.kind == "exec" and task.layer is not None and task.tile is WHOLE:
                layer = self.workload.requests[task.request].network.layers[task.layer]
                yield layer if span.step else layer.in_first_step, span

    def median_s(self, kind: Kind) -> float:
        """Return the median time of the tasks of one kind."""
        return statistics.median(
            span.end_s - span.start_s for span in self.spans if self.plan.tasks[span.task].kind == kind
        )

    def free_s_per_byte(self) -> float:
        """Return the time per byte of freeing weights, over all frees."""
        seconds, freed_bytes = 0.0, 0
        for span in self.spans:
            task = self.plan.tasks[span.task]
            if task.kind == "free" and task.layer is not None:
                seconds += span.end_s - span.start_s
                freed_bytes += self.workload.requests[task.request].network.layers[task.layer].weight_bytes
        return seconds / freed_bytes if freed_bytes else 0.0

    def loads(self) -> Iterator[tuple[int, float]]:
        """Yield the bytes and the seconds of each load of a whole layer."""
        for span in self.spans:
            task = self.plan.tasks[span.task]
            if task.kind == "load" and task.layer is not None and task.tile is WHOLE:
                size_bytes = self.workload.requests[task.request].network.layers[task.layer].weight_bytes
                yield size_bytes, span.end_s - span.start_s

    def pause_s(self) -> float:
        """Return the median time between the end of a task and the start of the next, in a plan of one lane."""
        ordered = sorted(self.spans, key=lambda span: span.start_s)
        return statistics.median(max(0.0, later.start_s - earlier.end_s) for earlier, later in pairwise(ordered))
