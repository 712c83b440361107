"""The orders of tile uses that were found for earlier plans, within a bound of memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from pytest_edgeload.policies.streaming.uses import TileUse

MAX_USES = 10_000
"""The tile uses of all known orders, of at most 500 bytes each: 5 MB. The margin of a budget has room for them."""


class KnownOrders:
    """Orders by everything that they depend on.

    A runtime makes a new plan for almost every request, mostly of stages that it had. All orders are forgotten before
    they have more than MAX_USES; those in use come again. A longer order is never kept.
    """

    def __init__(self) -> None:
        self._orders: dict[Hashable, Sequence[TileUse]] = {}

    def order(self, key: Hashable, find: Callable[[], Sequence[TileUse]]) -> Sequence[TileUse]:
        """Return the order with this key, which `find` returns if it is not known."""
        order = self._orders.get(key)
        if order is None:
            order = find()
            if self._size(*self._orders.values(), order) > MAX_USES:
                self.clear()
            if self._size(order) <= MAX_USES:
                self._orders[key] = order
        return order

    def clear(self) -> None:
        """Forget all orders."""
        self._orders.clear()

    @staticmethod
    def _size(*orders: Sequence[TileUse]) -> int:
        return sum(1 + len(order) for order in orders)  # an order without uses has a key
