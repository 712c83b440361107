"""What other processes wrote, as values or as one ValueError."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return what JSON of the type `kind` says. Raises ValueError, whatever `data` is.

    Numbers are finite and texts are Unicode, as JSON has it; of a key that is given twice the last counts.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except (
        msgspec.MsgspecError,
        ValueError,
    ) as error:  # one and the same in newer versions
        raise ValueError(str(error)) from error
