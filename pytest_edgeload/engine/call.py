"""The worker of `edge.call`: calls one function and follows the protocol in `job`. Never imports torch."""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, BinaryIO

import msgspec

from pytest_edgeload.base.functions import import_from
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.tracebacks import user_lines
from pytest_edgeload.engine import memory
from pytest_edgeload.engine.channel import Send, serve
from pytest_edgeload.engine.returned import ReturnedMetrics
from pytest_edgeload.inside import end_repetition
from pytest_edgeload.job import CHECK, GO, Call, Done, Failed, Ready, Returned

MAX_RETURNED_BYTES = 1 << 16
"""Largest JSON of a returned value that is kept, because every record contains it."""

_MAX_DEPTH = 100  # levels of nested lists and objects; common JSON readers accept little more
_MAX_MESSAGE_CHARACTERS = 400


def _work(commands: BinaryIO, send: Send) -> None:
    """Call the function in the first message; unpickling, which may import modules, happens before the clock starts."""
    call = msgspec.json.decode(commands.readline(), type=Call)
    import_from(call.path)
    function, args, kwargs = pickle.load(commands)  # noqa: S301  # from our own parent
    _offer_module(function)
    send(Ready())
    if commands.readline() != GO:
        return
    metrics = ReturnedMetrics(call.metrics)
    result, times_s = _repeat(partial(_call, function, args, kwargs), call.repeat, metrics)
    if isinstance(result, Failed):
        send(result)
        return
    send(Done(sum(times_s), repetitions_s=times_s if call.repeat > 1 else ()))
    if commands.readline() == CHECK:
        send(metrics.add_to(_to_event(result)))


def _repeat(once: Callable[[], Any], repeat: int, metrics: ReturnedMetrics) -> tuple[Any, tuple[float, ...]]:
    """Return the last result, and the seconds of each repetition; stop if one fails."""
    result, times_s = None, []
    for i in range(repeat):
        result = None  # it would be held beside the next result
        begin = time.perf_counter()
        result = once()
        times_s.append(time.perf_counter() - begin)
        if isinstance(result, Failed):
            return (
                msgspec.structs.replace(result, message=f"repetition {i + 1}: {result.message}") if i else result
            ), ()
        metrics.note(result)
        if repeat > 1:
            end_repetition()
    return result, tuple(times_s)


def _offer_module(function: Callable[..., Any]) -> None:
    """Let the module of a function that came by value be imported, with the definitions that came with it.

    multiprocessing sends functions by the name of their module, and the test's own module is not imported here.
    """
    inner = getattr(function, "func", function)  # of functools.partial
    if isinstance(inner, FunctionType) and inner.__module__ not in sys.modules:
        module = ModuleType(inner.__module__)
        vars(module).update(inner.__globals__, **{inner.__name__: inner})
        sys.modules[inner.__module__] = module


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the function's result, or Failed if it raises."""
    pid = os.getpid()
    try:
        return function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # every exception of the function is an outcome
        is_refused = memory.is_refusal(error)
        is_wrong = isinstance(error, AssertionError)
        return Failed(_message(error), memory=is_refused, wrong=is_wrong, traceback=user_lines(error))
    finally:
        if os.getpid() != pid:  # a forked child that returns here must not send an answer of its own
            os._exit(0)


def _message(error: BaseException) -> str:
    return printable(" ".join(traceback.format_exception_only(error)[-1].split())[:_MAX_MESSAGE_CHARACTERS])


def _to_event(value: Any) -> Returned:
    """Return the event that contains `value`, or a notice if the value is too large, too deep or not JSON."""
    try:
        reason = _too_large(value)
        if reason is None:
            encoded = msgspec.json.encode(value)  # stricter than json: rejects lone surrogates and most types of keys
            return Returned(value, _lost_entries(encoded))
    except Exception as error:  # noqa: BLE001  # a user's own object may raise anything
        reason = f"JSON cannot represent it: {printable(str(error))}"
    return Returned(notices=(f"the returned value is not recorded: {reason}",))


def _lost_entries(encoded: bytes) -> tuple[str, ...]:
    """Return a notice for each object whose entries are fewer than those of its dict, because JSON's keys are texts."""
    notices = []

    def to_dict(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            twice = next(key for key, count in counts.items() if count > 1)
            notices.append(f"the returned value lost an entry: two keys of a dict are {printable(twice)!r} in JSON")
        return found

    json.loads(encoded, object_pairs_hook=to_dict)
    return tuple(dict.fromkeys(notices))


def _too_large(value: Any) -> str | None:
    """Return the reason why a record cannot contain `value`; None if it can. Raises any exception of json."""
    if _is_deeper(value, _MAX_DEPTH):
        return f"it is nested more than {_MAX_DEPTH} levels deep"
    size = 0
    for piece in json.JSONEncoder(allow_nan=False).iterencode(value):  # in pieces, because the whole may exceed memory
        size += len(piece)
        if size > MAX_RETURNED_BYTES:
            return f"it is more than {MAX_RETURNED_BYTES} bytes of JSON"
    return None


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested more than `levels` deep; works for cyclic values as well."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return levels < 0 or any(_is_deeper(item, levels - 1) for item in inner)


if __name__ == "__main__":
    sys.exit(serve(_work))
