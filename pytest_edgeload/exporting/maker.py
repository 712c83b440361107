"""The maker: the process that makes or converts one network. `networks.making` describes its conversation.

It ends when its parent ends, and first removes its unfinished files.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.functions import import_from
from pytest_edgeload.base.processes import die_with_parent
from pytest_edgeload.base.tracebacks import user_lines
from pytest_edgeload.networks.making import Event, Made, MakeNetwork, NotMade, Request

_RETRY_S = 2.0  # two of these are less than the time that a parent waits for us to end


def main(parent: int) -> int:
    """Carry out the request on standard input for the process `parent`; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's `pytest &` ignores it; there is nothing to remove yet
    die_with_parent(signal.SIGINT)
    if os.getppid() != parent:  # it ended before the kernel knew whom to signal
        return 1
    gc.disable()  # importing PyTorch takes seconds and leaves no garbage
    from pytest_edgeload.exporting.convert import convert_network  # noqa: PLC0415  # these import PyTorch
    from pytest_edgeload.exporting.make import make_network  # noqa: PLC0415

    with suppress(ImportError):  # which torch.export would raise as well, and then it is the answer
        importlib.import_module("torch._dynamo")  # torch.export imports it at its first call

    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, _interrupt)
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of the factory goes to standard error, never between the events

    def send(event: Event) -> None:
        events.write(msgspec.json.encode(event) + b"\n")
        events.flush()

    request: Request = decoding.decode(sys.stdin.buffer.read(), Request)  # type: ignore[arg-type]  # a union of structs
    import_from(request.path)
    if isinstance(request, MakeNetwork):
        answer = _answer(partial(make_network, request, send))
    else:
        answer = _answer(partial(convert_network, request, send))
    send(answer)
    return 0 if isinstance(answer, Made) else 1


def _answer(make: Callable[[], Path]) -> Made | NotMade:
    """Return the last event: the folder that `make` returns, or the reason why it fails."""
    try:
        return Made(str(make()))
    except Refusal as error:
        return NotMade.of(error)
    except OSError as error:  # of the factory, or of a library that it calls
        hint = files.cache_hint(error) if error.errno in files.FULL else ""
        return NotMade.because(str(error), hint, _lines(error))
    except Exception as error:  # noqa: BLE001  # the parent makes one sentence of it
        return NotMade.because(f"{type(error).__name__}: {error}", notes=_lines(error))


def _lines(error: BaseException) -> tuple[str, ...]:
    lines = user_lines(error)
    return (lines,) if lines else ()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # as all handlers
    """Raise KeyboardInterrupt; raise it again if the process still runs later; then let the kernel end the process.

    Python drops an exception raised in the callback of a weak reference, which each import has, and a factory may catch
    it.
    """
    signal.signal(signal.SIGALRM, _interrupt if number == signal.SIGINT else signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
    raise KeyboardInterrupt


def _leave(status: int) -> NoReturn:
    """End the process as Python does, but without the second that PyTorch takes to shut down."""
    atexit._run_exitfuncs()  # noqa: SLF001  # a factory may have registered some; there is no public way
    os._exit(status)


if __name__ == "__main__":
    _leave(main(int(sys.argv[1])))
