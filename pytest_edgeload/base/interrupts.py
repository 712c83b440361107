"""Ctrl-C, SIGTERM and SIGHUP end a session in the same way, and wait while a step must not be left half done."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_AGAIN_S = 0.01


@contextmanager
def ended_alike() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the code in this context as Ctrl-C does, unless another handler is installed.

    So a cancelled job cleans up and reports its results. None of the signals is lost: Python ignores an exception in
    `__del__`, also a KeyboardInterrupt, so it comes again. Outside the main thread this does nothing.
    """
    is_main = threading.current_thread() is threading.main_thread()
    usual_hook, ours_hook = sys.unraisablehook, partial(_repeat_interrupt, usual=sys.unraisablehook)
    if is_main:
        sys.unraisablehook = ours_hook
    ours = [number for number in SIGNALS if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if sys.unraisablehook is ours_hook:
            sys.unraisablehook = usual_hook


def _repeat_interrupt(ignored: sys.UnraisableHookArgs, *, usual: Callable[[sys.UnraisableHookArgs], object]) -> None:
    """Give an ignored KeyboardInterrupt to the main thread again, when the code that ignores it is over."""
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        usual(ignored)
        return
    name = str(ignored.exc_value or "")
    number = signal.Signals[name] if name in signal.Signals.__members__ else signal.SIGINT
    # `pthread_kill` also ends a wait of the main thread, which `_thread.interrupt_main` does not
    threading.Timer(_AGAIN_S, signal.pthread_kill, [threading.main_thread().ident, number]).start()


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
    raise KeyboardInterrupt(signal.Signals(number).name)


class Interrupts:
    """A context in which these signals wait until its end, or until a part of it in which they are `allowed`.

    Python raises KeyboardInterrupt between any two instructions of the main thread: also between the start of a process
    and the line that stores its id, and in a cleanup. Outside the main thread it is never raised: this does nothing.
    """

    def __init__(self) -> None:
        self._usual: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._came: tuple[int, FrameType | None] | None = None
        self._holds = True
        self._is_over = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._usual = {number: usual for number, usual in handlers.items() if callable(usual)}
            for number in self._usual:
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        # A signal that comes now may leave our handler on the others; it then acts as the usual one.
        self._holds = False
        for number, usual in self._usual.items():
            signal.signal(number, usual)
        self._let_through()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let the signals through, including one that has waited."""
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
        # The usual handler mostly raises, and a second signal must not interrupt the cleanup.
        self._holds = not self._is_over
        self._usual[number](number, frame)
        self._holds = False

    def _let_through(self) -> None:
        came, self._came = self._came, None
        if came is not None:
            self._handle(*came)
