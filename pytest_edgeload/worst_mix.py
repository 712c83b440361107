"""The search for the workload under which one policy loses most to others, by hypothesis. Needs hypothesis.

Hypothesis draws workloads and climbs towards larger losses; then it looks for the simplest workload whose loss is
almost as large. A loss is computed once for each workload, so a search is as good as its time allows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from pytest_edgeload.workload.arrivals import Periodic, Poisson
from pytest_edgeload.workload.file import WorkloadDocument
from pytest_edgeload.workload.stream_file import StreamEntry, StreamsDocument

try:
    from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings, target
    from hypothesis import strategies as st
    from hypothesis.database import InMemoryExampleDatabase
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "a search needs hypothesis; pip install 'pytest-edgeload[hypothesis]'", name="hypothesis"
    ) from None

WorkloadForm = WorkloadDocument | StreamsDocument
"""A workload as a file describes it."""

MAX_LOSS = 10.0
"""The largest loss; larger ones count as this one."""

_CLIMBING_SHARE = 0.6  # of the time; the rest is for simplifying
_ROUND = 50  # workloads between two looks at the clock
_KEPT_SHARE = 0.9  # of the largest loss, in the simplest workload
_MAX_REQUESTS, _MAX_IMAGES, _MAX_STREAMS = 6, 3, 3
_PACES = (1.0, 2.0, 0.5, 4.0)
_MAX_REQUEST_TIMES = 8  # until the end of a workload of streams


_QUEUES: st.SearchStrategy[int | UnsetType] = st.sampled_from((UNSET, 1, 2))


class WorstMix(NamedTuple):
    """A workload with its loss, and the number of workloads that were tried."""

    document: WorkloadForm
    loss: float
    tried: int


class _Found(Exception):
    """A workload has the loss that was demanded."""


def documents(networks: Sequence[str], alone_s: float) -> st.SearchStrategy[WorkloadForm]:
    """Draw workloads of these networks: requests at once or each after the other, or streams with deadlines.

    `alone_s` is the mean time of one request, the scale of all intervals. Simple workloads are drawn first.
    """
    names = st.sampled_from(tuple(networks))
    requests = st.builds(
        WorkloadDocument,
        requests=st.lists(names, min_size=1, max_size=_MAX_REQUESTS).map(tuple),
        images=st.integers(1, _MAX_IMAGES),
        loop=st.sampled_from((UNSET, "closed")),
    )
    return requests | _streams(tuple(networks), alone_s)


@st.composite
def _streams(draw: st.DrawFn, networks: Sequence[str], alone_s: float) -> StreamsDocument:
    entries = []
    for i in range(draw(st.integers(1, _MAX_STREAMS))):
        every_s = _rounded(alone_s * draw(st.sampled_from(_PACES)))
        arrivals = Poisson(_rounded(1 / every_s)) if i and draw(st.booleans()) else Periodic(every_s)
        deadline_s = _rounded(every_s * draw(st.sampled_from((1.0, 2.0, 0.5))))
        queue = draw(_QUEUES)
        network = draw(st.sampled_from(networks))
        entries.append(StreamEntry(network, f"stream{i}", arrivals, deadline_s=deadline_s, queue=queue))
    duration_s = _rounded(alone_s * draw(st.integers(2, _MAX_REQUEST_TIMES)))
    return StreamsDocument(tuple(entries), duration_s, seed=draw(st.integers(0, 9)))


def _rounded(value: float) -> float:
    """Return the value with two digits, as a person would write it."""
    return float(f"{value:.2g}")


class MixSearch:
    """A search, whose result so far is known also if it was interrupted.

    `loss` returns how much worse the policy is, as a share, or a negative number. `show` is called for each workload
    with the number of workloads so far and the largest loss. A search takes about `seconds`, but tries the first
    workloads, about 50, in any case.
    """

    def __init__(
        self,
        drawn: st.SearchStrategy[WorkloadForm],
        loss: Callable[[WorkloadForm], float],
        seconds: float,
        show: Callable[[int, float], None],
    ) -> None:
        self._drawn, self._loss, self._show = drawn, loss, show
        self._begin_s, self._seconds = time.monotonic(), seconds
        self._losses: dict[WorkloadForm, float] = {}
        self._best: WorkloadForm | None = None
        self._simplest: WorkloadForm | None = None
        self._demand = math.inf
        self._database = InMemoryExampleDatabase()

    @property
    def found(self) -> WorstMix | None:
        """The workload of `run`, as far as it is known."""
        found = self._simplest or self._best
        return None if found is None else WorstMix(found, self._losses[found], len(self._losses))

    def run(self) -> WorstMix | None:
        """Search, and return the simplest workload with nearly the largest loss; None without a loss above 0."""
        number = 0
        while number == 0 or not self._is_over(_CLIMBING_SHARE):
            self._round(number)
            number += 1
        if self._best is None:
            return None
        self._demand = _KEPT_SHARE * self._losses[self._best]
        with suppress(_Found):
            self._round(number)
        return self.found

    def _is_over(self, share: float) -> bool:
        return time.monotonic() - self._begin_s > share * self._seconds

    def _round(self, number: int) -> None:
        """Try some workloads. Those with the largest losses of earlier rounds are the first. Raises _Found."""

        @seed(number)
        @settings(
            max_examples=_ROUND,
            database=self._database,
            deadline=None,
            phases=(Phase.reuse, Phase.generate, Phase.target, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
        )
        @given(self._drawn)
        def attempt(document: WorkloadForm) -> None:
            value = self._loss_of(document)
            target(value)
            if value >= self._demand:
                self._simplest = document
                raise _Found

        attempt()

    def _loss_of(self, document: WorkloadForm) -> float:
        """Return the loss; at the end of the time only of workloads that are known, and -1 for all others.

        A slow machine tries the workloads of one round as well.
        """
        if document not in self._losses:
            if len(self._losses) >= _ROUND and self._is_over(1.0):
                return -1.0
            self._losses[document] = value = min(MAX_LOSS, self._loss(document))
            if value > (0.0 if self._best is None else self._losses[self._best]):
                self._best = document
            self._show(len(self._losses), 0.0 if self._best is None else self._losses[self._best])
        return self._losses[document]
