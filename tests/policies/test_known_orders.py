"""Orders are found once, as long as they have few uses together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pytest_edgeload.networks.tile import PAGE, WHOLE
from pytest_edgeload.policies.streaming.known_orders import MAX_USES, KnownOrders
from pytest_edgeload.policies.streaming.uses import TileUse

USE = TileUse((0,), (0, 0, WHOLE), PAGE, 0.0, 0.0)


def _found(known: KnownOrders, *lengths: int) -> list[int]:
    """Return the lengths of the orders that are not known when these are asked for in turn; the length is the key."""
    found: list[int] = []

    def find(length: int) -> Sequence[TileUse]:
        found.append(length)
        return [USE] * length

    for length in lengths:
        assert len(known.order(length, partial(find, length))) == length
    return found


def test_orders_are_found_once() -> None:
    """An order is remembered, also if it is empty, until all are forgotten."""
    known = KnownOrders()
    assert _found(known, 0, 3, 3, 0) == [0, 3]
    known.clear()
    assert _found(known, 3) == [3]


def test_orders_have_few_uses_together() -> None:
    """All orders are forgotten before they have more than MAX_USES, and an order that is too long is not kept."""
    half = MAX_USES // 2
    assert _found(KnownOrders(), half, half - 2, half, half - 2) == [half, half - 2]
    assert _found(KnownOrders(), half, half - 1, half - 1, half) == [half, half - 1, half]
    assert _found(KnownOrders(), MAX_USES, MAX_USES) == [MAX_USES, MAX_USES]
