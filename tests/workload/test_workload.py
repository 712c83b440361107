"""Mixes become workloads, and what nothing could be made of is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_edgeload
from pytest_edgeload.base.arguments import MAX_SEED
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.workload import Ask, Condition, Mix, Request, Workload, awaited_requests
from pytest_edgeload.workload.arrivals import Constant, Exponential, Poisson, Process, Trace
from pytest_edgeload.workload.conditions import check_last_arrival
from tests.builders import network, timed_workloads

A, B = network((1, 1, 1), name="a"), network((2, 2, 2), name="b")


def test_a_mix_asks_every_network_about_one_image_then_the_next() -> None:
    """The requests go through the networks once for each image, repeated networks included; an image is a batch."""
    asks = [("b", 0), ("a", 0), ("b", 0), ("b", 1), ("a", 1), ("b", 1)]
    assert Mix.of("mix", ["b", "a", "b"], images=2).asks == tuple(Ask(name, image, image) for name, image in asks)


def test_a_mix_names_each_network_once() -> None:
    """The networks of a mix are those it asks, in order of first use."""
    assert Mix.of("mix", [*"hgfedcba", "f"], images=2).networks == tuple("hgfedcba")


@pytest.mark.parametrize(("networks", "images"), [([], 1), (["a"], 0), (["a"], -1)])
def test_a_mix_asks_something(networks: list[str], images: int) -> None:
    """A mix without a network or an image is refused by its name."""
    words = r"^workload mix: it has no requests; give at least one network and one image$"
    with pytest.raises(ValueError, match=words):
        Mix.of("mix", networks, images=images)


@pytest.mark.parametrize("loop", ["once", "closed", "open"])
def test_the_smallest_mix_is_the_first_request(loop: str) -> None:
    """The smallest mix keeps the name and the first request with its sample, at once and on no condition."""
    asks = (Ask("b", 3, 1, 2.0, 5.0), Ask("a", 0, 1, 2.0, None, Condition(0, 0.5)))
    assert Mix("mix", asks, loop).smallest() == Mix("mix", (Ask("b", 3),))  # type: ignore[arg-type]  # a literal


def test_a_mix_becomes_a_workload() -> None:
    """Names are replaced by networks, and all else stays: order, samples, times, conditions, the mix's name."""
    when = Condition(0, 0.25, "<=", 1, (0, 2))
    asks = (Ask("b", 3, deadline_s=2.0), Ask("a", arrival_s=1.5), Ask("b", 1, arrival_s=1.5, when=when))
    found = Mix("mix", asks, "open", conditions="early").workload({"a": A, "b": B})
    requests = (Request(B, 3, deadline_s=2.0), Request(A, 0, 1.5), Request(B, 1, 1.5, when=when))
    assert found == Workload("mix", requests, "early")


@pytest.mark.parametrize(
    ("loop", "batches"), [("once", [0, 0, 0, 0]), ("closed", [0, 0, 1, 1]), ("open", [0, 0, 0, 0])]
)
def test_only_a_closed_loop_waits_for_batches(loop: str, batches: list[int]) -> None:
    """Asks that arrive together are a batch of the workload in a closed loop; otherwise all are one batch."""
    mix = replace(Mix.of("mix", ["a", "b"], images=2), loop=loop)  # type: ignore[arg-type]  # a literal
    assert [request.batch for request in mix.workload({"a": A, "b": B}).requests] == batches


def test_a_missing_network_is_named() -> None:
    """A name that no network has raises KeyError with that name."""
    with pytest.raises(KeyError, match="'missing'"):
        Mix.of("mix", ["missing"]).workload({})


def test_a_batch_arrives_together() -> None:
    """In an open loop the requests of a batch have the batch's time, and the mix describes the process."""
    mix = Mix.of("mix", ["a", "b"], images=3).arriving(Constant(2.5))
    assert [ask.arrival_s for ask in mix.asks] == [0.0, 0.0, 2.5, 2.5, 5.0, 5.0]
    assert (mix.loop, mix.arrivals, mix.seed) == ("open", "constant, every 2.5 s", 0)


@given(st.integers(0, MAX_SEED), st.integers(0, MAX_SEED))
def test_the_seed_decides_the_times(seed: int, other: int) -> None:
    """The same process and seed give the same mix; another seed gives other times, and both say which."""
    mix = Mix.of("mix", ["a"], images=3)
    first, second = mix.arriving(Poisson(2.0), seed=seed), mix.arriving(Poisson(2.0), seed=other)
    assert first == mix.arriving(Poisson(2.0), seed=seed)
    assert (first.asks == second.asks) == (seed == other) == (first.seed == second.seed)


def test_a_mix_has_its_own_seed() -> None:
    """The default seed of the arrivals is the mix's own, or 0 if it has none."""
    mix = Mix.of("mix", ["a"], images=3)
    assert replace(mix, seed=5).arriving(Poisson(2.0)) == mix.arriving(Poisson(2.0), seed=5)
    assert mix.arriving(Poisson(2.0)) == mix.arriving(Poisson(2.0), seed=0)


def test_a_process_can_be_called_otherwise() -> None:
    """A description of the process replaces the process's own in the mix, and changes no time."""
    mix = Mix.of("mix", ["a"], images=2)
    assert mix.arriving(Constant(1.0), arrivals="light") == replace(mix.arriving(Constant(1.0)), arrivals="light")


def test_a_trace_that_is_too_short_is_refused() -> None:
    """A mix of more batches than a trace has times is refused before anything runs."""
    with pytest.raises(ValueError, match=r"^the trace has 1 times for 2 arrivals; record more or request fewer$"):
        Mix.of("mix", ["a"], images=2).arriving(Trace((0.0,)))


def test_a_closed_mix_forgets_times() -> None:
    """A mix that was open asks, once it is closed, the same batches with no times of their own."""
    mix = Mix.of("mix", ["a"], images=2)
    closed = mix.arriving(Constant(1.0)).closed()
    assert (closed.asks, closed.loop, closed.arrivals) == (mix.asks, "closed", "")


def test_deadlines_and_conditions_can_be_set() -> None:
    """`due` gives every request the deadline and `deciding` changes the way with conditions; all else stays."""
    mix = Mix.of("mix", ["a", "b"])
    assert mix.due(2.0) == replace(mix, asks=(Ask("a", deadline_s=2.0), Ask("b", deadline_s=2.0)))
    assert mix.deciding("early") == replace(mix, conditions="early")


def test_what_is_asked_at_once() -> None:
    """A mix is at once unless something comes later, or a condition decides whether it is wanted."""
    mix, asking = Mix.of("mix", ["a"], images=2), Mix("mix", (Ask("a"), Ask("a", when=Condition(0, 1.0))))
    assert all(m.is_at_once for m in (mix, mix.due(1.0), asking.deciding("ignore")))
    later = Mix("mix", (Ask("a"), Ask("a", arrival_s=1.0)))
    assert not any(
        m.is_at_once for m in (mix.closed(), mix.arriving(Constant(1.0)), later, asking, asking.deciding("early"))
    )


def test_what_is_asked_without_times() -> None:
    """Times from a process are left out of the timeless asks; times that were written down stay."""
    mix = Mix.of("mix", ["a"], images=2)
    assert mix.arriving(Constant(1.0)).timeless == mix.asks
    written = Mix("mix", (Ask("a"), Ask("a", arrival_s=1.0)), "open")
    assert written.timeless == written.asks


NEVER = [-1.0, -0.25, math.inf, math.nan]


@pytest.mark.parametrize("arrival_s", NEVER)
def test_arrivals_are_times_after_the_start(arrival_s: float) -> None:
    """An arrival that is negative, infinite or NaN is refused, in a workload and in a mix."""
    words = rf"^workload mix, request 1: arrival_s={arrival_s:g} is not a time after the start; give 0 or more seconds$"
    with pytest.raises(ValueError, match=words):
        Workload("mix", (Request(A), Request(A, arrival_s=arrival_s)))
    with pytest.raises(ValueError, match=words):
        Mix("mix", (Ask("a"), Ask("a", arrival_s=arrival_s)))


@pytest.mark.parametrize("deadline_s", [0.0, *NEVER])
def test_deadlines_can_be_met(deadline_s: float) -> None:
    """A deadline of no seconds or less, or of no finite number, is refused."""
    words = rf"^workload mix, request 0: deadline_s={deadline_s:g} can never be met; give more than 0 seconds$"
    with pytest.raises(ValueError, match=words):
        Mix.of("mix", ["a"]).due(deadline_s)


@pytest.mark.parametrize("parent", [-1, 1, 2, 5])
def test_only_an_earlier_request_can_decide(parent: int) -> None:
    """A condition that asks about the request itself, a later one or none at all is refused."""
    words = rf"^workload mix, request 1: its condition asks request {parent}; only an earlier one can decide$"
    with pytest.raises(ValueError, match=words):
        Mix("mix", (Ask("a"), Ask("b", when=Condition(parent, 0.5)), Ask("a")))


@pytest.mark.parametrize("source", [1, 2, 5])
def test_only_an_earlier_request_can_feed(source: int) -> None:
    """A feed from the request itself, a later one or none at all is refused, so there is no cycle."""
    words = rf"^workload mix, request 1: its input x comes from request {source}; only an earlier one can feed it$"
    with pytest.raises(ValueError, match=words):
        Mix("mix", (Ask("a"), Ask("b", feeds=(Feed("x", request=source),)), Ask("a")))


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ([Feed("x")], "feeds='x': does not name the request that it comes from; give a list such as [Feed('states',"),
        ([Feed("x", request=0), Feed("x", 1, request=0)], "feeds: two of them are for the same input; leave one out"),
        (Feed("x", request=0), "not a list; give a list such as [Feed('states', request=0)]"),
    ],
)
def test_feeds_of_a_request_name_their_source(feeds: Any, reason: str) -> None:
    """A feed without a request, two for one input, and a value that is no list of feeds are refused in a sentence."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        Mix("mix", (Ask("a"), Ask("b", feeds=feeds)))


def test_feeds_of_samples_and_requests_are_not_mixed_up() -> None:
    """A sample has no feeds from requests, and no feed from a request counts steps."""
    with pytest.raises(ValueError, match=r"^feeds=0: a sample does not know other requests; leave out `request`, or"):
        Inputs((1,), feeds=(Feed(0, request=0),))
    with pytest.raises(ValueError, match=r"^rule='next': it counts the steps of one request; try same or argmax$"):
        Feed("place", rule="next", request=0)


@pytest.mark.parametrize(
    "requests",
    [
        (Request(A, arrival_s=1.0), Request(A, arrival_s=0.5)),
        (Request(A, batch=1), Request(A, batch=0)),
        (Request(A, batch=1, arrival_s=0.0), Request(A, batch=0, arrival_s=1.0)),
    ],
)
def test_requests_stand_in_order_of_arrival(requests: tuple[Request, ...]) -> None:
    """Requests whose batches or times go back are refused; in order they are not."""
    with pytest.raises(ValueError, match=r"^workload mix: its requests must be in order of arrival$"):
        Workload("mix", requests)
    assert Workload("mix", requests[::-1]).requests == requests[::-1]


@given(timed_workloads())
def test_ignored_conditions_are_not_asked(asked: Workload) -> None:
    """Where conditions are ignored nothing has one; otherwise the requests are as they were."""
    ignoring = replace(asked, conditions="ignore")
    assert ignoring.asked == tuple(replace(request, when=None) for request in asked.requests)
    for conditions in ("wait", "early"):
        assert replace(asked, conditions=conditions).asked == asked.requests


@given(timed_workloads())
def test_waves_group_requests_that_arrive_together(asked: Workload) -> None:
    """Each request is in one wave, with those alone that come when it comes; in order; none waits for its own wave."""
    requests = asked.requests
    waves = asked.waves
    assert sorted(r for wave in waves for r in wave) == list(range(len(requests)))
    moments = [{(requests[r].batch, requests[r].arrival_s) for r in wave} for wave in waves]
    assert all(len(moment) == 1 for moment in moments)
    assert [min(moment) for moment in moments] == sorted(min(moment) for moment in moments)
    for i, wave in enumerate(waves):
        decided = {r for earlier in waves[:i] for r in earlier}
        for r in wave:
            when = requests[r].when
            assert when is None or asked.conditions != "wait" or when.request in decided
            assert awaited_requests(requests[r]) <= decided
    if asked.conditions != "wait" and not any(map(awaited_requests, requests)):
        assert len(waves) == len({(request.batch, request.arrival_s) for request in requests})


# Service times


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (Exponential(0.8), "exponential, every 0.8 service times"),
        (Poisson(1.25), "poisson, 1.25 a service time"),
        (Trace((0.0,)), f"{Trace((0.0,))}, in service times"),
    ],
)
def test_arrivals_in_service_times_are_described_so(process: Process, words: str) -> None:
    """The words for arrivals in service times name that unit, and are the same in every session."""
    mix = Mix.of("mix", ["a"]).in_service_times().arriving(process)
    assert (mix.clock, mix.arrivals) == ("service", words)


def test_service_times_are_the_unit_of_arrivals_and_deadlines() -> None:
    """In the workload, arrivals and deadlines are the mix's own times a service time; nothing else changes."""
    relative = Mix.of("mix", ["a"], images=2).in_service_times().arriving(Constant(0.5)).due(3)
    absolute = Mix.of("mix", ["a"], images=2).arriving(Constant(0.125)).due(0.75)
    assert relative.workload({"a": A}, service_s=0.25) == absolute.workload({"a": A}, service_s=7.0)


def test_a_service_time_is_the_mean_of_a_batch() -> None:
    """The time per batch is the sum over all requests by the number of batches."""
    mix = Mix("mix", (Ask("a"), Ask("b"), Ask("a", batch=1)))
    assert mix.per_batch({"a": 1.0, "b": 4.0}) == 3.0


@pytest.mark.parametrize(
    "mix",
    [
        Mix.of("mix", ["a"]).due(1),
        Mix.of("mix", ["a"]).arriving(Constant(1)),
        Mix("mix", (Ask("a"), Ask("a", arrival_s=1.0)), "open"),
    ],
)
def test_the_unit_of_times_comes_first(mix: Mix) -> None:
    """A mix with times in seconds is refused, because they would be read as service times."""
    words = r"^workload mix: has times in seconds; call in_service_times\(\) before arriving\(\) and due\(\)$"
    with pytest.raises(ValueError, match=words):
        mix.in_service_times()


# Requests that arrive too late


@pytest.mark.parametrize("every_s", [100.0, 1e6])
def test_arrivals_after_the_timeout_are_refused(every_s: float) -> None:
    """A mix whose last request arrives when the run has ended is refused; a moment earlier it is not."""
    late = Mix.of("mix", ["a"], images=4).arriving(Constant(every_s))
    with pytest.raises(
        UsageError, match=rf"^workload mix: its last request arrives after {3 * every_s:.0f}s, and a run"
    ):
        check_last_arrival(late, None, 300.0)
    check_last_arrival(late, None, 3 * every_s + 0.1)


def test_service_times_count_as_their_seconds() -> None:
    """A mix in service times is late if its seconds are."""
    mix = Mix.of("mix", ["a"], images=2).in_service_times().arriving(Constant(100))
    check_last_arrival(mix, 2.9, 300.0)
    with pytest.raises(
        UsageError, match=r"^workload mix: its last request arrives after 310s, and a run ends after 300s;"
    ):
        check_last_arrival(mix, 3.1, 300.0)


def test_a_closed_loop_is_never_late() -> None:
    """Batches of a closed loop have no times, so no timeout is too early for them."""
    check_last_arrival(Mix.of("mix", ["a"], images=9).arriving(Constant(1e6)).closed(), None, 1.0)


# Arguments

api: Any = pytest_edgeload
"""The package as code without types uses it."""


def test_numbers_of_other_libraries_become_plain() -> None:
    """Every number of a mix, its requests and its conditions is Python's own, so its record can be written."""
    two, half = np.int64(2), np.float32(0.5)
    when = api.Condition(np.uint8(0), half, np.str_("<"), np.int16(0), np.array([0, 1]))
    asks = [api.Ask(np.str_("a"), two), api.Ask("b", batch=two, when=when)]
    mix = api.Mix("mix", asks, seed=two).arriving(api.Poisson(half), seed=two).due(half)
    assert msgspec.json.decode(msgspec.json.encode(mix), type=Mix) == mix
    assert mix == replace(mix, asks=tuple(mix.asks))
    assert api.Mix.of("mix", np.array(["a", "b"]), images=two) == Mix.of("mix", ["a", "b"], images=2)
    assert api.Mix.of("mix", "digits") == Mix.of("mix", ["digits"])
    requests = [api.Request(A, two, half, deadline_s=half)]
    workload = api.Workload("mix", requests)
    assert [type(value) for value in (workload.requests[0].sample, workload.requests[0].arrival_s)] == [int, float]


class Late:
    """A process that gives times of NumPy, one too few."""

    def times(self, count: int, seed: int) -> Any:  # noqa: ARG002  # nothing is random
        """Return too few times."""
        return np.arange(count - 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: api.Mix.of(5, ["a"]), "name=5: not text; give text in quotes"),
        (lambda: api.Mix.of("mix", 5), "networks=5: not a list; give a list of names of networks"),
        (lambda: api.Mix.of("mix", ["a", 5]), "networks[1]=5: not text; give a list of names of networks"),
        (lambda: api.Mix.of("mix", ["a"], images=1.5), "images=1.5: not a whole number; give one such as 2"),
        (lambda: api.Mix("mix", ("a",)), "asks[0]='a': not of the type Ask; give a list such as [Ask('digits')]"),
        (
            lambda: api.Mix("mix", (Ask("a"), api.Ask("a", "3"))),
            "workload mix, request 1: sample='3': not a whole number; give one such as 2",
        ),
        (
            lambda: api.Mix("mix", (Ask("a"),), "forever"),
            "loop='forever': not a choice; choose from once, closed, open",
        ),
        (
            lambda: api.Mix.of("mix", ["a"]).due("1"),
            "deadline_s='1': not a number; give a number of seconds, such as 0.5",
        ),
        (lambda: api.Mix.of("mix", ["a"]).deciding("erly"), "conditions='erly': not a choice; did you mean early?"),
        (
            lambda: api.Mix.of("mix", ["a"]).arriving(0.5),
            "process=0.5: not an arrival process; give one such as Poisson(2.0)",
        ),
        (lambda: api.Mix.of("mix", ["a"]).arriving(Poisson(2), seed=-1), "seed=-1: too small; give at least 0"),
        (
            lambda: api.Mix.of("mix", ["a"]).arriving(Poisson(2), seed=1 << 70),
            f"seed={1 << 70}: too large; give at most {MAX_SEED}",
        ),
        (lambda: api.Mix.load(5), "path=5: not a path; give text in quotes, or a pathlib.Path"),
        (lambda: api.Condition("0", 0.5), "request='0': not a whole number; give one such as 2"),
        (lambda: api.Condition(0, 0.5, "=="), "comparison='==': not a choice; choose from >, >=, <, <="),
        (lambda: api.Workload("mix", (5,)), "requests[0]=5: not of the type Request; give a list of Request(...)"),
        (lambda: api.Request("a"), "network='a': not of the type Network; give a Network; a Mix takes names"),
        (
            lambda: api.Limit("1G"),
            "size_bytes='1G': not a whole number; give a number of bytes, or Limit.parse('512M')",
        ),
        (lambda: api.Limit.parse(512), "limit=512: not text; give a text such as '512M', or Limit(512 << 20)"),
        (lambda: api.verify_network(5), "folder=5: not a path; give text in quotes, or a pathlib.Path"),
        (
            lambda: api.Builder(["a"]),
            (
                "workload=['a']: not of the type Workload; "
                "give the workload that the policy got; a Mix makes one by mix.workload(networks)"
            ),
        ),
        (lambda: api.Constant("1"), "every_s='1': not a number; give a number of seconds, such as 0.5"),
        (lambda: api.Poisson(rate_per_s=True), "rate_per_s=True: not a number; give one such as 0.5"),
        (lambda: api.Trace(0.5), "at_s=0.5: not a list; give a list of times in seconds, such as (0.0, 0.5)"),
    ],
)
def test_other_arguments_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    """An argument that could mean several things, or nothing, is refused in one sentence with its name."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_a_process_of_the_user_gives_one_time_per_batch() -> None:
    """Times of a user's own process become plain, and a wrong number of them is refused."""
    with pytest.raises(ValueError, match=r"gave 1 times for 2 arrivals; let it give as many$"):
        api.Mix.of("mix", ["a"], images=2).arriving(Late())
