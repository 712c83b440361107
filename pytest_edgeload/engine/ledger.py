"""The ledger: the byte account of a running plan, shared by all lanes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import copies_bytes
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.plan import Task

MIN_FREED_BYTES = 1 << 20
"""Less than this is not returned to the system."""


class Ledger:
    """A `planning.account.Account` that several lanes can use at the same time, in at most `memory_bytes` (None: any).

    malloc keeps the memory of freed activations, and of the copies of weights that operators make. `heap_bytes` is the
    most that they have taken together since it returned that memory, if there is a limit.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        arena_bytes: int = 0,
        steps: Sequence[int] = (),
        *,
        memory_bytes: int | None = None,
        heap_bytes: int = 0,
    ) -> None:
        self._lock = threading.Lock()
        self._account = Account(networks, arena_bytes, steps)
        self._networks = [*networks]
        self._copying: dict[int, int] = {}  # the bytes of the copies of weights that each request's exec makes now
        self._memory_bytes = memory_bytes
        self.heap_bytes = heap_bytes

    def add(self, network: Network, steps: int) -> None:
        """Add a request of `network` with so many steps."""
        with self._lock:
            self._networks.append(network)
            self._account.add(network, steps)

    def begin(self, task: Task) -> bool:
        """Add the bytes that `task` needs while it runs. Return whether malloc must return freed memory before.

        It must if all would not fit otherwise: new memory may be too large for the parts that malloc keeps.
        """
        with self._lock:
            live_bytes = self._live_bytes
            self._account.begin(task)
            if self._memory_bytes is None:
                return False
            if task.kind == "exec" and task.layer is not None:
                network = self._networks[task.request]
                self._copying[task.request] = copies_bytes(network, task.layer, task.tile)
            new_bytes = self._live_bytes - live_bytes
            is_short = self._account.weight_bytes + self.heap_bytes + new_bytes > self._memory_bytes
            is_due = is_short and self.heap_bytes - live_bytes >= MIN_FREED_BYTES
            if is_due:
                self.heap_bytes = live_bytes
            self.heap_bytes = max(self.heap_bytes, live_bytes + new_bytes)
            return is_due

    @property
    def _live_bytes(self) -> int:
        """The bytes that malloc cannot return now."""
        return self._account.activation_bytes + sum(self._copying.values())

    def end(self, task: Task) -> None:
        """Remove the bytes that are no longer needed after `task`."""
        with self._lock:
            self._account.end(task)
            if task.kind == "exec":
                self._copying.pop(task.request, None)

    def discard(self, request: int) -> None:
        """Remove the activations of a dropped request."""
        with self._lock:
            self._account.discard(request)
            self._copying.pop(request, None)  # of an exec that failed

    @property
    def held_bytes(self) -> int:
        """The sum of weights and activations now."""
        with self._lock:
            return self._account.held_bytes

    @property
    def peak_bytes(self) -> int:
        """The largest sum of weights and activations so far."""
        return self._account.peak_bytes
