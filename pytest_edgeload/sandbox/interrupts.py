"""Ctrl-C where it would leave something half made: it waits until that is whole, or undone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """A context in which Ctrl-C waits until the end, or until a part in which it is `allowed`.

    Python raises it between any two instructions of the main thread: also between a process's start and the line that
    notes its id, and in a cleanup. Elsewhere than in the main thread it is never raised, and nothing is done.
    """

    def __init__(self) -> None:
        self._usual: Any = None
        self._came: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Self:
        usual = signal.getsignal(signal.SIGINT)
        if callable(usual) and threading.current_thread() is threading.main_thread():
            self._usual = usual
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C through, also one that has waited."""
        try:
            self._restore()
            yield
        finally:
            if self._usual is not None:
                signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = (number, frame)

    def _restore(self) -> None:
        if self._usual is None:
            return
        signal.signal(signal.SIGINT, self._usual)
        came, self._came = self._came, None
        if came is not None:
            usual: Callable[[int, FrameType | None], object] = self._usual
            usual(*came)
