"""Hypothesis strategies: networks, workloads and budgets for tests of a policy or a runtime. Needs hypothesis.

They shrink to the smallest case that still fails: one request of one small layer, at the start, without a limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import msgspec

from pytest_edgeload.base.arguments import MAX_INDEX, seconds, whole
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.compose import Composer, Value
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.workload import Ask, Comparison, Condition, Conditions, Loop, Mix, Workload
from pytest_edgeload.workload.arrivals import (
    Constant,
    Exponential,
    Gamma,
    Normal,
    Periodic,
    Poisson,
    Process,
    Trace,
    Uniform,
    Weibull,
)

try:
    from hypothesis import strategies as st
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "pytest_edgeload.strategies needs hypothesis; pip install 'pytest-edgeload[hypothesis]'", name="hypothesis"
    ) from None

_COMPARISONS: tuple[Comparison, ...] = (">", ">=", "<", "<=")
_WAIT: tuple[Conditions, ...] = ("wait",)
_MAX_NETWORKS = 3
_MAX_SEED = 99
_MAX_QUEUE = 2
_MAX_SIDE = 5
_MAX_BRANCH = 2
_INTERVALS = 20
_SHAPES = (1.0, 0.5, 4.0)


def networks(
    *, max_layers: int = 4, max_width: int = 8, max_samples: int = 2, max_steps: int = 1
) -> st.SearchStrategy[Network]:
    """Draw networks that the engine can execute within milliseconds, and that `materialise` can put on disk.

    They are chains of linear layers, convolutions and relu, and may contain `x + f(x)`, the sum of two branches or
    their concatenation. A layer has at most `max_width` output features or channels, except one that is added to a
    value: it has as many as the value. All figures are those that an export of the same module would have.

    A network can have up to `max_steps` steps, each on the output of the step before. One more layer gives that output
    the shape of the input.
    """
    limits = {"max_layers": max_layers, "max_width": max_width, "max_samples": max_samples, "max_steps": max_steps}
    return _networks(**{name: whole(name, limit, 1) for name, limit in limits.items()})


@st.composite
def _networks(draw: st.DrawFn, max_layers: int, max_width: int, max_samples: int, max_steps: int) -> Network:
    steps = draw(_between(1, max_steps))
    left = draw(st.integers(1, max_layers))
    side = st.integers(1, _MAX_SIDE)
    flat = st.tuples(st.integers(1, max_width))
    image = st.tuples(st.integers(1, max_width), side, side)
    made = _Drawn(draw, Composer(1, *draw(flat if steps > 1 else flat | image)), max_width)
    x = made.composer.input
    while left:
        x, used = made.block(x, left)
        left -= used
    if steps > 1 and x.shape != made.composer.input.shape:
        x = made.composer.linear(x, made.composer.input.shape[1])
    return made.composer.done(x, samples=draw(st.integers(1, max_samples)), steps=steps)


class _Drawn:
    """A network while it is being drawn."""

    def __init__(self, draw: st.DrawFn, composer: Composer, max_width: int) -> None:
        self.composer = composer
        self._draw = draw
        self._widths = st.integers(1, max_width)

    def block(self, x: Value, left: int) -> tuple[Value, int]:
        """Add a layer, or two joined branches, of at most `left` layers; return the output and the number of layers."""
        if len(x.shape) > 2 and self._draw(st.integers(0, 3)) == 3:  # noqa: PLR2004  # more than batch and features
            x = self.composer.flatten(x)
        join = self._draw(st.sampled_from((None, self.composer.add, self.composer.cat)))
        if join is None:
            return self._layer(x, self._draw(self._widths), stride=self._draw(st.integers(1, 2))), 1
        lengths = [self._draw(st.integers(1, min(left, _MAX_BRANCH)))]
        lengths.append(self._draw(st.integers(0, min(left - lengths[0], _MAX_BRANCH))))
        widths = st.just(x.shape[1]) if join == self.composer.add else self._widths
        ends = [self._branch(x, length, widths) for length in lengths]
        return self._maybe_relu(join(*ends)), sum(lengths)

    def _branch(self, x: Value, length: int, widths: st.SearchStrategy[int]) -> Value:
        """Add a chain of layers, the last one of a width from `widths`; return `x` if the chain is empty."""
        for i in range(length):
            x = self._layer(x, self._draw(widths if i == length - 1 else self._widths))
        return x

    def _layer(self, x: Value, width: int, *, stride: int = 1) -> Value:
        bias = self._draw(st.booleans())
        if len(x.shape) == 2:  # noqa: PLR2004  # batch and features
            return self._maybe_relu(self.composer.linear(x, width, bias=bias))
        kernel = self._draw(st.sampled_from((1, 3)))
        return self._maybe_relu(self.composer.conv2d(x, width, kernel=kernel, stride=stride, bias=bias))

    def _maybe_relu(self, x: Value) -> Value:
        return self.composer.relu(x) if self._draw(st.booleans()) else x


def arrivals(*, max_interval_s: float = 0.02, count: int = 6) -> st.SearchStrategy[Process]:
    """Draw arrival processes of mean intervals up to about `max_interval_s`; a trace has `count` arrivals."""
    max_interval_s, count = seconds("max_interval_s", max_interval_s), whole("count", count)

    def interval(min_parts: int) -> st.SearchStrategy[float]:
        return st.integers(min_parts, _INTERVALS).map(lambda parts: parts * max_interval_s / _INTERVALS)

    some, any_ = interval(1), interval(0)
    traces = st.lists(any_, min_size=count, max_size=count).map(lambda at_s: Trace(tuple(sorted(at_s))))
    return st.one_of(
        some.map(Constant),
        st.builds(lambda a_s, b_s: Uniform(min(a_s, b_s), max(a_s, b_s)), any_, some),
        st.builds(Normal, some, some),
        some.map(Exponential),
        some.map(lambda interval_s: Poisson(1 / interval_s)),
        st.builds(lambda a_s, b_s: Periodic(max(a_s, b_s), min(a_s, b_s)), any_, some),
        st.builds(Gamma, some, st.sampled_from(_SHAPES)),
        st.builds(Weibull, some, st.sampled_from(_SHAPES)),
        traces,
    )


def budgets(*, max_memory_bytes: int = 1 << 30, max_lanes: int = 4) -> st.SearchStrategy[Budget]:
    """Draw budgets: without a limit, or of few bytes as often as of many; shrinks to no limit and one lane."""
    max_bytes, max_lanes = whole("max_memory_bytes", max_memory_bytes), whole("max_lanes", max_lanes, 1)
    sizes = st.integers(0, max_bytes.bit_length()).flatmap(lambda bits: st.integers(0, min(max_bytes, (1 << bits) - 1)))
    return st.builds(Budget, memory_bytes=st.none() | sizes, lanes=st.integers(1, max_lanes))


@overload
def workloads(
    networks: Sequence[str],
    *,
    max_requests: int = ...,
    max_samples: int = ...,
    arrivals: st.SearchStrategy[Process] | None = ...,
    closed: bool = ...,
    deadlines_s: st.SearchStrategy[float] | None = ...,
    conditions: Sequence[Conditions] = ...,
    max_steps: int | None = ...,
    feeds: bool = ...,
    streams: bool = ...,
) -> st.SearchStrategy[Mix]: ...


@overload
def workloads(
    networks: st.SearchStrategy[Network],
    *,
    max_requests: int = ...,
    max_samples: int = ...,
    arrivals: st.SearchStrategy[Process] | None = ...,
    closed: bool = ...,
    deadlines_s: st.SearchStrategy[float] | None = ...,
    conditions: Sequence[Conditions] = ...,
    max_steps: int | None = ...,
    feeds: bool = ...,
    streams: bool = ...,
) -> st.SearchStrategy[Workload]: ...


def workloads(
    networks: Sequence[str] | st.SearchStrategy[Network],
    *,
    max_requests: int = 6,
    max_samples: int = 2,
    arrivals: st.SearchStrategy[Process] | None = None,
    closed: bool = True,
    deadlines_s: st.SearchStrategy[float] | None = None,
    conditions: Sequence[Conditions] = ("wait", "early", "ignore"),
    max_steps: int | None = None,
    feeds: bool = True,
    streams: bool = False,
) -> st.SearchStrategy[Mix] | st.SearchStrategy[Workload]:
    """Draw mixes of registered networks by name, or workloads of drawn networks.

    Networks, and the first `max_samples` samples, are drawn with repetition. Requests arrive at once; in batches, each
    when the last is done, if `closed`; or by one of the processes `arrivals`, if given. Requests may have one of
    `deadlines_s`, if given, and conditions, which are treated in one of the ways `conditions`; `()` means no
    conditions. Requests have at most `max_steps` steps, by default those that a drawn network can have, and 1 if they
    are of registered networks. If `feeds`, a request of a drawn network may take its first input from the first output
    of an earlier one, if that fits. If `streams`, the requests of each network are a stream: they may be triggered by
    an earlier request, and have a queue. Shrinks to one request of the first network, sample 0, at once. Raises
    UsageError for invalid names.
    """
    if isinstance(networks, str) or (isinstance(networks, Sequence) and not networks):
        hint = "give a list of names of networks, or a strategy such as networks()"
        raise UsageError(f"workloads({networks!r})", "names no networks", hint)
    limits = whole("max_requests", max_requests, 1), whole("max_samples", max_samples, 1)
    steps = None if max_steps is None else whole("max_steps", max_steps, 1)
    kinds = _Kinds(*limits, steps, arrivals, closed, deadlines_s, tuple(conditions), feeds, streams)
    if isinstance(networks, st.SearchStrategy):
        return _workloads(networks, kinds)
    return _mixes(dict.fromkeys(networks), kinds)


_Drawable = Mapping[str, Network | None]
"""Networks by name; None for a registered one, of which nothing else is known."""


@dataclass(frozen=True)
class _Kinds:
    """The choices for workloads; see `workloads`."""

    max_requests: int
    max_samples: int
    max_steps: int | None
    arrivals: st.SearchStrategy[Process] | None
    closed: bool
    deadlines_s: st.SearchStrategy[float] | None
    conditions: tuple[Conditions, ...]
    feeds: bool
    streams: bool

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops to choose from, the simplest first."""
        return ("once", *(("closed",) if self.closed else ()), *(("open",) if self.arrivals is not None else ()))

    def steps(self, network: Network | None) -> int:
        """Return the most steps of a request."""
        if network is None:
            return self.max_steps or 1
        return min(network.samples[0].steps, self.max_steps or MAX_INDEX)

    def _waits(self) -> st.SearchStrategy[dict[str, Any]]:
        """Draw the distance of the trigger, and the queue, in a single choice."""
        if not self.streams:
            return st.just({})
        distances, queues = (None, *range(1, self.max_requests + 1)), (None, *range(1, _MAX_QUEUE + 1))
        return st.sampled_from([{"after": distance, "queue": queue} for queue in queues for distance in distances])

    def asks(self, networks: _Drawable, loop: Loop) -> st.SearchStrategy[tuple[Ask, ...]]:
        """Draw the asks.

        A request takes few choices, because hypothesis removes only short runs of choices when it shrinks. It takes the
        same number for every loop, so that all else stays the same when hypothesis tries a simpler loop.
        """
        conditions = st.builds(
            Condition, st.integers(1, self.max_requests), st.floats(-4, 4), st.sampled_from(_COMPARISONS)
        )
        steps = {name: self.steps(network) for name, network in networks.items()}
        distances = _between(0, self.max_requests if self.feeds and None not in networks.values() else 0)
        ask = st.builds(
            lambda which, wait, **rest: msgspec.structs.replace(Ask(*which, **rest), **wait),
            st.sampled_from([(name, sample) for name in networks for sample in range(self.max_samples)]),
            self._waits(),
            batch=st.integers(0, 1).map(lambda step: 0 if loop == "once" else step),
            deadline_s=st.none() if self.deadlines_s is None else st.none() | self.deadlines_s,
            when=st.none() | conditions if self.conditions else st.none(),
            steps=_between(1, max(steps.values())),
            feeds=distances.map(lambda distance: (Feed(0, request=distance),) if distance else ()),
        )
        drawn = st.lists(ask, min_size=1, max_size=self.max_requests)
        return drawn.map(lambda asks: _settle(asks, networks, steps, streams=self.streams))


def _between(low: int, high: int) -> st.SearchStrategy[int]:
    """Draw a number; without a choice if there is none, because each choice makes shrinking harder."""
    return st.just(low) if low == high else st.integers(low, high)


def _settle(
    drawn: Sequence[Ask], networks: _Drawable, max_steps: Mapping[str, int], *, streams: bool
) -> tuple[Ask, ...]:
    """Return the asks with absolute numbers instead of relative ones, and without feeds that do not fit.

    `batch` was drawn as a step, and the request of a condition, feed or trigger as a distance, so that the rest stays
    valid if hypothesis leaves out a request.
    """
    asks: list[Ask] = []
    for r, ask in enumerate(drawn):
        when = None
        if ask.when is not None and r > 0:
            when = msgspec.structs.replace(ask.when, request=max(0, r - ask.when.request))
        sources = [max(0, r - (feed.request or 0)) for feed in ask.feeds]
        fit = (source for source in sources if source < r and _fits(asks[source].network, ask.network, networks))
        asks.append(
            msgspec.structs.replace(
                ask,
                batch=asks[-1].batch + ask.batch if asks else 0,
                when=when,
                steps=min(ask.steps, max_steps[ask.network]),
                feeds=tuple(Feed(0, request=source) for source in fit),
                stream=ask.network if streams else "",
                after=None if ask.after is None or r == 0 else max(0, r - ask.after),
            )
        )
    return tuple(asks)


def _fits(source: str, target: str, networks: _Drawable) -> bool:
    """Return whether the first output of one drawn network can be the first input of another."""
    one, other = networks[source], networks[target]
    if one is None or other is None:
        return False
    outputs, inputs = one.samples[0].outputs[:1], other.samples[0].inputs[:1]
    return [(spec.shape, spec.dtype) for spec in outputs] == [(spec.shape, spec.dtype) for spec in inputs] != []


@st.composite
def _mixes(draw: st.DrawFn, networks: _Drawable, kinds: _Kinds) -> Mix:
    loop = draw(st.sampled_from(kinds.loops))
    way = draw(st.sampled_from(kinds.conditions or _WAIT))
    mix = Mix("drawn", draw(kinds.asks(networks, loop)), conditions=way)
    if loop == "open" and kinds.arrivals is not None:
        return mix.arriving(draw(kinds.arrivals), seed=draw(st.integers(0, _MAX_SEED)))
    return mix.closed() if loop == "closed" else mix


@st.composite
def _workloads(draw: st.DrawFn, networks: st.SearchStrategy[Network], kinds: _Kinds) -> Workload:
    drawn = draw(st.lists(networks, min_size=1, max_size=_MAX_NETWORKS))
    named = {str(i): network for i, network in enumerate(drawn)}
    return draw(_mixes(named, kinds)).workload(named)
