"""JSON of other processes, decoded into values, or refused with a ValueError."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from pytest_edgeload.base.interrupts import Interrupts

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=1 << 62)]
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
Duration = Annotated[float, Meta(ge=0, le=1e12)]
"""The valid range of counts (bytes and indices as well) and of times; a time may be before its zero."""


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return the value of the type `kind` in JSON. Raises ValueError for any other `data`.

    As in JSON, numbers are finite and texts are Unicode; the last value of a repeated key counts.
    """
    if not data:
        raise ValueError("it is empty")
    try:
        # Python drops Ctrl-C in the callbacks of weak references, and many of them die while msgspec examines a new
        # type. So Ctrl-C waits here.
        with Interrupts():
            return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except (msgspec.MsgspecError, ValueError) as error:  # in newer versions, the first is a subclass of the second
        raise ValueError(str(error)) from error
