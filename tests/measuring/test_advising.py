"""The search for advice in virtual time, over networks that are only numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pytest_edgeload.measuring.advising import Advisor
from pytest_edgeload.measuring.choosing import Chooser, SearchSpace
from pytest_edgeload.measuring.predictor import AS_IT_IS, Predictor, Slowdown
from pytest_edgeload.measuring.stored_mix import StoredMix
from pytest_edgeload.planning.machine_speeds import ComputeSpeed, MachineSpeeds, WorkerCost
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.advice import LimitAdvice, Objective, PolicyChoice
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Ask, Mix, Workload
from pytest_edgeload.workload.arrivals import Periodic
from pytest_edgeload.workload.streams import Stream
from tests.builders import network

M = 1 << 20
MACHINE = MachineSpeeds(
    computing=tuple(ComputeSpeed("", threads, 0.0, s, 0.0, 0.0) for threads, s in ((1, 2.5e-11), (2, 3e-10))),
    worker=WorkerCost(idle_bytes=100 * M),
)
"""A busy machine, on which two threads are slower than one."""
NETWORKS = {
    name: network(*((8 * M, M, M) for _ in range(count)), name=name, flops=[80 * M] * count)
    for name, count in (("small", 4), ("large", 12))
}
POLICY_NAMES = ("bulk", "linear", "partial", "mema", "stream")


def _never(workload: Workload, budget: Budget) -> Plan:
    raise InvalidPlan("", "has no plan")


def _advisor(objective: Objective, policies: Sequence[str] = POLICY_NAMES) -> Advisor:
    mix = Mix.of("both", ["small", "large"])
    predictor = Predictor(mix, StoredMix(NETWORKS), {**POLICIES, "never": _never}, MACHINE)
    return Advisor(Chooser(predictor, objective, SearchSpace(policies)), lambda _: None)


def test_every_limit_of_the_ladder_works_and_plenty_is_quicker_than_the_least() -> None:
    """Some policy works from the smallest limit on, and the last limit is enough for all weights at once."""
    advisor = _advisor(Objective("makespan_s"))
    steps = advisor.ladder(None)
    best = [advisor.at(limit).best for limit in steps]
    values = [each.value for each in best if each is not None and each.value is not None]
    assert len(values) == len(steps) > 3
    assert values[-1] < 1.1 * min(values) < values[0]
    assert "bulk" in advisor.at(steps[-1]).working
    assert "bulk" not in advisor.at(steps[0]).working


def test_device_ends_the_ladder() -> None:
    """With the memory of a device, it is the largest limit."""
    advisor = _advisor(Objective("makespan_s"))
    assert max(advisor.ladder(None)) > 160 * M
    assert max(advisor.ladder(160 * M)) == 160 * M


def test_goal_is_met_by_the_smallest_limit() -> None:
    """The limit to use meets the goal, and is smaller than the limit of the ladder that meets it."""
    free, unbound = _advisor(Objective("makespan_s")), None
    steps = free.ladder(None)
    unbound = [free.at(limit).best for limit in steps]
    goal = sorted(each.value for each in unbound if each is not None and each.value is not None)[2]
    advisor = _advisor(Objective("makespan_s", goal * 1.01))
    advice, _ = advisor.advise(steps)
    assert advice is not None
    assert advice.best is not None
    assert advice.best.value is not None
    assert advice.best.value <= goal * 1.01
    smaller = [each for each in advisor.limits.values() if each.limit_bytes < advice.limit_bytes]
    assert smaller
    assert not any(_meets(each, goal * 1.01) for each in smaller)


def _meets(limit: LimitAdvice, goal: float) -> bool:
    return limit.best is not None and limit.best.value is not None and limit.best.value <= goal


def test_goal_out_of_reach_gives_no_advice() -> None:
    """Without a limit that meets the goal, there is no advice and nothing that would change it."""
    advisor = _advisor(Objective("makespan_s", 1e-6))
    assert advisor.advise(advisor.ladder(None)) == (None, ())


def _streaming(
    rate: float, goal: float | None = 0.9, threads: Sequence[int] = (1,), later_rate: float = 0.0
) -> Advisor:
    """Return an advisor on two networks that are each asked 12 times, at this rate.

    At the end, the small one is also asked at the later rate.
    """
    streams = [Stream(name, name, Periodic(1 / rate), queue=1) for name in NETWORKS]
    if later_rate:
        streams.append(Stream("later", "small", Periodic(1 / later_rate), start_s=10 / rate, queue=1))
    mix = Mix.of_streams("both", streams, duration_s=11.5 / rate)
    space = SearchSpace(("bulk", "linear", "lru", "mema"), ("direct", "read"), threads)
    predictor = Predictor(mix, StoredMix(NETWORKS), POLICIES, MACHINE)
    return Advisor(Chooser(predictor, Objective("in_time", goal), space), lambda _: None)


@pytest.mark.parametrize("rate", [1.0, 3.0, 8.0])
def test_first_requests_do_not_change_the_answer(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate, the predictions of most choices end early, and the advice is that of all predictions."""
    advisor = _streaming(rate)
    limits = advisor.ladder(None)[1:4]
    quick, _ = advisor.advise(limits)
    bounds = [each for limit in advisor.limits.values() for each in limit.predictions if each.is_bound]
    assert bounds
    monkeypatch.setattr(Predictor, "begins_alike", property(lambda _: False))
    thorough, _ = _streaming(rate).advise(limits)
    assert (quick is None) == (thorough is None)
    if quick is not None and thorough is not None:
        assert quick.limit_bytes == thorough.limit_bytes
        assert quick.best is not None
        assert thorough.best is not None
        assert quick.best.value == thorough.best.value
        assert {quick.best.choice.policy, *quick.tied} == {thorough.best.choice.policy, *thorough.tied}


def test_first_requests_in_time_do_not_end_the_search() -> None:
    """Only one thread meets the goal, because two are late at the end."""
    advisor = _streaming(1.0, threads=(2, 1), later_rate=8.0)
    found = advisor.at(advisor.ladder(None)[1])
    assert found.best is not None
    assert found.best.choice.threads == 1
    assert found.meets(advisor.objective)
    two = _streaming(1.0, threads=(2,), later_rate=8.0)
    assert not two.at(found.limit_bytes).meets(two.objective)


def test_goal_out_of_reach_has_one_prediction_of_all_requests() -> None:
    """If no limit meets the goal of a rate, the best choice under the largest one is predicted to the end."""
    advisor = _streaming(8.0)
    limits = advisor.ladder(None)[1:4]
    assert advisor.advise(limits) == (None, ())
    assert [advisor.limits[limit].best is not None for limit in limits] == [False, False, True]
    best = advisor.limits[limits[-1]].best
    assert best is not None
    assert best.value == _share(advisor, best.choice, limits[-1], AS_IT_IS)


@pytest.mark.parametrize("threads", [(1,), (2, 1)])
def test_goal_costs_few_predictions_of_all_requests(threads: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits under which no choice can meet the goal cost none, and threads are tried with one reader."""
    counts: Counter[tuple[int, int]] = Counter()
    predict = Predictor.predict

    def counted(self: Predictor, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown) -> Measurement | None:
        counts[len(self.mix.asks), limit_bytes] += 1
        return predict(self, choice, limit_bytes, slowdown)

    monkeypatch.setattr(Predictor, "predict", counted)
    advisor = _streaming(8.0, threads=threads)
    steps, policies = advisor.ladder(None), len(advisor.chooser.space.policies)
    requests = len(advisor.predictor.mix.asks)
    missed = [limit for limit in steps if not advisor.at(limit).meets(advisor.objective)]
    assert missed
    assert len(missed) < len(steps)
    for limit in steps:
        assert counts[requests, limit] == 0 if limit in missed else 0 < counts[requests, limit] <= policies
    counts.clear()
    easy = _streaming(1.0, threads=threads).at(steps[-1])
    assert easy.best is not None
    assert easy.best.value == 1
    others = 3 * len(threads)  # of three policies: the other reader, and the other number of threads
    assert counts.total() <= policies + others + 1  # and the best one to the end


def test_least_limit_is_for_all_networks() -> None:
    """It is that of all requests, also if the second network is first asked after several requests for the first."""
    asks = tuple(Ask(name, arrival_s=float(i)) for i, name in enumerate(["small", "small", "small", "large"]))
    predictor = Predictor(Mix("late", asks, "open"), StoredMix(NETWORKS), POLICIES, MACHINE)
    needed_bytes = predictor.min_peak_bytes("linear")
    assert needed_bytes is not None
    assert predictor.low_limit_bytes(["linear"]) == predictor.min_limit_bytes + needed_bytes


def test_first_requests_have_times_of_their_own_if_those_are_service_times() -> None:
    """The service time of a third of the requests is another one, so they say nothing about all."""
    seconds = _streaming(1.0).predictor
    assert seconds.begins_alike
    assert not replace(seconds, mix=replace(seconds.mix, clock="service")).begins_alike


@pytest.mark.parametrize(("rate", "goal", "limits"), [(6.0, 0.4, (126, 134)), (8.0, None, (200, 256))])
def test_gains_are_those_of_all_requests(rate: float, goal: float | None, limits: Sequence[int]) -> None:
    """What would change the advice meets the goal, and is compared with a prediction of all requests."""
    advisor = _streaming(rate, goal)
    advice, changes = advisor.advise([limit * M for limit in limits])
    assert advice is not None
    assert advice.best is not None
    assert changes
    slowdowns = {"slower reads": Slowdown(read=2.0), "slower processor": Slowdown(compute=2.0)}
    for change in changes:
        slowdown = slowdowns.get(change.circumstance, AS_IT_IS)
        limit = advice.limit_bytes if change.circumstance in slowdowns else int(change.at)
        readers = advisor.chooser.space.readers
        own = [PolicyChoice(advice.best.choice.policy, reader, 1) for reader in readers]
        [found, *values] = [_share(advisor, choice, limit, slowdown) for choice in (change.choice, *own)]
        assert found is not None
        assert advisor.objective.is_met(found)
        known = [value for value in values if value is not None]
        assert change.gain == (pytest.approx(found - max(known)) if known else None)


def _share(advisor: Advisor, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown) -> float | None:
    run = advisor.predictor.predict(choice, limit_bytes, slowdown)
    return None if run is None else advisor.objective.value(run)


def test_policy_without_a_plan_is_left_out() -> None:
    """A policy that finds no plan is an outcome, and a choice of such policies alone has no ladder."""
    advisor = _advisor(Objective("makespan_s"), ("never", "linear"))
    found = advisor.at(200 * M)
    assert [(each.choice.policy, each.outcome) for each in found.predictions] == [
        ("linear", "ok"),
        ("never", "no plan"),
    ]
    assert _advisor(Objective("makespan_s"), ("never",)).ladder(None) == []


@pytest.mark.parametrize("slowdown", [Slowdown(read=2.0), Slowdown(compute=2.0), Slowdown(2.0, 2.0)])
def test_slower_machine_is_slower(slowdown: Slowdown) -> None:
    """Slower reads or a slower processor lengthen a run that waits for both by at most as much."""
    predictor = _advisor(Objective("makespan_s")).predictor
    runs = [predictor.predict(PolicyChoice("linear", "direct", 1), 200 * M, each) for each in (Slowdown(), slowdown)]
    times = [run.makespan_s for run in runs if run is not None and run.makespan_s is not None]
    assert times[0] < times[1] <= 2.01 * times[0]
