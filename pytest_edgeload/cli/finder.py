"""The search of `edgeload minmem`: runs with plenty of memory, then those of each goal, then those of the curve.

Its result can be read at any time, so nothing is lost if the search is interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.cli import terminal
from pytest_edgeload.cli.subjects import Subject
from pytest_edgeload.planning.plan import InvalidPlan
from pytest_edgeload.report import minmem as texts
from pytest_edgeload.results.curve import next_limit, noise, points
from pytest_edgeload.results.limit_search import LimitGrid, Search
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.minmem import KEEPS_IN_MEMORY, WORKS, CurvePoint, Goal, Margin, Smallest, Trial
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import runs_of, value_of
from pytest_edgeload.results.threshold import Figure, Threshold
from pytest_edgeload.sandbox.swap import Swap

_NO_SWAP = Swap(0, usable=False)
_PLENTY_RUNS = 3  # their spread is the noise, and their median is what others are compared with
_SLOWER, _MIN_PATIENCE_S = 10, 10.0
_PRECISION = 64  # steps up to the memory that plenty takes, or up to twice as many
_MIN_STEP_BYTES = 1 << 16


class Demands(NamedTuple):
    """The margins to keep, the figure of a curve and its maximum number of runs, and the precision of the search."""

    keep: Sequence[Threshold] = ()
    by: Figure | None = None
    curve_runs: int = 0
    rounds: int = 1
    step_bytes: int | None = None


class Finder:
    """The search for the smallest limits of a subject.

    A run may take `timeout_s`; without it, 10 times as long as with plenty of memory, and at least 10 seconds.
    """

    def __init__(self, subject: Subject, demands: Demands, timeout_s: float | None) -> None:
        self._subject, self._demands = subject, demands
        self._timeout_s = timeout_s
        asked = [threshold.figure for threshold in demands.keep] + ([demands.by] if demands.by else [])
        self._figures = dict.fromkeys([Figure(subject.case.main_metric), *asked])
        self._metrics: dict[str, Metric] = {}
        self._notices: tuple[str, ...] = ()  # of the last run
        self._search = Search(self._try, demands.rounds, self._show)
        self._goals: dict[str, Goal] = {}
        self._found: dict[str, int | None] = {}
        self._step_bytes = demands.step_bytes or _MIN_STEP_BYTES
        self._top_bytes = 0

    @property
    def result(self) -> Smallest | None:
        """The smallest limits so far; None before the first run under a limit."""
        if all(trial.limit_bytes is None for trial in self._search.trials):
            return None
        by = self._demands.by
        return Smallest(
            case=self._subject.case,
            step_bytes=self._step_bytes,
            goals=self._goals,
            found=self._found,
            trials=tuple(self._search.trials),
            figures=self._metrics,
            idle_bytes=self._subject.idle_bytes,
            by="" if by is None else str(by),
            curve=() if by is None else self._points(by),
        )

    def run(self) -> None:
        """Find the smallest limits, and draw the curve. Raises UsageError, and as the subject's `measure` does."""
        self._steps()  # may refuse the step that was asked for
        self._run_with_plenty()
        self._goals.update(self._all_goals())
        steps, guess = self._steps(), self._top_bytes
        for name, goal in self._goals.items():
            self._found[name] = found = self._search.smallest(goal, guess, steps)
            guess = found or guess
        if self._demands.by is not None:
            self._draw(self._demands.by, steps)

    def _run_with_plenty(self) -> None:
        """Run without a limit, which sets the scale of everything else. Raises UsageError if that fails."""
        demands = self._demands
        compares = demands.keep or demands.by is not None
        for _ in range(max(demands.rounds, _PLENTY_RUNS if compares else 1)):
            trial = self._search.run(None, may_swap=self._subject.has_swap)
            if not trial.works:
                reason = f"{trial.outcome} with plenty of memory: {trial.detail}"
                raise UsageError(self._subject.name, reason, "a limit cannot be searched before it works without one")
            self._check_figures(trial)
            self._top_bytes = max(self._top_bytes, trial.charged_bytes or 0)
        if demands.step_bytes is None:
            self._step_bytes = _step(self._top_bytes)
        if self._timeout_s is None:
            longest_s = max(trial.took_s for trial in self._search.trials)
            self._timeout_s = max(_MIN_PATIENCE_S, math.ceil(_SLOWER * longest_s))

    def _check_figures(self, trial: Trial) -> None:
        """Raise UsageError if the demands do not fit the figures of a run with plenty of memory."""
        by, known = self._demands.by, ", ".join(trial.values)
        asked = [(Setting("keep", threshold.text), threshold.figure) for threshold in self._demands.keep]
        for setting, figure in asked if by is None else [*asked, (Setting("by", str(by)), by)]:
            if str(figure) not in trial.values:
                hint = "; ".join(self._notices) or (f"it has {known}" if known else "nothing is on the clock")
                raise UsageError(setting, f"a run with plenty of memory has no {figure}", hint)
        for threshold in self._demands.keep:
            metric = self._metrics[str(threshold.figure)]
            if metric.better == "neither":
                example = Setting("metric", f"{threshold.figure.metric}:higher=SOURCE")
                reason, remedy = "neither more nor less of it is better", ("give it a direction, as in ", example)
                raise UsageError(Setting("keep", threshold.text), reason, remedy)
            if mismatch := threshold.mismatch(metric.unit):
                raise UsageError(Setting("keep", threshold.text), mismatch)

    def _all_goals(self) -> Iterator[tuple[str, Goal]]:
        has_swap = self._subject.has_swap
        yield WORKS, Goal(may_swap=False)
        if has_swap:
            yield KEEPS_IN_MEMORY, Goal(may_swap=True, keeps_in_memory=True)
        for threshold in self._demands.keep:
            figure = str(threshold.figure)
            margin = Margin.of(
                threshold,
                self._of_plenty(figure),
                is_higher_better=self._metrics[figure].better == "higher",
                ample_bytes=self._top_bytes if self._subject.idle_bytes is None else None,
            )
            yield threshold.text, Goal(has_swap, margin=margin)

    def _of_plenty(self, figure: str) -> list[float]:
        return [trial.values[figure] for trial in self._search.trials if trial.limit_bytes is None]

    def _steps(self) -> LimitGrid:
        """Return the limits that may be tried. Raises UsageError if there are none."""
        low = -(-self._subject.min_bytes // self._step_bytes)
        steps = LimitGrid(self._step_bytes, low, self._subject.max_bytes // self._step_bytes)
        if steps.low > steps.high:
            lowest = "the need of a process" if self._subject.idle_bytes is None else "the idle worker's need"
            reason = f"no multiple is between {lowest} and all memory"
            raise UsageError(Setting("step", format_size(self._step_bytes)), reason, "try 4M")
        return steps

    def _draw(self, by: Figure, steps: LimitGrid) -> None:
        """Run where the curve bends, at most as often as allowed."""
        ripple, low_bytes = noise(self._of_plenty(str(by))), steps.low * steps.size_bytes
        for _ in range(self._demands.curve_runs):
            limit_bytes = next_limit(self._points(by), ripple, low_bytes, steps.size_bytes)
            if limit_bytes is None:
                break
            self._search.run(limit_bytes, may_swap=self._subject.has_swap)

    def _points(self, by: Figure) -> tuple[CurvePoint, ...]:
        limits = [trial.limit_bytes for trial in self._search.trials if trial.limit_bytes is not None]
        top = max(self._top_bytes, *limits, 0) // self._step_bytes + 1  # plenty is more than any limit
        return points(self._search.trials, str(by), top * self._step_bytes, may_swap=self._subject.has_swap)

    def _try(self, limit_bytes: int | None, *, may_swap: bool) -> Trial:
        limit = None if limit_bytes is None else Limit(limit_bytes)
        terminal.show(f"edgeload: trying {limit or 'no limit'}, swap {'on' if may_swap else 'off'}")
        earlier = [t for t in self._search.trials if (t.limit_bytes, t.may_swap) == (limit_bytes, may_swap)]
        try:
            run = self._subject.measure(limit, None if may_swap else _NO_SWAP, self._timeout_s, len(earlier))
        except InvalidPlan as error:
            return Trial(limit_bytes, may_swap, "no plan", detail=str(error))
        return self._trial(limit_bytes, run, may_swap=may_swap)

    def _show(self, trial: Trial) -> None:
        terminal.say(f"edgeload: {texts.line(trial, self._metrics)}")

    def _trial(self, limit_bytes: int | None, run: Measurement, *, may_swap: bool) -> Trial:
        record, values = Record(self._subject.case, (run,)), {}
        self._notices = run.notices
        own = {name: metric.metric for name, metric in run.own.items()}
        for figure in self._figures:
            value = value_of(runs_of(record, figure), figure.stat)
            if value is not None:
                values[str(figure)] = value
                self._metrics[str(figure)] = figure.known(own).kind
        return Trial(
            limit_bytes,
            may_swap,
            run.outcome,
            run.swap_out_bytes,
            run.detail,
            values,
            run.peak_charged_bytes or run.peak_bytes,
            run.peak_anon_bytes,
            (run.startup_s or 0.0) + (run.makespan_s or 0.0),
        )


def _step(plenty_bytes: int) -> int:
    """Return the power of two that is at most 1/64 of the memory with plenty, and more than half of that."""
    return max(_MIN_STEP_BYTES, 1 << max(0, (plenty_bytes // _PRECISION).bit_length() - 1))
