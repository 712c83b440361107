"""A performer for the lanes that does as a test says."""

from __future__ import annotations

from collections.abc import Callable


class Calling:
    """Carries out tasks by calling a function, lets another one decide conditions, and notes what is discarded."""

    def __init__(
        self, call: Callable[[int], object] = lambda _: None, decide: Callable[[int], bool] = lambda _: True
    ) -> None:
        self._call = call
        self._decide = decide
        self.discarded: list[int] = []

    def perform(self, index: int) -> None:
        """Call."""
        self._call(index)

    def holds(self, request: int) -> bool:
        """Decide."""
        return self._decide(request)

    def discard(self, request: int) -> None:
        """Note."""
        self.discarded.append(request)
