"""Horizontal bars of characters, for charts in a terminal."""

from __future__ import annotations


def bar(length: float) -> str:
    """Return a bar in half blocks; even the shortest is visible."""
    halves = max(1, round(2 * length)) if length else 0
    return "█" * (halves // 2) + "▌" * (halves % 2)
