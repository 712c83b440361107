"""Metrics of the steps of requests, and the steps that a record keeps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.derived import task_infos
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.steps import MAX_KEPT_STEPS, kept_steps, resident_shares, with_steps
from pytest_edgeload.workload import Ask, Request, Workload
from tests.builders import SPEEDS

RUN = Measurement(
    outcome="ok",
    makespan_s=10.0,
    read_bytes=1000,
    arrived_s=(0.0, 1.0, 1.0),
    step_ends_s=((2.0, 3.0, 5.0), (4.0,), (3.0, 10.0)),
)


def test_times_of_steps_are_between_their_ends() -> None:
    """The first step counts from the arrival, the others from the end of the step before; single steps do not count."""
    run = with_steps(RUN, 0)
    assert (run.first_step_s, run.steps_per_s) == (2.0, 0.5)
    assert run.step_mean_s == pytest.approx(10 / 3)
    assert (run.step_p50_s, run.step_ends_s) == (2.0, RUN.step_ends_s)


@pytest.mark.parametrize(("first_bytes", "per_step_bytes"), [(0, 333), (400, 200), (1000, 0), (2000, 0)])
def test_bytes_read_again_are_per_later_step(first_bytes: int, per_step_bytes: int) -> None:
    """Bytes beyond the first reading are divided among the steps after the first one of each request."""
    assert with_steps(RUN, first_bytes).read_per_step_bytes == per_step_bytes


def test_run_without_steps_stays_as_it_is() -> None:
    """A run whose requests have one step has no metrics of steps."""
    run = Measurement(outcome="ok", makespan_s=1.0, arrived_s=(0.0,), step_ends_s=((1.0,),))
    assert with_steps(run, 0) is run


@given(st.integers(1, 20_000))
@example(MAX_KEPT_STEPS + 1)
def test_kept_steps_are_the_first_the_last_and_equally_many_between(steps: int) -> None:
    """The steps that a record keeps are in order, few, and apart by nearly the same number."""
    kept = kept_steps(steps)
    gaps = {after - before for before, after in pairwise(kept)}
    assert (kept[0], kept[-1], len(kept)) == (0, steps - 1, min(steps, MAX_KEPT_STEPS))
    assert not gaps or min(gaps) >= max(1, max(gaps) - 1)


def test_record_of_many_steps_is_small() -> None:
    """A thousand ends become 256 after their metrics are known."""
    run = Measurement(outcome="ok", arrived_s=(0.0,), step_ends_s=(tuple(map(float, range(1, 1001))),))
    thin = with_steps(run, 0)
    assert (thin.step_mean_s, len(thin.step_ends_s[0]), thin.step_ends_s[0][-1]) == (1.0, MAX_KEPT_STEPS, 1000.0)
    assert thin.steps_per_s is thin.read_per_step_bytes is None


@pytest.mark.parametrize("steps", [2, 4, 20])
@pytest.mark.parametrize(("policy", "layers"), [("bulk", 4), ("linear", 0), ("stream", 2)])
def test_resident_share_follows_from_the_loads_of_a_step(policy: str, layers: int, steps: int) -> None:
    """Of four equal layers, `bulk` keeps all, `linear` none, and `stream` the two that fit beside its ring."""
    composer, width = Composer(1, 256), 256
    x = composer.input
    for _ in range(4):
        x = composer.linear(x, width, bias=False)
    asked = Workload("loop", (Request(composer.done(x, steps=steps), steps=steps),))
    room_bytes = asked.requests[0].network.weight_bytes * 3 // 4
    plan = POLICIES[policy](asked, Budget(room_bytes, speeds=SPEEDS))
    found = simulate(plan, asked, speeds=SPEEDS)
    run = Measurement(outcome="ok", tasks=found.spans, totals=found.totals, steps=task_infos(plan, asked))
    shares = resident_shares(run, [Ask("net", steps=steps)])["net"]
    assert [*shares] == sorted({*range(2, min(steps, 4) + 1), steps})
    if policy != "stream":
        assert {*shares.values()} == {layers / 4}
    else:
        assert all(0.25 <= share < 0.75 for share in shares.values())
        assert len({round(share, 6) for share in shares.values()}) == 1
