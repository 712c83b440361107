"""Ctrl-C, SIGTERM and SIGHUP: all end a session alike, and wait where they would leave something half made."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_alike() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end what runs in this context as Ctrl-C does, unless somebody else takes care of them.

    So a job that is cancelled cleans up, and reports what it has. Elsewhere than in the main thread nothing is done.
    """
    is_main = threading.current_thread() is threading.main_thread()
    ours = [number for number in SIGNALS if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # as all handlers
    raise KeyboardInterrupt(signal.Signals(number).name)


class Interrupts:
    """A context in which Ctrl-C and its like wait until the end, or until a part in which they are `allowed`.

    Python raises it between any two instructions of the main thread: also between a process's start and the line that
    notes its id, and in a cleanup. Elsewhere than in the main thread it is never raised, and nothing is done.
    """

    def __init__(self) -> None:
        self._usual: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._came: tuple[int, FrameType | None] | None = None
        self._holds = True
        self._is_over = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in SIGNALS}
            self._usual = {number: usual for number, usual in found.items() if callable(usual)}
            for number in self._usual:
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._holds = False  # one that comes now may leave the others with our handler, which then does as the usual
        for number, usual in self._usual.items():
            signal.signal(number, usual)
        self._let_through()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C through, also one that has waited."""
        try:
            self._holds = False
            self._let_through()
            yield
        finally:
            self._holds = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._holds:
            self._came = (number, frame)
            return
        self._holds = not self._is_over  # the usual one mostly raises, and a second one must not break what cleans up
        self._usual[number](number, frame)
        self._holds = False

    def _let_through(self) -> None:
        came, self._came = self._came, None
        if came is not None:
            self._handle(*came)
