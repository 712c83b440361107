"""The conversation with the maker, the process that makes and converts networks, as JSON lines.

The parent writes one Request and closes the pipe. The maker writes Events: Waiting if another process holds the lock
of the same network, any number of Progress, and last Made or NotMade. Then it ends, with status 0 after Made.

This file contains the whole conversation. `preparation` is the parent's side, `exporting.maker` is the maker's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec

from pytest_edgeload.base.decoding import Count
from pytest_edgeload.base.errors import Refusal, Setting, UsageError, Words, notes, pieces
from pytest_edgeload.base.functions import SearchPath
from pytest_edgeload.base.text import printable


class MakeNetwork(msgspec.Struct, frozen=True, tag="make"):
    """Make the network `name` and keep it in the store at `root` under the recipe `key`.

    `factory` is written as `module:function` and imported from `path`, or is the path of a saved model. `checkpoint` is
    the path of the checkpoint that contains the weights, if the factory's module gets its weights from one, and `names`
    the names of tensors in it by those in the module, if they differ.
    `tolerance` is the largest output error, None if it follows from the network's types.
    """

    root: str
    key: str
    path: SearchPath
    factory: str
    name: str
    checkpoint: str | None = None
    tolerance: float | None = None
    names: dict[str, str] = {}


class ConvertNetwork(msgspec.Struct, frozen=True, tag="convert"):
    """Convert the stored network in the folder `network` by `function`, and keep the result as the folder `files`.

    `factory`, `checkpoint` and `names` are those of the network, see `MakeNetwork`, and `function` is written as
    `module:function`. A network of a test's own model has a `skeleton` instead of a factory.
    """

    root: str
    key: str
    path: SearchPath
    factory: str
    network: str
    function: str
    files: str
    checkpoint: str | None = None
    skeleton: str | None = None
    names: dict[str, str] = {}


Request = MakeNetwork | ConvertNetwork


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """The maker waits for a process that makes the same network; `holder` describes that process."""

    holder: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """The bytes written so far and in total; the total is 0 while it is unknown."""

    done_bytes: Count
    total_bytes: Count


class Made(msgspec.Struct, frozen=True, tag="made"):
    """The network, or the converted files, are complete in `folder`."""

    folder: str


class NotMade(msgspec.Struct, frozen=True, tag="not_made"):
    """The maker has failed. Reason and hint are pieces of a message, notes are lines below it; see `base.errors`."""

    reason: tuple[str | Setting, ...]
    hint: tuple[str | Setting, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def because(cls, reason: Words, hint: Words = "", notes: Iterable[str] = ()) -> Self:
        """Return a failure with these parts, made printable: a name of a file need not be Unicode."""
        lines = ("\n".join(map(printable, note.splitlines())) for note in notes)
        return cls(_printable(reason), _printable(hint), tuple(lines))

    @classmethod
    def of(cls, error: Refusal) -> Self:
        """Return the failure that this error causes."""
        return cls.because(error.statement, error.hint, notes(error))


Event = Waiting | Progress | Made | NotMade


def is_saved_model(factory: object) -> bool:
    """Return whether a factory is the path of a .pt2 file rather than a function."""
    return isinstance(factory, str) and factory.endswith(".pt2")


_FOREIGN = {
    "onnx": "an ONNX model",
    "tflite": "a TFLite model",
    "gguf": "weights for llama.cpp",
    "pt": "a TorchScript module or weights in pickle",
    "pth": "a TorchScript module or weights in pickle",
    "safetensors": "a checkpoint",
}


def check_format(subject: str, path: object) -> None:
    """Raise UsageError if `path` has the suffix of a file that no network can be made of."""
    suffix = path.rpartition(".")[2].lower() if isinstance(path, str) else ""
    if suffix in _FOREIGN:
        hint = "measure the program that runs it with edge.call or edge.command"
        if suffix in {"pt", "pth", "safetensors"}:
            hint = f"give a function that returns its module, or {hint}"
        raise UsageError(f"{subject} {path}", f"{_FOREIGN[suffix]}, which cannot be cut into layers", hint)


def _printable(part: Words) -> tuple[str | Setting, ...]:
    return tuple(
        printable(piece) if isinstance(piece, str) else Setting(piece.name, printable(piece.value))
        for piece in pieces(part)
    )
