"""The ledger: the byte account of a running plan, shared by all lanes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.plan import Task


class Ledger:
    """A `planning.account.Account` that several lanes can use at the same time."""

    def __init__(self, networks: Sequence[Network], arena_bytes: int = 0, steps: Sequence[int] = ()) -> None:
        self._lock = threading.Lock()
        self._account = Account(networks, arena_bytes, steps)

    def add(self, network: Network, steps: int) -> None:
        """Add a request of `network` with so many steps."""
        with self._lock:
            self._account.add(network, steps)

    def begin(self, task: Task) -> None:
        """Add the bytes that `task` needs while it runs."""
        with self._lock:
            self._account.begin(task)

    def end(self, task: Task) -> None:
        """Remove the bytes that are no longer needed after `task`."""
        with self._lock:
            self._account.end(task)

    def discard(self, request: int) -> None:
        """Remove the activations of a dropped request."""
        with self._lock:
            self._account.discard(request)

    @property
    def held_bytes(self) -> int:
        """The sum of weights and activations now."""
        with self._lock:
            return self._account.held_bytes

    @property
    def peak_bytes(self) -> int:
        """The largest sum of weights and activations so far."""
        return self._account.peak_bytes
