"""The capped process of `edge.call`: calls one function, once, and speaks as `job` lays down. Never imports torch."""

from __future__ import annotations

import errno
import json
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.engine.channel import Send, speak
from pytest_edgeload.job import CHECK, GO, Call, Done, Failed, Ready, Returned, import_from

MAX_RETURNED_BYTES = 1 << 16
"""How much JSON of what a function returns is kept: it stands in every record."""

_MOST_DEPTH = 100  # of lists and objects in each other; what reads them goes little deeper
_WORDS = 400


def _work(commands: BinaryIO, send: Send) -> None:
    """Call the function that comes first; its imports come before the clock starts."""
    call = msgspec.json.decode(commands.readline(), type=Call)
    import_from(call.path)
    function, args, kwargs = pickle.load(commands)  # noqa: S301  # from our own parent
    send(Ready())
    if commands.readline() != GO:
        return
    begin = time.perf_counter()
    answer = _called(function, args, kwargs)
    makespan_s = time.perf_counter() - begin
    if isinstance(answer, Failed):
        send(answer)
        return
    send(Done(makespan_s))
    if commands.readline() == CHECK:
        send(_returned(answer))


def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what the function returns, or what it failed by."""
    pid = os.getpid()
    try:
        return function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # whatever it raises is an outcome
        is_refused = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
        return Failed(_words(error), memory=is_refused, wrong=isinstance(error, AssertionError))
    finally:
        if os.getpid() != pid:  # a fork that came back here must not answer in our place
            os._exit(0)


def _words(error: BaseException) -> str:
    return printable(" ".join(traceback.format_exception_only(error)[-1].split())[:_WORDS])


def _returned(value: Any) -> Returned:
    """Return `value` as it can be sent."""
    size = 0
    try:
        if _is_deep(value, _MOST_DEPTH):
            return Returned(notices=(f"what the function returned is not kept: it is more than {_MOST_DEPTH} deep",))
        # Piece by piece, for the whole of it could be more than the limit has room for.
        for piece in json.JSONEncoder(allow_nan=False).iterencode(value):
            size += len(piece)
            if size > MAX_RETURNED_BYTES:
                reason = f"it is more than {MAX_RETURNED_BYTES} bytes of JSON"
                return Returned(notices=(f"what the function returned is not kept: {reason}",))
        msgspec.json.encode(value)  # which is less forgiving: half characters, keys that are no texts
    except Exception as error:  # noqa: BLE001  # a user's own object may raise anything
        return Returned(
            notices=(f"what the function returned is not kept, as JSON cannot hold it: {printable(str(error))}",)
        )
    return Returned(value)


def _is_deep(value: Any, most: int) -> bool:
    """Tell whether lists and objects stand in each other more than `most` times, be it without end."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return most < 0 or any(_is_deep(each, most - 1) for each in inner)


if __name__ == "__main__":
    sys.exit(speak(_work))
