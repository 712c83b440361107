"""The arena of a runtime: one at a time is in memory."""

from __future__ import annotations

from typing import Any

from pytest_edgeload.runtime.arena import ReusedArena
from tests.engine.performers import anonymous_bytes

SIZE = 32 << 20


def test_old_arena_is_freed_before_a_larger_one_is_taken() -> None:
    """Its memory is returned to the system, even if one of its views is in a cycle of objects."""
    arena = ReusedArena()
    window: list[Any] = [arena.of(SIZE)]
    window[0][:] = bytes(SIZE)
    window.append(window)
    held_bytes = anonymous_bytes()
    del window
    assert arena.of(2 * SIZE) is not None
    assert anonymous_bytes() < held_bytes - SIZE / 2
