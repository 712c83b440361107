"""The process that makes one network, see `prepare`; it ends with who asked, and then undoes what it has begun."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_AGAIN_S = 2.0  # twice that is less than an asker waits that is still there


def main(asker: int) -> int:
    """Carry out the request on standard input of the process `asker`, our parent; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's `pytest &` has it ignored; nothing is to be undone yet
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != asker:  # it was killed before the kernel knew
        return 1
    gc.disable()  # nothing of PyTorch's import, which takes seconds, is garbage
    from pytest_edgeload.exporting.prepare import main as carry_out  # noqa: PLC0415

    gc.enable()
    signal.signal(signal.SIGINT, _interrupt)
    return carry_out()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # as all handlers
    """Undo and end; if that is not heard, once more; and if it is not obeyed, have the kernel end us.

    Python drops what is raised in the callback of a weak reference, as each import has one, and a factory may catch it.
    """
    signal.signal(signal.SIGALRM, _interrupt if number == signal.SIGINT else signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    raise KeyboardInterrupt


def _leave(status: int) -> NoReturn:
    """End the process, as Python does, but for taking PyTorch down, which takes the better part of a second."""
    atexit._run_exitfuncs()  # noqa: SLF001  # what a factory wants done at the end; there is no public way
    os._exit(status)


if __name__ == "__main__":
    _leave(main(int(sys.argv[1])))
