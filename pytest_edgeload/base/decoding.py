"""What other processes wrote, as values or as one ValueError."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from pytest_edgeload.base.interrupts import Interrupts

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=1 << 62)]
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
Duration = Annotated[float, Meta(ge=0, le=1e12)]
"""What counts (bytes and indices, too) and times can be, whoever says so; a time may lie before its zero."""


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return what JSON of the type `kind` says. Raises ValueError, whatever `data` is.

    Numbers are finite and texts are Unicode, as JSON has it; of a key that is given twice the last counts.
    """
    try:
        # Ctrl-C waits: msgspec takes a while to know a type that it has not met, in which weak references die, and from
        # what is called back for one of these Python would drop it.
        with Interrupts():
            return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except (
        msgspec.MsgspecError,
        ValueError,
    ) as error:  # one and the same in newer versions
        raise ValueError(str(error)) from error
