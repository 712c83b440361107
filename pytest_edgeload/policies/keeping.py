"""Keep-alive: what servers do. Networks, or layers, stay in memory after a request until others need the memory.

Source: the rules of model servers. Ollama keeps a model for five minutes after its last request, and unloads the one
that was used longest ago when the next does not fit; llama-server and Triton unload by order of use as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pytest_edgeload.planning.plan import Budget, Builder, InvalidPlan, Kind, Plan
from pytest_edgeload.policies.parts import scratch_bytes
from pytest_edgeload.workload import Request, Workload

_PASS: tuple[Kind, ...] = ("load", "exec", "free")

Part = tuple[int, tuple[int, ...]]
"""What is kept or evicted as a whole: the first request of a network, and layers of that network."""

Parts = Callable[[Request], Sequence[tuple[int, ...]]]
"""Cuts the layers of a request's network into parts."""


@dataclass(slots=True)
class _Held:
    """A part in memory: the request that loaded it, the one that used it last, that one's last exec, and its bytes."""

    owner: int
    user: int
    last_exec: int
    size_bytes: int


def whole(request: Request) -> Sequence[tuple[int, ...]]:
    """Return one part with all layers."""
    layers = tuple(range(len(request.network.layers)))
    return [layers] if layers else []


def by_layer(request: Request) -> Sequence[tuple[int, ...]]:
    """Return a part for each layer."""
    return [(i,) for i in range(len(request.network.layers))]


def keep(
    workload: Workload,
    budget: Budget,
    parts: Parts = whole,
    *,
    pinned: Collection[str] = (),
    idle_s: float | None = None,
) -> Plan:
    """Return the plan that serves requests one after the other and keeps the parts of their networks in memory.

    If the next part does not fit, the parts that were used longest ago are freed, except those of networks with a name
    in `pinned`. A part that alone exceeds the budget is loaded all the same. A part whose network was not asked for
    `idle_s` seconds is freed when the next request arrives; None keeps it. Raises InvalidPlan for a pinned name that no
    network has.
    """
    names = {request.network.name for request in workload.requests}
    for name in pinned:
        if name not in names:
            raise InvalidPlan(f"network {name}", "not in this workload", f"pin one of {', '.join(sorted(names))}")
    keeper = _Keeper(workload, budget, parts, pinned, idle_s)
    for r in range(len(workload.requests)):
        keeper.serve(r)
    return keeper.done()


class _Keeper:
    """Adds the tasks of one request after the other in one chain, and knows what is in memory."""

    def __init__(
        self, workload: Workload, budget: Budget, parts: Parts, pinned: Collection[str], idle_s: float | None
    ) -> None:
        self._requests = workload.requests
        self._plan = Builder(workload)
        self._parts = parts
        self._pinned, self._idle_s = pinned, idle_s
        self._memory_bytes = budget.memory_bytes
        self._answer_bytes = 0
        self._firsts: dict[int, int] = {}  # the first request of each network, by identity
        self._held: dict[Part, _Held] = {}  # the part that was used longest ago comes first
        self._last: list[int] = []  # the tasks that the next one waits for

    def done(self) -> Plan:
        """Return the plan; what is still in memory is freed at its end."""
        for part in [*self._held]:
            self._free(part, len(self._requests) - 1)
        return self._plan.done()

    def serve(self, r: int) -> None:
        """Add the tasks of request `r`."""
        request = self._requests[r]
        self._add("init", r)
        self._free_idle(r)
        first = self._firsts.setdefault(id(request.network), r)
        parts: list[Part] = [(first, layers) for layers in self._parts(request)]
        if request.steps == 1:
            for part in parts:
                self._load(r, part, [part])
                self._execute(r, part)
        elif len(parts) <= 1 or sum(map(self._size, parts)) <= self._room(r):
            for part in parts:
                self._load(r, part, parts)
            with self._plan.loop(request.steps):
                for part in parts:
                    self._execute(r, part)
        else:
            self._pass_through(r, parts)
        self._answer_bytes += request.network.answer_bytes

    def _pass_through(self, r: int, parts: Sequence[Part]) -> None:
        """Add a loop in which each part is evicted before it is used again, because they do not fit together."""
        for part in [part for part in self._held if part in parts or not self._is_pinned(part)]:
            self._free(part, r)
        with self._plan.loop(self._requests[r].steps):
            for _, layers in parts:
                for kind in _PASS:
                    for i in layers:
                        self._add(kind, r, i)

    def _load(self, r: int, part: Part, using: Collection[Part]) -> None:
        """Add the loads of a part that is not in memory, after the frees of others; the parts in `using` stay."""
        size_bytes = 0 if part in self._held else self._size(part)
        room = self._room(r)
        victims = [other for other in self._held if other not in using and not self._is_pinned(other)]
        while victims and size_bytes + sum(held.size_bytes for held in self._held.values()) > room:
            self._free(victims.pop(0), r)
        if part not in self._held:
            for i in part[1]:
                self._add("load", r, i)
            self._held[part] = _Held(r, r, -1, size_bytes)

    def _execute(self, r: int, part: Part) -> None:
        """Add the execs of a part that is in memory."""
        held = self._held.pop(part)
        for i in part[1]:
            held.last_exec = self._add("exec", r, i, weights_of=None if held.owner == r else held.owner)
        held.user = r
        self._held[part] = held  # as the one that was used last

    def _free_idle(self, r: int) -> None:
        """Add the frees of the parts that were not used for too long when request `r` arrives."""
        if self._idle_s is None:
            return
        for part, held in [*self._held.items()]:
            user, now = self._requests[held.user], self._requests[r]
            if user.batch == now.batch and now.arrival_s - user.arrival_s > self._idle_s and not self._is_pinned(part):
                self._free(part, r)

    def _free(self, part: Part, now: int) -> None:
        """Add the frees of a part while request `now` is served.

        A batch is over before the next one begins, and frees belong to the request that used the part last. So what a
        new batch evicts is freed with the old one.
        """
        held = self._held.pop(part)
        waits = self._last
        is_over = self._requests[held.user].batch != self._requests[now].batch
        self._last = [held.last_exec] if is_over else [*waits, held.last_exec]
        for i in part[1]:
            self._add("free", held.user, i, weights_of=None if held.owner == held.user else held.owner)
        self._last = [*dict.fromkeys([*waits, *self._last])]

    def _add(self, kind: Kind, request: int, layer: int | None = None, *, weights_of: int | None = None) -> int:
        """Add a task to the chain and return it."""
        task = self._plan.add(kind, request, layer, after=self._last, weights_of=weights_of)
        self._last = [task]
        return task

    def _is_pinned(self, part: Part) -> bool:
        return self._requests[part[0]].network.name in self._pinned

    def _size(self, part: Part) -> int:
        """Return the bytes of a part; a weight that several of its layers share counts once."""
        layers = self._requests[part[0]].network.layers
        return sum(weight.size_bytes for weight in {weight for i in part[1] for weight in layers[i].weights})

    def _room(self, r: int) -> float:
        """Return the bytes for weights while request `r` is served, besides activations and earlier outputs."""
        if self._memory_bytes is None:
            return math.inf
        network = self._requests[r].network
        scratch = scratch_bytes([network], self._memory_bytes)
        return self._memory_bytes - scratch - self._answer_bytes - (network.peak_bytes - network.distinct_bytes)
