"""Promises of `stream`: a bound on memory, few reads of each tile, and an order that later requests do not change.

The tests cover uses, orders and places, and whole plans, both simulated and carried out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.exporting.materialise import materialise
from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, REQUESTED, WHOLE
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import Budget, Plan, Speeds
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.planning.span_log import KEPT_STEPS
from pytest_edgeload.policies.stream import READERS as READING_LANES
from pytest_edgeload.policies.stream import _ordered, stream
from pytest_edgeload.policies.streaming.best_order import KNOWN
from pytest_edgeload.policies.streaming.interleave import makespan_s, merge, orders
from pytest_edgeload.policies.streaming.memory import AHEAD, AHEAD_BYTES, Ring, activations_bytes, kept, room_bytes
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse, first_requests, serve, stages
from pytest_edgeload.strategies import arrivals, workloads
from pytest_edgeload.workload import Condition, Conditions, Request, Workload
from tests.accuracy.drawn_mixes import NETWORKS
from tests.builders import SPEEDS, embedding, network, workload
from tests.engine.performers import execute


@st.composite
def wide(draw: st.DrawFn) -> Network:
    """Draw a network of some KiB to a MiB."""
    composer = Composer(1, draw(st.integers(1, 8)), 6, 6)
    x = composer.input
    for _ in range(draw(st.integers(0, 2))):
        x = composer.relu(composer.conv2d(x, draw(st.integers(1, 24)), kernel=3))
    x = composer.flatten(x)
    for _ in range(draw(st.integers(1, 2))):
        x = composer.linear(x, draw(st.integers(1, 256)))
    return composer.done(x)


ASKED = workloads(wide(), max_requests=6) | workloads(wide(), arrivals=arrivals(), closed=False)


@st.composite
def batches(draw: st.DrawFn) -> Workload:
    """Draw a closed loop of batches that ask two or three networks each, where orders differ."""
    drawn = draw(st.lists(wide(), min_size=2, max_size=3))
    picked = draw(st.lists(st.lists(st.sampled_from(drawn), min_size=1, max_size=3), min_size=2, max_size=3))
    requests = (Request(one, batch=batch) for batch, some in enumerate([drawn, *picked]) for one in some)
    return Workload("batches", tuple(requests))


BUDGETS = st.builds(
    Budget,
    memory_bytes=st.none() | st.integers(0, 1 << 16) | st.integers(1 << 14, 1 << 22),
    speeds=st.sampled_from([Speeds(), Speeds(1e8, 1e9), Speeds(1e6, 1e11), Speeds(1e11, 1e6)]),
)


def _executed(plan: Plan, asked: Workload) -> list[tuple[int, TileKey]]:
    """Return which request executes which tile, in the order of the plan."""
    networks = first_requests(asked)
    execs = (task for task in plan.tasks if task.kind == "exec")
    return [(task.request, (networks[task.request], task.layer or 0, task.tile)) for task in execs]


def _loads(plan: Plan, asked: Workload) -> Counter[TileKey]:
    """Return how often each tile is loaded."""
    networks = first_requests(asked)
    return Counter((networks[t.request], t.layer or 0, t.tile) for t in plan.tasks if t.kind == "load")


@given(ASKED, BUDGETS, st.data())
def test_the_peak_stays_within_the_budget(asked: Workload, budget: Budget, data: st.DataObject) -> None:
    """The peak is at most the budget, or the activations and the largest tile if these need more, for any drops.

    The copy of its weights that a convolution makes counts as an activation, although no account shows it.
    """
    plan = stream(asked, budget)
    check_plan(plan, asked)
    uses = _ordered(asked, budget)
    activations = activations_bytes(uses, asked)
    largest = max(use.size_bytes for use in uses)
    found = simulate(plan, asked, speeds=budget.speeds, holds=lambda _: data.draw(st.booleans()))
    limit = plan.arena_bytes + activations if budget.memory_bytes is None else budget.memory_bytes
    assert found.peak_bytes <= max(limit, activations + largest)


def test_a_large_tile_has_room() -> None:
    """What stays leaves room for the largest tile that does not: no more is held than the budget, if it can be."""
    asked = workload(*[network((10 * PAGE, 1, 1), (4 * PAGE, 1, 1), (4 * PAGE, 1, 1))] * 2)
    asked = Workload("batches", tuple(replace(request, batch=r) for r, request in enumerate(asked.requests)))
    for pages in range(10, 20):
        plan = stream(asked, Budget(PAGE * pages + 100, speeds=SPEEDS))
        assert 10 * PAGE <= plan.arena_bytes <= PAGE * pages
        assert simulate(plan, asked, speeds=SPEEDS).peak_bytes <= PAGE * pages + 100


@given(batches(), BUDGETS)
def test_remembered_orders_change_no_plan(asked: Workload, budget: Budget) -> None:
    """A plan is the same whether the orders of its stages were found for another plan, or are found anew."""
    swapped = [replace(r, network=other.network) for r, other in zip(asked.requests, asked.requests[::-1], strict=True)]
    stream(Workload("swapped", tuple(swapped)), budget)
    plan = stream(asked, budget)
    KNOWN.clear()
    assert stream(asked, budget) == plan


def test_memory_that_saves_no_time_is_not_taken() -> None:
    """Without a limit, an order that keeps weights for later must save more time than their memory costs."""
    asked = workload(*[NETWORKS["mixed"], NETWORKS["linear"]] * 3)
    assert stream(asked, Budget()).arena_bytes < sum(NETWORKS[name].weight_bytes for name in ("mixed", "linear")) / 2


def test_inputs_are_read_shortly_before() -> None:
    """Of many requests that are served together no more than so many have read their inputs and are not executed."""
    asked = workload(*[network((PAGE, 1, 1), input_bytes=1000)] * 50)
    budget = Budget(PAGE + 50 + 1000 * (AHEAD + 2), speeds=SPEEDS)
    plan = stream(asked, budget)
    assert [len(use.requests) for use in _ordered(asked, budget)] == [50]
    found = simulate(plan, asked, speeds=SPEEDS)
    assert found.peak_bytes <= PAGE + 50 + 1000 * (AHEAD + 1)


def test_large_inputs_are_read_one_by_one() -> None:
    """Inputs that together exceed the bytes that may be read ahead are read one after the other."""
    input_bytes = AHEAD_BYTES // 2 + 1
    asked = workload(*[network((PAGE, 1, 1), input_bytes=input_bytes) for _ in range(5)])
    found = simulate(stream(asked, Budget(1 << 30, speeds=SPEEDS)), asked, speeds=SPEEDS)
    assert found.peak_bytes - found.peak_weight_bytes <= 2 * input_bytes + 50


@given(st.lists(st.integers(1, 200), min_size=1, max_size=3), st.integers(1, 30), BUDGETS)
def test_rows_that_are_asked_for_count(counts: list[int], requests: int, budget: Budget) -> None:
    """The rows that requests ask for, which may be loaded when they have read their inputs, are part of the account."""
    networks = [embedding("x", count) for count in counts]
    asked = workload(*(networks[r % len(networks)] for r in range(requests)))
    plan = stream(asked, budget)
    check_plan(plan, asked)
    assert plan.arena_bytes == 0
    found = simulate(plan, asked, speeds=budget.speeds)
    assert found.peak_weight_bytes > 0
    assert found.peak_bytes <= activations_bytes(_ordered(asked, budget), asked)


@given(ASKED, BUDGETS)
def test_each_tile_is_read_once_for_all(asked: Workload, budget: Budget) -> None:
    """With memory for everything each tile is read once in the whole run; with less, once for a use or for several."""
    plan, uses = stream(asked, budget), _ordered(asked, budget)
    loads = _loads(plan, asked)
    sizes = {use.key: use.size_bytes for use in uses}
    assert loads.keys() == sizes.keys()
    counts = Counter(use.key for use in uses)
    if budget.memory_bytes is None or room_bytes(uses, asked, budget.memory_bytes) >= sum(sizes.values()):
        assert {*loads.values()} == {1}
    else:
        assert all(loads[tile] in {1, counts[tile]} for tile in loads)
    assert _executed(plan, asked) == [(r, use.key) for use in uses for r in use.requests]


@given(ASKED, BUDGETS)
def test_uses_have_each_tile_once_and_in_order(asked: Workload, budget: Budget) -> None:
    """What serves a stage's requests of one network together has each of its tiles once, in order, for all of them."""
    for stage in stages(asked):
        for group in stage:
            uses = list(serve(asked, first_requests(asked)[group[0]], group, PAGE, budget.speeds))
            assert all(use.requests == group for use in uses)
            assert len({use.key for use in uses}) == len(uses)
            layers = asked.requests[group[0]].network.layers
            assert [layer for layer, _ in groupby(use.layer for use in uses)] == [*range(len(layers))]
            flops = sum(layer.flops for layer in layers) * len(group)
            assert sum(u.exec_s for u in uses) == pytest.approx(flops / budget.speeds.flops_per_s)


@given(ASKED)
def test_each_request_is_in_one_stage(asked: Workload) -> None:
    """Each request is in one stage, with requests that arrive with it and wait for none of it; stages are in order."""
    found = stages(asked)
    numbers = {r: number for number, stage in enumerate(found) for group in stage for r in group}
    assert [*range(len(asked.requests))] == sorted(r for stage in found for group in stage for r in group)
    for stage in found:
        together = [asked.requests[r] for group in stage for r in group]
        assert len({(request.batch, request.arrival_s) for request in together}) == 1
        assert all(len({id(asked.requests[r].network) for r in group}) == 1 for group in stage)
        assert len({id(asked.requests[group[0]].network) for group in stage}) == len(stage)
    for r, request in enumerate(asked.asked):
        assert request.when is None or numbers[request.when.request] < numbers[r]
    moments = [(asked.requests[s[0][0]].batch, asked.requests[s[0][0]].arrival_s) for s in found]
    assert moments == sorted(moments)


def test_tiles_are_read_once_for_requests_at_once() -> None:
    """Tiles are read once for requests that arrive together, and again for later ones if memory is too small.

    Here a tile takes longer to read than to execute.
    """
    composer = Composer(1, 64)
    made = composer.done(composer.linear(composer.relu(composer.linear(composer.input, 512)), 64))
    requests = tuple(Request(made, batch=batch) for batch in (0, 0, 0, 1, 1))
    asked = Workload("two batches", requests)
    plan = stream(asked, Budget(80 << 10))
    loads = _loads(plan, asked)
    assert len(loads) > 20
    assert {*loads.values()} == {1, 2}
    assert simulate(plan, asked).peak_bytes <= 80 << 10


@pytest.mark.parametrize(
    ("flops_per_s", "memory_bytes", "is_together"),
    [(1e9, 80 << 10, True), (1e5, 80 << 10, False), (1e5, None, False)],
    ids=["reading dominates", "computing dominates", "all tiles stay"],
)
def test_requests_at_once_go_together_if_that_saves_much_time(
    flops_per_s: float,
    memory_bytes: int | None,
    is_together: bool,  # noqa: FBT001
) -> None:
    """Requests go together if reading their tiles again would take long, and otherwise one is answered after another.

    The first answers come earlier then, and the last one hardly later.
    """
    composer = Composer(1, 64)
    made = composer.done(composer.linear(composer.relu(composer.linear(composer.input, 512)), 64))
    asked = Workload("at once", (Request(made),) * 4)
    budget = Budget(memory_bytes, speeds=Speeds(1e6, flops_per_s))
    plan = stream(asked, budget)
    check_plan(plan, asked)
    spans = simulate(plan, asked, speeds=budget.speeds).spans
    ends = {plan.tasks[span.task].request: span.end_s for span in spans if plan.tasks[span.task].kind == "exec"}
    assert (min(ends.values()) > 0.9 * max(ends.values())) == is_together


@given(ASKED | batches(), BUDGETS)
def test_what_comes_later_changes_no_order(asked: Workload, budget: Budget) -> None:
    """Requests up to a moment are executed first, and in the same order as if no requests follow.

    It is known whether requests arrive after the first ones: that decides between makespan and response times.
    """
    whole = _executed(stream(asked, budget), asked)
    moments = [(request.batch, request.arrival_s) for request in asked.requests]
    for count in range(1, len(moments)):
        if moments[count] != moments[count - 1] and any(moment != (0, 0.0) for moment in moments[:count]):
            before = replace(asked, requests=asked.requests[:count])
            part = _executed(stream(before, budget), before)
            assert whole[: len(part)] == part


@given(ASKED, BUDGETS)
def test_the_same_question_has_the_same_plan(asked: Workload, budget: Budget) -> None:
    """A workload that was written down and read again gets the plan that it got."""
    copies = {id(r.network): msgspec.json.decode(msgspec.json.encode(r.network), type=Network) for r in asked.requests}
    again = replace(asked, requests=tuple(replace(r, network=copies[id(r.network)]) for r in asked.requests))
    assert stream(again, budget) == stream(asked, budget)


def _use_of(layer: int, pages: int = 1, read_s: float = 1.0, exec_s: float = 0.0) -> TileUse:
    return TileUse((0,), (0, layer, WHOLE), pages * PAGE, read_s, exec_s)


TIMES = st.integers(0, 8).map(lambda eighths: eighths / 8)
CHAINS = st.lists(st.lists(st.tuples(st.integers(0, 6), TIMES, TIMES), max_size=8), max_size=4).map(
    lambda drawn: [[_use_of(10 * c + i, *use) for i, use in enumerate(chain)] for c, chain in enumerate(drawn)]
)


@given(CHAINS, st.integers(1, 3), st.integers(0, 20))
def test_merging_keeps_each_chain_in_order(chains: list[list[TileUse]], window: int, pages: int) -> None:
    """Merged chains have all their uses, each chain's in its order, and never more chains begun and not ended."""
    merged = merge(chains, window, pages * PAGE)
    assert len(merged) == sum(map(len, chains))
    begun: set[int] = set()
    for use in merged:
        number = use.layer // 10
        begun.add(number)
        assert len(begun) <= window
        assert use == chains[number].pop(0)
        if not chains[number]:
            begun.remove(number)


@given(CHAINS)
def test_each_order_has_all_uses(chains: list[list[TileUse]]) -> None:
    """The first order is the one that was asked for, and each has all uses. A single network has one order."""
    found = list(orders(chains, 100 * PAGE))
    assert len(chains) > 1 or len(found) == 1
    assert found[0] == [use for chain in chains for use in chain]
    for order in found:
        assert sorted(use.layer for use in order) == sorted(use.layer for use in found[0])


@pytest.mark.parametrize("turned", [False, True])
def test_convolutions_beside_fully_connected_layers(turned: bool) -> None:  # noqa: FBT001
    """One of two networks is executed while the other is read, in any order of the requests."""
    convolutions = [_use_of(i, read_s=0.125, exec_s=1.0) for i in range(5)]
    connected = [_use_of(10 + i, read_s=1.0, exec_s=0.125) for i in range(5)]
    chains = [connected, convolutions] if turned else [convolutions, connected]
    work_s = sum(max(use.read_s, use.exec_s) for chain in chains for use in chain)
    assert min(makespan_s(order, 100 * PAGE) for order in orders(chains, 100 * PAGE)) <= 0.6 * work_s


def test_interleaving_reads_no_further_ahead_than_the_ring() -> None:
    """Each of several long execs hides as many reads of another network as fit in the ring, so none is left over."""
    convolutions = [_use_of(i, read_s=0.125, exec_s=6.0) for i in range(4)]
    connected = [_use_of(10 + i, read_s=1.0, exec_s=0.125) for i in range(10)]
    small, large = 4 * PAGE, 100 * PAGE
    work_s = sum(use.exec_s for use in (*convolutions, *connected))
    assert makespan_s(merge([convolutions, connected], 2, small), small) == 0.125 + work_s
    assert makespan_s(merge([convolutions, connected], 2, large), small) > 0.125 + work_s


@st.composite
def repeated(draw: st.DrawFn) -> list[TileUse]:
    """Draw uses of a few tiles, those of one tile alike."""
    times = st.builds(_use_of, st.just(0), st.integers(0, 5), TIMES, TIMES)
    kinds = [
        msgspec.structs.replace(use, key=(0, i, WHOLE))
        for i, use in enumerate(draw(st.lists(times, min_size=1, max_size=7)))
    ]
    return draw(st.lists(st.sampled_from(kinds), max_size=20))


@given(repeated(), st.integers(-2, 20))
def test_kept_tiles_save_the_most_time(uses: list[TileUse], pages: int) -> None:
    """Kept tiles are used again and have room; any other tile has no room next to better ones."""
    sizes = kept(uses, pages * PAGE)
    counts, use_of = Counter(use.key for use in uses), {use.key: use for use in uses}
    assert all(counts[tile] > 1 and size_bytes == use_of[tile].size_bytes for tile, size_bytes in sizes.items())
    assert sum(sizes.values()) <= max(0, pages * PAGE)

    def worth(tile: TileKey) -> float:
        use = use_of[tile]
        return (counts[tile] - 1) * max(0.0, use.read_s - use.exec_s) / use.size_bytes

    for tile in (tile for tile in counts if counts[tile] > 1 and use_of[tile].size_bytes and tile not in sizes):
        better = sum(use_of[other].size_bytes for other in sizes if worth(other) >= worth(tile))
        assert better + use_of[tile].size_bytes > pages * PAGE


@given(st.lists(wide(), min_size=2, max_size=3), st.data())
def test_places_do_not_depend_on_the_order_of_requests(drawn: list[Network], data: st.DataObject) -> None:
    """If all tiles that are used again fit in memory, each has the same place, in whichever order they are used."""
    networks = [msgspec.structs.replace(one, name=str(n)) for n, one in enumerate(drawn)]
    found = []
    for _ in range(2):
        more = data.draw(st.lists(st.sampled_from(networks), max_size=6))
        order = data.draw(st.permutations([*networks, *networks, *more]))
        asked = Workload("x", tuple(Request(one, batch=batch) for batch, one in enumerate(order)))
        loads = (task for task in stream(asked, Budget(speeds=SPEEDS)).tasks if task.kind == "load")
        found.append({(order[task.request].name, task.layer, task.tile): task.place for task in loads})
    assert found[0] == found[1]


def test_rows_that_are_asked_for_are_not_kept() -> None:
    """Requested rows differ from request to request, so they are not kept."""
    asked = [TileUse((r,), (0, 0, REQUESTED), PAGE, 1.0, 0.0) for r in range(3)]
    assert kept(asked, 100 * PAGE) == {}
    assert not asked[0].has_place


@given(st.integers(0, 3), st.lists(st.integers(0, 6), max_size=30), st.integers(6, 20))
def test_a_ring_names_the_uses_that_it_replaces(first: int, sizes: list[int], pages: int) -> None:
    """Places are inside the ring; it names exactly the uses that still occupy a part of the place."""
    ring = Ring(first, first + pages)
    left: dict[int, set[int]] = {}
    for number, size in enumerate(sizes):
        place, gone = ring.take(size, number)
        taken = set(range(place, place + size))
        assert first <= place <= place + size <= ring.end
        if size:
            assert {other for other in gone if sizes[other]} == {n for n, held in left.items() if held & taken}
        left = {other: held - taken for other, held in left.items()}
        left[number] = taken


def _alone(plan: Plan) -> Plan:
    """Return the plan with one lane that reads."""
    first, second = READING_LANES
    tasks = (msgspec.structs.replace(t, lane=first if t.lane == second else t.lane) for t in plan.tasks)
    return msgspec.structs.replace(plan, tasks=tuple(tasks))


def _pages(*layers: tuple[int, int]) -> Network:
    """Return a network of layers of so many pages and FLOPs."""
    return network(*[(pages * PAGE, 1, 1) for pages, _ in layers], flops=[flops for _, flops in layers])


@given(st.integers(1, 3), st.lists(st.integers(0, 5000), min_size=1, max_size=12), st.integers(1, 12))
def test_a_run_takes_as_long_as_planned(pages: int, flops: list[int], count: int) -> None:
    """With one lane that reads tiles of one size, a run takes as long as was reckoned, however many the ring holds."""
    asked = workload(_pages(*((pages, cost) for cost in flops)))
    budget = Budget((1 + pages * PAGE * count + 1) * 4 // 3 + 1, speeds=SPEEDS)  # a quarter is left to operators
    plan = _alone(stream(asked, budget))
    uses = _ordered(asked, budget)
    assert plan.arena_bytes == pages * PAGE * min(count, len(flops))
    assert simulate(plan, asked, speeds=SPEEDS).makespan_s == makespan_s(uses, plan.arena_bytes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give two networks of some hundred KiB each, with two samples."""
    root = tmp_path_factory.mktemp("streamed")
    first = Composer(1, 3, 12, 12)
    x = first.relu(first.conv2d(first.input, 24, kernel=3, stride=2))
    x = first.add(x, first.conv2d(x, 24, kernel=3))
    x = first.linear(first.relu(first.linear(first.flatten(x), 80)), 10)
    second = Composer(1, 100)
    y = second.linear(second.relu(second.linear(second.input, 300)), 200)
    return materialise(first.done(x, samples=2), root), materialise(second.done(y, samples=2), root, seed=1)


ALWAYS, NEVER = Condition(0, -1e9), Condition(0, 1e9)
MIXES: Mapping[str, Sequence[tuple[int, int, Condition | None]]] = {
    "together": [(0, 0, None), (1, 0, None), (0, 0, None), (0, 0, None), (1, 0, None)],
    "closed loop": [(0, 0, None), (1, 0, None), (0, 1, None), (1, 1, None), (0, 2, None), (0, 2, None)],
    "conditions": [(0, 0, None), (1, 0, NEVER), (1, 0, ALWAYS), (0, 0, NEVER), (1, 1, NEVER), (1, 1, ALWAYS)],
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("memory_bytes", [160 << 10, 500 << 10, None])
@pytest.mark.parametrize(
    ("mix", "conditions"),
    [("together", "wait"), ("closed loop", "wait"), ("conditions", "wait"), ("conditions", "early")],
)
def test_plans_are_carried_out_right(
    folders: tuple[Path, Path], reader: str, memory_bytes: int | None, mix: str, conditions: Conditions
) -> None:
    """With any memory, reader and arrivals, the answers are right and no weights are left.

    With a small budget the ledger shows that no more was held.
    """
    networks = [read_graph(folder) for folder in folders]
    requests = tuple(
        Request(networks[n], r % 2, 0.0, batch, None, when) for r, (n, batch, when) in enumerate(MIXES[mix])
    )
    asked = Workload(mix, requests, conditions)
    plan = stream(asked, Budget(memory_bytes))
    check_plan(plan, asked)
    performer, ran = execute(plan, asked, *folders, reader=reader)
    assert ran.dropped == tuple(r for r, request in enumerate(requests) if request.when == NEVER)
    answered = [r for r in range(len(requests)) if r not in ran.dropped]
    assert [performer.compare(r).error for r in answered] == pytest.approx([0.0] * len(answered), abs=1e-6)
    assert performer._weights == {}
    answers = sum(requests[r].network.answer_bytes for r in answered)
    assert performer.ledger.held_bytes == plan.arena_bytes + answers
    if memory_bytes is not None:
        assert performer.ledger.peak_bytes <= memory_bytes
        assert any(isinstance(task.tile, tuple) for task in plan.tasks)


@pytest.mark.slow
@pytest.mark.parametrize("memory_bytes", [160 << 10, 500 << 10, None])
def test_streams_are_carried_out_right(folders: tuple[Path, Path], memory_bytes: int | None) -> None:
    """Requests with deadlines that arrive over time, wait in a queue or are triggered have the right answers."""
    camera, other = (read_graph(folder) for folder in folders)
    frames = [Request(camera, r % 2, 0.002 * r, 0, 0.002, stream="camera", queue=1) for r in range(20)]
    asks = [Request(other, r % 2, 0.002 * 19, 0, 0.05, stream="ask", after=7 * r) for r in range(3)]
    asked = Workload("streams", (*frames, *asks))
    plan = stream(asked, Budget(memory_bytes))
    check_plan(plan, asked)
    performer, ran = execute(plan, asked, *folders)
    answered = [r for r in range(len(asked.requests)) if r not in ran.dropped]
    assert 19 in answered
    assert [performer.compare(r).error for r in answered] == pytest.approx([0.0] * len(answered), abs=1e-6)
    assert performer._weights == {}
    if memory_bytes is not None:
        assert performer.ledger.peak_bytes <= memory_bytes


def _loads_by_step(plan: Plan, asked: Workload) -> Counter[tuple[TileKey, int]]:
    """Return how often each tile is loaded in each step of a simulated run of up to KEPT_STEPS steps."""
    networks = first_requests(asked)
    spans = ((plan.tasks[span.task], span.step) for span in simulate(plan, asked).spans)
    return Counter(((networks[t.request], t.layer or 0, t.tile), step) for t, step in spans if t.kind == "load")


@given(wide(), st.lists(st.integers(1, KEPT_STEPS), min_size=1, max_size=4), st.integers(1 << 18, 1 << 21))
def test_sequences_share_the_tiles_of_each_step(made: Network, counts: list[int], memory_bytes: int) -> None:
    """Requests of one network with several steps read each tile at most once a step, even if some have fewer steps.

    Each is executed in its own steps only, and all others of the same stage are not affected.
    """
    asked = Workload("sequences", tuple(Request(made, steps=count) for count in counts))
    plan = stream(asked, Budget(memory_bytes))
    check_plan(plan, asked)
    several = [count for count in counts if count > 1]
    loads = Counter(key for key, _ in _loads_by_step(plan, asked).elements())
    assert all(count <= max([0, *several]) + (1 in counts) for count in loads.values())
    ran = Counter(plan.tasks[span.task].request for span in simulate(plan, asked).spans if _is_first(plan, span.task))
    assert [ran[r] for r in range(len(counts))] == counts


def _is_first(plan: Plan, index: int) -> bool:
    """Return whether a task is the first exec of its request."""
    task = plan.tasks[index]
    return index == next(i for i, t in enumerate(plan.tasks) if (t.kind, t.request) == ("exec", task.request))


def test_two_sequences_read_as_much_as_one() -> None:
    """Two sequences of 20 and 32 steps, which begin together, read what the longer one alone reads.

    The activations of the second one take the room of at most one tile.
    """
    composer = Composer(1, 64)
    made = composer.done(composer.linear(composer.relu(composer.linear(composer.input, 512)), 64))
    budget = Budget(80 << 10)
    reads = []
    for counts in ((20, 32), (32,)):
        asked = Workload("sequences", tuple(Request(made, steps=count) for count in counts))
        plan = stream(asked, budget)
        found = simulate(plan, asked)
        loads = [total for total in found.totals if plan.tasks[total.task].kind == "load"]
        assert loads
        reads.append(sum(total.runs for total in loads))
    assert 0 <= reads[0] - reads[1] <= max(total.runs for total in loads)
