"""`stream` with requests that have deadlines and arrive over time: urgent ones first, nobody starves, no foresight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, WHOLE, Tile
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST, Budget, Plan, Speeds
from pytest_edgeload.planning.simulate import Simulation, simulate
from pytest_edgeload.policies.stream import stream
from pytest_edgeload.policies.streaming.chains import TILE_S, grouped, operators_bytes
from pytest_edgeload.policies.streaming.resident import GAIN, Demand, Residents
from pytest_edgeload.policies.streaming.streams import is_of_streams
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse
from pytest_edgeload.workload import Condition, Request, Workload


def _linear(widths: Sequence[int], name: str) -> Network:
    """Return a network of linear layers between vectors of these widths."""
    composer = Composer(1, widths[0])
    x = composer.input
    for width in widths[1:]:
        x = composer.linear(x, width)
    return msgspec.structs.replace(composer.done(x), name=name)


def _deep(layers: int, width: int, name: str) -> Network:
    """Return a network of linear layers with so many inputs and outputs."""
    return _linear([width] * (layers + 1), name)


SMALL, MEDIUM, LARGE = _deep(2, 64, "small"), _deep(3, 128, "medium"), _deep(4, 256, "large")
"""Networks of 33 KiB, 194 KiB and 1 MiB."""

DEADLINES_S = {"small": 0.25, "medium": 1.0, "large": 4.0}
SPEEDS = Speeds(read_bytes_per_s=4e6, flops_per_s=4e6)
"""At these speeds, the networks take 8 to 260 ms to read, and half as long to execute."""


@st.composite
def asked_over_time(draw: st.DrawFn) -> Workload:
    """Draw requests with deadlines at quarters of a second; all networks at first.

    Some have several steps, conditions, triggers, or wait in a queue from which newer ones push them.
    """
    requests = [Request(made, 0, 0.0, 0, DEADLINES_S[made.name], steps=3) for made in (LARGE, MEDIUM, SMALL)]
    for quarters in sorted(draw(st.lists(st.integers(1, 20), min_size=1, max_size=8))):
        made = draw(st.sampled_from([SMALL, MEDIUM, LARGE]))
        decider = draw(st.none() | st.integers(0, len(requests) - 1))
        when = None if decider is None else Condition(decider, 0.5)
        steps, queue = draw(st.sampled_from([1, 1, 3])), draw(st.sampled_from([None, 1, 2]))
        after = draw(st.none() | st.integers(0, len(requests) - 1))
        deadline_s = DEADLINES_S[made.name]
        requests.append(Request(made, 0, quarters / 4, 0, deadline_s, when, steps, (), made.name, queue, after))
    return Workload("over time", tuple(requests))


BUDGETS = st.sampled_from([None, 256 << 10, 512 << 10, 1 << 20, 3 << 20]).map(
    lambda memory_bytes: Budget(memory_bytes, speeds=SPEEDS)
)


@given(asked_over_time(), BUDGETS, st.data())
def test_plans_work_within_the_budget(asked: Workload, budget: Budget, data: st.DataObject) -> None:
    """Plans are valid, none stops, and the peak is at most the budget unless activations and rings need more."""
    plan = stream(asked, budget)
    check_plan(plan, asked)
    found = simulate(plan, asked, speeds=SPEEDS, holds=lambda _: data.draw(st.booleans()))
    if budget.memory_bytes is not None:
        fixed_bytes = sum(group.fixed_bytes for group in grouped(asked, budget))
        answers_bytes = sum(request.network.answer_bytes for request in asked.requests)
        assert found.peak_bytes <= max(budget.memory_bytes, fixed_bytes + answers_bytes)


@given(asked_over_time(), BUDGETS, st.integers(0))
def test_what_comes_later_changes_nothing(asked: Workload, budget: Budget, at: int) -> None:
    """The plan for the requests up to a moment is the beginning of the plan for all, except for the last frees."""
    until_s = asked.requests[3 + at % (len(asked.requests) - 3)].arrival_s
    known = replace(asked, requests=tuple(request for request in asked.requests if request.arrival_s <= until_s))
    plan, tasks = stream(asked, budget), [*stream(known, budget).tasks]
    while tasks[-1].kind == "free":
        tasks.pop()
    assert list(plan.tasks[: len(tasks)]) == tasks


def _simulated(
    requests: Sequence[Request], memory_bytes: int | None = None
) -> tuple[Plan, Simulation, dict[int, float]]:
    """Return the plan, its simulation, and the seconds until the answer by request."""
    asked = Workload("streams", tuple(sorted(requests, key=lambda request: request.arrival_s)))
    assert is_of_streams(asked)
    plan = stream(asked, Budget(memory_bytes, speeds=SPEEDS))
    found = simulate(plan, asked, speeds=SPEEDS)
    ends = {plan.tasks[s.task].request: s.end_s for s in found.spans if plan.tasks[s.task].kind == "exec"}
    return plan, found, {r: end_s - asked.requests[r].arrival_s for r, end_s in sorted(ends.items())}


def _every(made: Network, every_s: float, count: int, first_s: float = 0.0) -> list[Request]:
    return [Request(made, 0, first_s + every_s * k, 0, DEADLINES_S[made.name]) for k in range(count)]


@pytest.mark.parametrize("memory_bytes", [None, 700 << 10])
def test_urgent_requests_do_not_wait_for_long_ones(memory_bytes: int | None) -> None:
    """Small requests are answered in time while a large one is read and executed, with memory for a part of it."""
    requests = [*_every(LARGE, 4.0, 2), *_every(SMALL, 0.25, 20, 0.01)]
    _, _, responses_s = _simulated(requests, memory_bytes)
    assert max(responses_s.values()) < 1.0
    small = [r for r, request in enumerate(sorted(requests, key=lambda r: r.arrival_s)) if request.network is SMALL]
    assert max(responses_s[r] for r in small) < 0.25


@pytest.mark.parametrize("memory_bytes", [None, 4 << 20])
def test_two_streams_of_one_network_do_not_wait_for_each_other(memory_bytes: int | None) -> None:
    """An urgent request is answered in time, although one of the same network with a long deadline came just before.

    No task of one waits for tasks of the other, except for weights that both use.
    """
    slow = [Request(LARGE, 0, 1.0 * k, 0, 8.0, stream="slow") for k in range(4)]
    urgent = [Request(LARGE, 0, 1.0 * k + 0.01, 0, 0.2, stream="urgent") for k in range(4)]
    plan, _, responses_s = _simulated([*slow, *urgent], memory_bytes)
    assert max(responses_s[2 * k + 1] for k in range(1, 4)) < 0.2 < max(responses_s[2 * k] for k in range(1, 4))
    for task in plan.tasks:
        if task.kind == "exec" and task.request % 2:
            awaited = [plan.tasks[index] for index in task.after]
            assert all(other.kind == "load" for other in awaited if other.request != task.request)


def test_a_network_in_memory_answers_while_another_is_read() -> None:
    """A request whose weights are in memory does not wait for reads of others, even if those are more urgent."""
    requests = [Request(SMALL, 0, at_s, 0, 8.0) for at_s in (0.0, 0.51)] + [Request(LARGE, 0, 0.5, 0, 4.0)]
    _, _, responses_s = _simulated(requests)
    assert responses_s[2] < 2 * sum(map(SPEEDS.exec_s, SMALL.layers)) + SPEEDS.exec_s(LARGE.layers[0])
    assert responses_s[1] > 4 * responses_s[2]


@pytest.mark.parametrize("memory_bytes", [None, 4 << 20])
def test_an_urgent_request_does_not_wait_for_a_long_exec(memory_bytes: int | None) -> None:
    """A layer that computes for a second is cut, so that urgent requests wait for a fraction of it at a time."""
    composer = Composer(1, 1000)
    long = msgspec.structs.replace(composer.done(composer.linear(composer.input, 2000)), name="large")
    assert SPEEDS.exec_s(long.layers[0]) == 1.0
    requests = [*_every(long, 4.0, 2), *_every(SMALL, 0.25, 20, 0.01)]
    plan, found, responses_s = _simulated(requests, memory_bytes)
    execs = [span.end_s - span.start_s for span in found.spans if plan.tasks[span.task].kind == "exec"]
    assert max(execs) <= TILE_S + 1e-9
    small = [r for r, request in enumerate(sorted(requests, key=lambda r: r.arrival_s)) if request.network is SMALL]
    assert max(responses_s[r] for r in small) < 0.25


def test_a_burst_does_not_starve_others() -> None:
    """A burst of requests that are late keeps no request of another network from its deadline."""
    burst = [Request(LARGE, 0, 0.5, 0, 0.5) for _ in range(20)]
    requests = [*_every(SMALL, 0.25, 40), *burst]
    _, _, responses_s = _simulated(requests, 700 << 10)
    ordered = sorted(requests, key=lambda request: request.arrival_s)
    assert max(responses_s.values()) > 4 * 0.5
    assert max(response_s for r, response_s in responses_s.items() if ordered[r].network is SMALL) < 0.25


def test_a_request_waits_for_a_bounded_time() -> None:
    """While more urgent requests take all the time, another is served after so many of its deadlines at the latest."""
    busy = [Request(MEDIUM, 0, 0.01 * k, 0, 0.02) for k in range(500)]
    request = Request(SMALL, 0, 0.5, 0, 0.25)
    requests = sorted([*busy, request], key=lambda request: request.arrival_s)
    _, _, responses_s = _simulated(requests)
    longest_exec_s = SPEEDS.exec_s(MEDIUM.layers[0])
    alone_s = SPEEDS.service_s(SMALL)
    answered_s = responses_s[requests.index(request)]
    assert answered_s <= DEADLINES_UNTIL_FIRST * 0.25 + alone_s + longest_exec_s * (1 + len(SMALL.layers))


def test_a_network_that_is_asked_more_often_stays() -> None:
    """With room for one of two networks, the one that is asked more often is read once, the other each time."""
    often, seldom = _deep(8, 128, "medium"), _deep(8, 128, "large")
    requests = [*_every(often, 0.5, 16), *_every(seldom, 2.0, 4, 0.1)]
    plan, _, _ = _simulated(requests, 1400 << 10)
    networks = [request.network.name for request in sorted(requests, key=lambda request: request.arrival_s)]
    loads = [(networks[task.request], task.layer, task.tile) for task in plan.tasks if task.kind == "load"]
    sizes = {name: len({load for load in loads if load[0] == name}) for name in ("medium", "large")}
    counts = {name: sum(load[0] == name for load in loads) / sizes[name] for name in sizes}
    assert counts["medium"] < 2
    assert counts["large"] > 3


def test_networks_that_fit_with_their_rings_are_read_once() -> None:
    """Two networks that fit in memory, but not next to their rings, are read once, although one is asked more often."""
    often, seldom = _deep(8, 128, "medium"), _deep(8, 256, "large")
    requests = sorted([*_every(often, 0.5, 16), *_every(seldom, 2.0, 4, 0.1)], key=lambda request: request.arrival_s)
    asked, weights_bytes = Workload("two", tuple(requests)), often.distinct_bytes + seldom.distinct_bytes
    budget = Budget(weights_bytes * 3 // 2, speeds=SPEEDS)
    groups = grouped(asked, budget)
    assert [group.chains for group in groups] == [1, 1]
    others_bytes = operators_bytes(asked, budget) + sum(group.fixed_bytes for group in groups)
    assert weights_bytes > weights_bytes * 3 // 2 - others_bytes
    loads = Counter(
        (requests[task.request].network.name, task.layer, task.tile)
        for task in stream(asked, budget).tasks
        if task.kind == "load"
    )
    assert set(loads.values()) == {1}


def test_tiles_are_larger_if_all_stay() -> None:
    """Layers are cut into fewer tiles if all weights stay than if some are read again, and every tile is read once."""
    large = _deep(8, 256, "large")
    asked = Workload("two", (*_every(large, 0.5, 4), Request(SMALL, 0, 2.0, 0, 4.0)))
    plans = [stream(asked, Budget(int(share * large.distinct_bytes), speeds=SPEEDS)) for share in (1.5, 1.0)]
    fit, passing = (
        Counter((task.layer, task.tile) for task in plan.tasks if task.kind == "load" and task.request < 4)
        for plan in plans
    )
    assert len(fit) < len(passing)
    assert set(fit.values()) == {1}


def test_networks_share_a_chain_if_memory_is_short() -> None:
    """The networks with the longest deadlines are served one after the other if activations leave too little memory."""
    asked = Workload(
        "all",
        tuple(Request(made, 0, 0.1 * k, 0, DEADLINES_S[made.name]) for k, made in enumerate((SMALL, LARGE, MEDIUM))),
    )
    names = [
        [{asked.requests[first].network.name for first in group.uses} for group in grouped(asked, Budget(memory_bytes))]
        for memory_bytes in (None, 1 << 20, 0)
    ]
    assert names[0] == names[1] == [{"small"}, {"medium"}, {"large"}]
    assert names[2] == [{"small", "medium", "large"}]


TIMES = st.integers(1, 8).map(lambda eighths: eighths / 8)
NETWORKS = st.lists(
    st.lists(st.tuples(st.integers(1, 6), TIMES, TIMES), min_size=1, max_size=4), min_size=1, max_size=4
).map(
    lambda drawn: [
        [
            TileUse((n,), (n, i, WHOLE), pages * PAGE, read_s, exec_s)
            for i, (pages, read_s, exec_s) in enumerate(network)
        ]
        for n, network in enumerate(drawn)
    ]
)


@given(NETWORKS, st.lists(st.tuples(st.integers(0, 3), TIMES), max_size=12), st.integers(0, 20), st.integers(0, 2))
def test_residents_fit(drawn: list[list[TileUse]], asked: list[tuple[int, float]], pages: int, shrink: int) -> None:
    """The tiles that stay fit in the room, which shrinks; only tiles that stay go, and only others come."""
    demands = {n: Demand(uses, 0.25 * (n + 1), 1) for n, uses in enumerate(drawn)}
    residents = Residents(demands, pages * PAGE)
    stay: dict[TileKey, int] = {}
    for number, (n, deadline_s) in enumerate(asked):
        residents.room_bytes -= shrink * PAGE
        network = n % len(drawn)
        going, coming = residents.ask(network, 1, number / 4, number / 4 + deadline_s)
        for key in going:
            del stay[key]
        assert all(use in drawn[network] and use.key not in stay for use in coming)
        stay |= {use.key: use.size_bytes for use in coming}
        assert sum(stay.values()) <= max(0, residents.room_bytes)


@st.composite
def unequal_chains(draw: st.DrawFn) -> tuple[Workload, Budget]:
    """Draw two or three networks of unequal layers, requests for them, and memory for some of their tiles or all."""
    widths = st.lists(st.sampled_from([64, 100, 128, 160, 180, 200, 220, 256]), min_size=5, max_size=8)
    networks = [_linear(each, f"n{n}") for n, each in enumerate(draw(st.lists(widths, min_size=2, max_size=3)))]
    deadlines_s = [draw(st.sampled_from([0.25, 1.0, 4.0])) for _ in networks]
    requests, arrival_s = [], 0.0
    for quarters in draw(st.lists(st.sampled_from([1, 4, 16]), min_size=8, max_size=16)):
        n = draw(st.integers(0, len(networks) - 1))
        steps = draw(st.sampled_from([1, 1, 1, 3]))
        requests.append(Request(networks[n], 0, arrival_s, 0, deadlines_s[n], steps=steps))
        arrival_s += quarters / 4
    share = draw(st.integers(8, 32)) / 20
    memory_bytes = int(share * sum(made.distinct_bytes for made in networks))
    return Workload("chains", tuple(requests)), Budget(memory_bytes, speeds=SPEEDS)


@given(unequal_chains())
def test_unequal_tiles_stay_in_rings(drawn: tuple[Workload, Budget]) -> None:
    """Plans are valid if tiles of different sizes go round the rings, and some of them stay there."""
    asked, budget = drawn
    check_plan(stream(asked, budget), asked)


def test_tiles_that_stay_in_a_ring_do_not_take_places_of_each_other() -> None:
    """Tiles that fit in the ring, but not from its next place on, are read from its start on."""
    networks = _linear([100, 220, 256, 64, 180], "n0"), _linear([160, 220, 220, 100, 200, 200], "n1")
    order = (1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
    arrivals_s = (0.0, 4.0, 5.0, 6.0, 10.0, 14.0, 15.0, 16.0, 16.25, 17.25, 18.25)
    requests = [Request(networks[n], 0, at_s, 0, 4.0) for n, at_s in zip(order, arrivals_s, strict=True)]
    asked = Workload("chains", tuple(requests))
    check_plan(stream(asked, Budget(1_621_999, speeds=SPEEDS)), asked)


def _two(deadline_s: float, other_s: float) -> tuple[list[TileUse], list[TileUse], Residents]:
    """Return the tiles of two networks with these deadlines, and room for one of them."""
    one, other = ([TileUse((n,), (n, 0, WHOLE), PAGE, 1.0, 0.0)] for n in range(2))
    return one, other, Residents({0: Demand(one, deadline_s, 1), 1: Demand(other, other_s, 1)}, PAGE)


def test_a_tile_gives_way_only_to_one_worth_more() -> None:
    """A tile stays until another network is asked more often than GAIN times as often."""
    one, other, residents = _two(1.0, 1.0)
    assert residents.ask(0, 10, 0.0, 1.0) == ([], one)
    assert residents.ask(1, int(11 * GAIN) - 1, 2.0, 3.0) == ([], [])
    assert residents.ask(1, 1, 2.0, 3.0) == ([one[0].key], other)


def test_a_network_that_is_rarely_asked_leaves_room() -> None:
    """Before a network is asked, it is expected once per deadline: one that is expected less often does not stay."""
    _, other, residents = _two(10.0, 1.0)
    assert residents.ask(0, 1, 0.0, 10.0) == ([], [])
    assert residents.ask(1, 1, 0.0, 1.0) == ([], other)


def test_a_tile_does_not_give_way_while_its_network_is_less_urgent() -> None:
    """A tile stays as long as a request of its network is due later than the one that would take its place."""
    one, other, residents = _two(1.0, 1.0)
    assert residents.ask(0, 1, 0.0, 8.0) == ([], one)
    assert residents.ask(1, 50, 1.0, 2.0) == ([], [])
    assert residents.ask(1, 1, 7.5, 8.5) == ([one[0].key], other)


def _loads(plan: Plan) -> Counter[tuple[int | None, Tile]]:
    """Return how often each tile is loaded, for plans of one network."""
    return Counter((task.layer, task.tile) for task in plan.tasks if task.kind == "load")


@pytest.mark.parametrize("steps", [1, 3])
def test_tiles_stay_in_the_ring_if_nothing_passes_through_it(steps: int) -> None:
    """A network that fits in memory, but not beside a ring, is read once: the tiles that do not stay fit in the ring.

    Later, answers leave too little memory for it. Then tiles are read again, within the budget.
    """
    memory_bytes = LARGE.distinct_bytes * 3 // 2
    requests = [replace(request, steps=steps) for request in _every(LARGE, 1.0, 100)]
    asked = Workload("frames", tuple(requests))
    [group] = grouped(asked, Budget(memory_bytes, speeds=SPEEDS))
    assert memory_bytes * 3 // 4 - group.fixed_bytes < LARGE.distinct_bytes
    first = replace(asked, requests=asked.requests[:10])
    plan = stream(first, Budget(memory_bytes, speeds=SPEEDS))
    check_plan(plan, first)
    assert set(_loads(plan).values()) == {1}
    plan, found, _ = _simulated(requests, memory_bytes)
    check_plan(plan, asked)
    assert max(_loads(plan).values()) > 1
    assert found.peak_bytes <= memory_bytes


def test_two_requests_at_a_time_take_no_memory_from_tiles_that_stay() -> None:
    """A network has two chains unless all of its tiles stay with one chain, but not beside the rings of two."""
    asked = Workload("frames", tuple(_every(LARGE, 4.0, 4)))
    found = []
    for percent in range(100, 200, 5):
        budget = Budget(LARGE.distinct_bytes * percent // 100, speeds=SPEEDS)
        [group] = grouped(asked, budget)
        is_read_once = set(_loads(stream(asked, budget)).values()) == {1}
        found.append((group.chains, is_read_once))
    assert [each for each, _ in groupby(found)] == [(2, False), (1, True), (2, True)]
