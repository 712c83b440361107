"""In which order measuring items run: pure functions of what pytest collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pytest_edgeload.plugin.fixtures import PEER, POLICY, ROUND


class Place(NamedTuple):
    """Where an item belongs: its comparison group (None if it measures nothing), its round, its position.

    `is_last`: it judges what the others measured.
    """

    group: object
    round: int
    position: int
    is_last: bool = False


def group_of(test: str, parameters: dict[str, Any]) -> object:
    """Return the comparison group of an item: its test and its parameters, without policy or peer and round."""
    rest = ((name, str(value)) for name, value in parameters.items() if name not in {POLICY, PEER, ROUND})
    return (test, *sorted(rest))


def interleave(places: Sequence[Place]) -> list[int]:
    """Return the indices in the order to run: each group together where its first item stood, round by round.

    So A B C of round 0 run before A B C of round 1, and a drift of the machine hits all policies alike.
    """
    first: dict[object, int] = {}
    for place in places:
        first.setdefault(_key(place), place.position)
    return [place.position for place in sorted(places, key=lambda p: (p.is_last, first[_key(p)], p.round, p.position))]


def _key(place: Place) -> object:
    return ("alone", place.position) if place.group is None else place.group
