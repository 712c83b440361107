"""The order in which tests that measure run. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ItemOrder(NamedTuple):
    """The comparison group of an item (None if it does not measure), its round, and its position in collection order.

    An item that `is_last` judges the measurements of the others.
    """

    group: object
    round: int
    position: int
    is_last: bool = False


def interleave(orders: Sequence[ItemOrder]) -> list[int]:
    """Return the positions in the order to run: each group at the position of its first item, round by round.

    So A B C of round 0 run before A B C of round 1, and a drift of the machine affects all policies alike.
    """
    first: dict[object, int] = {}
    for order in orders:
        first.setdefault(_key(order), order.position)
    return [order.position for order in sorted(orders, key=lambda o: (o.is_last, first[_key(o)], o.round, o.position))]


def _key(order: ItemOrder) -> object:
    return ("alone", order.position) if order.group is None else order.group
