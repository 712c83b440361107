"""The public face of the runtime: networks in, answers out, from any thread. Imports torch."""

from __future__ import annotations

import math
import os
import warnings
import weakref
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import torch

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.base.units import format_size, parse_size
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.reader_choice import accept_direct, best_reader, check_reader
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.compressed import COMPRESSED, PLAIN, SCRATCH_BYTES, StoreForm, edgenet_form
from pytest_edgeload.networks.edgenet import is_edgenet
from pytest_edgeload.networks.folder import read_graph, weight_files
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.budget import reserved_bytes
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.reader_names import THROUGH_CACHE
from pytest_edgeload.policies import BY_ORDER, FAMILIES, POLICIES, Policy
from pytest_edgeload.runtime.inputs import tensors_of
from pytest_edgeload.runtime.pending import Outputs, PendingRequest
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from pytest_edgeload.runtime.server import PAST, WindowServer
from pytest_edgeload.runtime.stored import find_network
from pytest_edgeload.runtime.window import FULL
from pytest_edgeload.workload import Request, Workload

AUTO = "auto"

_MAX_TRIES = 64  # to find memory that is enough; policies of this package need a few


class Runtime:
    """Answers requests of several networks in this process, in little memory, by a loading policy.

    Use it in a `with` block. All methods may be called from several threads at the same time.

    `networks` has a file of `edgeload store`, or a function such as `my_models:detector`, by name. Files with
    compressed weights are read as they are, by the readers `read` and `direct`. `memory` is the most that weights,
    activations and copies of weights take together, such as `"300M"` or a number of bytes; None sets no limit. The
    inputs and outputs that callers hold are not part of it. `policy` is the name of a loading policy, or a function
    such as a policy of your own. `reader` is `read`, `mmap`, `direct`, or `auto` for the best one for the policy and
    the file system. `threads` is the number of threads that one operator may use, in the whole process; None leaves it
    as it is. `max_waiting` is the most requests that may wait for answers at the same time; None sets no limit.

    A runtime is closed if nothing refers to it any more. Raises UsageError if an argument is wrong or a network does
    not fit in `memory` under the policy; and PreparationFailed, DamagedNetwork or BadCheckpoint if a network cannot be
    made or read.
    """

    def __init__(
        self,
        networks: Mapping[str, str | os.PathLike[str]],
        *,
        memory: str | int | None = None,
        policy: str | Policy = "stream",
        reader: str = "auto",
        threads: int | None = None,
        max_waiting: int | None = None,
    ) -> None:
        reader = arguments.choice("reader", reader, (*READERS, AUTO))
        max_waiting = arguments.optional(_at_least_one, "max_waiting", max_waiting)
        memory_bytes = _memory_bytes(memory)
        chosen = _policy(policy)
        networks = _sources(networks)
        if threads is not None:
            torch.set_num_threads(arguments.whole("threads", threads, 1))
        found = {each: find_network(each, source) for each, source in networks.items()}
        # policies know the networks by the names that this runtime gives them
        graphs = {each: msgspec.structs.replace(read_graph(stored), name=each) for each, stored in found.items()}
        forms = {each: _form(each, stored, reader) for each, stored in found.items()}
        planner = _planner(graphs, chosen, memory_bytes, SCRATCH_BYTES if COMPRESSED in forms.values() else 0)
        if reader == AUTO:
            reader = _best_reader(planner, found.values())
        self._networks = {each: OpenNetwork(stored, reader, forms[each]) for each, stored in found.items()}
        planner.plan_ahead()
        self._server = WindowServer(self._networks, planner, max_waiting)
        self._finalizer = weakref.finalize(self, _close_dropped, self._server, self._networks)
        self._finalizer.atexit = False  # the server has an end of its own

    def ask(self, network: str, *inputs: Any, deadline_s: float | None = None, **keywords: Any) -> Outputs:
        """Return the outputs of `network` for these inputs, which are as the module takes them.

        Waits for the answer. Policies that know deadlines serve the request that is due first; this one is due
        `deadline_s` seconds from now. Raises UsageError if the inputs are not like those that the network was stored
        with, TooManyRequests if too many others wait, MemoryError if memory is refused, and the exception of an
        operator that fails.
        """
        pending = self._pending(network, 1, deadline_s, inputs, keywords)
        self._server.submit([pending])
        (outputs,) = pending.results()
        return outputs

    def ask_all(self, *asked: tuple[Any, ...], deadline_s: float | None = None) -> list[Outputs]:
        """Return the outputs of several requests, such as `("detector", image), ("faces", image)`, in order.

        They are planned together, so that one network is read while another is executed. See `ask`.
        """
        requests = [_network_and_inputs(f"asked[{i}]", each) for i, each in enumerate(asked)]
        pending = [self._pending(network, 1, deadline_s, inputs, {}) for network, inputs in requests]
        self._server.submit(pending)
        return [outputs for each in pending for outputs in each.results()]

    def sequence(
        self, network: str, *inputs: Any, steps: int, deadline_s: float | None = None, **keywords: Any
    ) -> Generator[Outputs, None, None]:
        """Return the outputs of each of `steps` steps, when they are there; the inputs are those of the first step.

        Each later step takes its inputs from the one before, as the network's feeds say. State that steps pass on is
        not among the outputs. Steps do not wait until the outputs before are taken, which stay in memory besides
        `memory`. To stop early, leave the loop. See `ask`.
        """
        steps = arguments.whole("steps", steps, 1)
        pending = self._pending(network, steps, deadline_s, inputs, keywords)
        if steps > 1 and not pending.network.network.feeds:
            hint = "store it with feeds, or ask for one step"
            raise UsageError(f"network {network}", "its steps take nothing from each other", hint)
        self._server.submit([pending])
        return pending.results(of=self)

    def _pending(
        self,
        network: str,
        steps: int,
        deadline_s: float | None,
        inputs: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> PendingRequest:
        """Return a request that has not been submitted. Raises UsageError."""
        network = arguments.text("network", network)
        if network not in self._networks:
            raise UsageError(f"network {network!r}", "not in this runtime", suggestion(network, self._networks))
        deadline_s = arguments.optional(_deadline_s, "deadline_s", deadline_s)
        opened = self._networks[network]
        tensors = tensors_of(network, opened.network, inputs, keywords)
        return PendingRequest(TimedAsk(network, 0.0, steps, deadline_s), opened, tensors)

    def close(self) -> None:
        """Wait for the requests that were asked, free all memory, and close all files."""
        self._close(is_waiting=True)

    def _close(self, *, is_waiting: bool) -> None:
        self._finalizer.detach()
        _close(self._server, self._networks, is_waiting=is_waiting)

    def __enter__(self) -> Self:
        """Return the runtime itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the runtime; after an exception, sequences end at their next step."""
        self._close(is_waiting=error is None)


def _close(server: WindowServer, networks: Mapping[str, OpenNetwork], *, is_waiting: bool) -> None:
    server.close(is_waiting=is_waiting)
    for network in networks.values():
        network.close()


def _close_dropped(server: WindowServer, networks: Mapping[str, OpenNetwork]) -> None:
    """Close a runtime that was not closed. Any thread may run this at any time, so another one does the work."""
    closing = {"is_waiting": False}
    Thread(target=_close, args=(server, networks), kwargs=closing, name="edgeload close", daemon=True).start()
    warnings.warn("a runtime was not closed; use it in a `with` block", ResourceWarning, stacklevel=2)


def _sources(networks: Mapping[str, str | os.PathLike[str]]) -> dict[str, str | os.PathLike[str]]:
    """Return the sources of networks by name. Raises BadArgument."""
    hint = "give one such as {'detector': 'detector.edgenet'}"
    if not isinstance(networks, Mapping):
        raise BadArgument.of("networks", networks, "not a mapping", hint)
    if not networks:
        raise BadArgument.of("networks", networks, "has no network", hint)
    return {arguments.text("name of a network", name): source for name, source in networks.items()}


def _at_least_one(name: str, value: object) -> int:
    return arguments.whole(name, value, 1)


def _memory_bytes(memory: str | int | None) -> int | None:
    """Return a size in bytes. Raises BadArgument."""
    if memory is None or not isinstance(memory, str):
        return arguments.optional(_at_least_one, "memory", memory)
    try:
        return parse_size(memory, "try 300M or 1G")
    except ValueError as error:
        raise BadArgument.of("memory", memory, str(error)) from None


def _network_and_inputs(name: str, asked: Any) -> tuple[str, Sequence[Any]]:
    """Return the parts of a request. Raises BadArgument."""
    if isinstance(asked, tuple | list) and asked:
        return asked[0], asked[1:]
    hint = "give a network and its inputs, such as ('detector', image)"
    raise BadArgument.of(name, asked, "not a request", hint)


def _deadline_s(name: str, value: object) -> float:
    """Return the seconds until a deadline. Raises BadArgument."""
    seconds = arguments.seconds(name, value)
    if not math.isfinite(seconds):
        raise BadArgument.of(name, value, "not finite", "leave it out if nothing is due")
    if seconds <= 0:
        raise BadArgument.of(name, value, "can never be met", "give more than 0 seconds")
    return seconds


class _ChosenPolicy(NamedTuple):
    """A policy and its name. With `is_by_order` and `is_checked`, see `Planner`."""

    name: str
    policy: Policy
    is_by_order: bool = False
    is_checked: bool = True


def _policy(policy: str | Policy) -> _ChosenPolicy:
    """Return a policy by its name or function. Raises UsageError."""
    if callable(policy):
        return _ChosenPolicy(getattr(policy, "__name__", "of your own"), policy)
    name = arguments.text("policy", policy)
    if name not in POLICIES:
        raise UsageError(f"policy {name!r}", "not known", suggestion(name, [*POLICIES, *FAMILIES]))
    return _ChosenPolicy(name, POLICIES[name], name.partition("(")[0] in BY_ORDER, is_checked=False)


def _form(name: str, stored: Path, reader: str) -> StoreForm:
    """Return the form of the weights of a network. Raises UsageError if the reader cannot read them."""
    form = edgenet_form(stored) if is_edgenet(stored) else PLAIN
    try:
        check_reader(form, reader)
    except UsageError as error:
        raise error.within(f"network {name}", error.hint) from None
    return form


def _planner(
    networks: Mapping[str, Network], chosen: _ChosenPolicy, memory_bytes: int | None, scratch_bytes: int
) -> Planner:
    """Return the planner. Raises UsageError if the memory is too small for a network under the policy.

    Reading weights needs `scratch_bytes`.
    """
    if memory_bytes is None:
        return Planner(networks, *chosen[:2], Budget(), *chosen[2:])
    longest = max(networks.values(), key=lambda network: len(network.layers))
    window = Workload("runtime", (Request(longest),) * (PAST + FULL + 2 * len(networks)))
    reserved = reserved_bytes(window, scratch_bytes)
    available_bytes = max(0, memory_bytes - reserved)
    planner = _planner_within(networks, chosen, available_bytes)
    for each in networks:
        if planner.peak_bytes([TimedAsk(each)]) > available_bytes:
            enough = format_size(_enough_bytes(networks, chosen, each, memory_bytes, reserved))
            reason = f"policy {chosen.name} needs {enough} for it, and memory is {format_size(memory_bytes)}"
            raise UsageError(f"network {each}", reason, "give more memory, or another policy")
    return planner


def _planner_within(networks: Mapping[str, Network], chosen: _ChosenPolicy, available_bytes: int) -> Planner:
    """Return the planner for so much memory. Policies without an arena leave nothing for copies of weights."""
    planner = Planner(networks, *chosen[:2], Budget(available_bytes), *chosen[2:])
    alone = [[TimedAsk(each)] for each in networks]
    if all(planner.plan(asked).plan.arena_bytes for asked in alone):
        return planner
    spare_bytes = min(available_bytes, max(map(planner.copies_bytes, alone)))
    return Planner(networks, *chosen[:2], Budget(available_bytes - spare_bytes), *chosen[2:], spare_bytes)


def _enough_bytes(
    networks: Mapping[str, Network], chosen: _ChosenPolicy, name: str, memory_bytes: int, reserved: int
) -> int:
    """Return a size above `memory_bytes` that is enough for a network, of which `reserved` bytes are not for plans.

    It is in whole MiB, because a rounded size would be too small. A plan for more memory may need more. Raises
    UsageError if no size is found.
    """
    needed_bytes = max(memory_bytes, reserved) + 1
    for _ in range(_MAX_TRIES):
        enough_bytes = -(-needed_bytes >> 20 << 20)
        planner = _planner_within(networks, chosen, enough_bytes - reserved)
        needed_bytes = reserved + planner.peak_bytes([TimedAsk(name)])
        if needed_bytes <= enough_bytes:
            return enough_bytes
    reason = "needs more memory than any amount that it is given"
    raise UsageError(f"policy {chosen.name}", reason, "choose another policy")


def _best_reader(planner: Planner, stored: Iterable[Path]) -> str:
    """Return the best reader for networks that are asked in turn. Raises InvalidPlan."""
    if not accept_direct(file for each in stored for file in weight_files(each)):
        return THROUGH_CACHE
    requests = planner.requests([TimedAsk(name, float(turn)) for turn in range(2) for name in planner.networks])
    return best_reader(planner.whole_plan(requests), Workload("runtime", tuple(requests)), planner.budget.memory_bytes)
