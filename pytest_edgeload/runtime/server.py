"""Serves requests in windows: those that wait are planned together with a few past ones, and carried out.

Weights that the plan keeps stay in memory from window to window. A window ends when its requests are answered; so a
plan has a bounded number of requests, however many the runtime serves. Imports torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.memory import trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.engine.tiles import TileTensors
from pytest_edgeload.networks.tile import specs
from pytest_edgeload.planning.plan import Plan, Task, WeightKey
from pytest_edgeload.runtime.arena import ReusedArena
from pytest_edgeload.runtime.pending import AbandonedRequest, PendingRequest
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from pytest_edgeload.runtime.remainder import Remainder, StoredTile

PAST = 8
"""How many past requests are planned again with new ones, besides the last of each network. They are all that a policy
which counts or times requests knows of the past."""

AT_ONCE = 32
"""The most requests that are planned together; others wait until these are answered."""


class ResidentTile(NamedTuple):
    """Weights that are in memory between windows; `place` is None for memory of their own."""

    tensors: TileTensors
    place: int | None


class WindowServer:
    """Serves the requests of one window after the other; only one thread may call it."""

    def __init__(self, networks: Mapping[str, OpenNetwork], planner: Planner) -> None:
        self._networks = networks
        self._planner = planner
        self._past: list[TimedAsk] = []
        self._resident: dict[StoredTile, ResidentTile] = {}
        self._arena = ReusedArena()

    def serve(self, pending: Sequence[PendingRequest]) -> None:
        """Serve requests, in order of arrival, and return when all are answered or have failed.

        If they do not fit in memory together, they are served one after the other.
        """
        for part in self._parts(pending):
            try:
                self._serve(part)
            except BaseException as error:  # noqa: BLE001  # of a plan or of the engine; the callers get it
                self._drop([*self._resident])
                for each in part:
                    each.fail(error)
            self._remember([each.ask for each in part])

    def _parts(self, pending: Sequence[PendingRequest]) -> list[Sequence[PendingRequest]]:
        """Return the requests in parts that fit in memory; a single one does, as the runtime has checked."""
        budget = self._planner.budget.memory_bytes
        parts = [pending[i : i + AT_ONCE] for i in range(0, len(pending), AT_ONCE)]
        if budget is None or len(pending) == 1:
            return [*parts]
        fitting: list[Sequence[PendingRequest]] = []
        for part in parts:
            if self._planner.peak_bytes([each.ask for each in part]) <= budget:
                fitting.append(part)
            else:
                fitting += [[each] for each in part]
        return fitting

    def _serve(self, part: Sequence[PendingRequest]) -> None:
        """Plan the requests of a window with past ones, and carry out the tasks that are left."""
        asked = [*self._past, *(each.ask for each in part)]
        plan, end = self._planner.plan(asked)
        if not self._arena.fits(plan.arena_bytes):
            self._drop([tile for tile, resident in self._resident.items() if resident.place is not None])
        places = {tile: resident.place for tile, resident in self._resident.items()}
        left = Remainder(len(self._past), places, lambda r: asked[r].network)
        loops = left.add(plan, end)
        self._drop([tile for tile in self._resident if tile not in left.kept])
        memory = self._arena.of(plan.arena_bytes)
        opened = [each.opened for each in part]
        past = [PendingRequest(ask, self._networks[ask.network], ()).opened for ask in self._past]
        performer = Performer(left.tasks, [*past, *opened], memory, plan.arena_bytes)
        for tile, load in left.kept.items():
            performer.adopt(load, self._resident.pop(tile).tensors)
        plan = msgspec.structs.replace(plan, tasks=tuple(left.tasks), loops=tuple(loops))
        fail = partial(_fail, plan, dict(enumerate(part, len(past))))
        run(plan, performer, self._planner.requests(asked), begin_s=asked[0].arrived_s, fail=fail)
        self._keep(performer, [*left.kept.values(), *left.tasks], asked)

    def _keep(self, performer: Performer, tasks: Sequence[Task], asked: Sequence[TimedAsk]) -> None:
        """Keep the weights that are still in memory."""
        places = {task.weights: task.place for task in tasks if task.kind == "load"}
        for key, tensors in performer.release().items():
            request, layer, tile = key
            self._resident[asked[request].network, layer, tile] = ResidentTile(tensors, places[key])

    def _drop(self, tiles: Collection[StoredTile]) -> None:
        """Free weights that are in memory."""
        for name, layer, tile in tiles:
            del self._resident[name, layer, tile]
            network = self._networks[name]
            if layer is not None:
                network.drop(specs(network.network.layers[layer], tile))

    def _remember(self, asked: Sequence[TimedAsk]) -> None:
        """Add served requests to the past, and forget the oldest ones but the last of each network."""
        past = [*self._past, *asked]
        last = {ask.network: i for i, ask in enumerate(past)}
        recent = len(past) - PAST
        self._past = [ask for i, ask in enumerate(past) if i >= recent or i in last.values()]

    def close(self) -> None:
        """Free all weights, and return their memory to the system."""
        self._drop([*self._resident])
        self._arena.of(0)
        self._arena = ReusedArena()
        trim()


def _fail(plan: Plan, pending: Mapping[int, PendingRequest], index: int, error: Exception) -> Collection[int]:
    """Let the requests that need task `index` fail with its `error`; return them."""
    task = plan.tasks[index]
    failed = {task.request} & pending.keys() if task.kind != "load" else _users(plan, task.weights)
    if task.kind == "free" or not failed:
        raise error
    for r in failed:
        if not isinstance(error, AbandonedRequest):
            pending[r].fail(error)
    return failed


def _users(plan: Plan, weights: WeightKey) -> set[int]:
    """Return the requests that are executed with these weights."""
    return {task.request for task in plan.tasks if task.kind == "exec" and task.weights == weights}
