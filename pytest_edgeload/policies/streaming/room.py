"""The memory that `stream` gives away and gets back: who takes it waits for the tasks that give it back. Pure."""

from __future__ import annotations

from collections import deque


class Room:
    """So many bytes that are free from the start, and those that tasks free later. The first to be free is taken first.

    So a load waits only for the frees that make its own room, not for others that come late.
    """

    def __init__(self, size_bytes: float) -> None:
        self._free: deque[tuple[int | None, float]] = deque([(None, size_bytes)])  # the task that frees them, and bytes

    def give(self, task: int, size_bytes: int) -> None:
        """Add the bytes that a task frees."""
        self._free.append((task, size_bytes))

    def take(self, size_bytes: int) -> list[int]:
        """Remove so many bytes, or as many as there are; return the tasks that free them."""
        tasks: list[int] = []
        left_bytes: float = size_bytes
        while left_bytes > 0 and self._free:
            task, free_bytes = self._free.popleft()
            if task is not None:
                tasks.append(task)
            if free_bytes > left_bytes:
                self._free.appendleft((task, free_bytes - left_bytes))
            left_bytes -= free_bytes
        return tasks
