"""Tensors of GGUF files, the checkpoints of llama.cpp: where each is, and in which type. Never imports torch.

The package `gguf` reads the header. Types of quantized blocks are described in `exporting.blocks`, which widens them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.networks.layer import TensorSpec

PLAIN_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
BLOCK_TYPES = ("Q8_0", "Q4_0", "Q4_K", "Q6_K")


class GgufTensor(NamedTuple):
    """A tensor as the file has it, in bytes if it consists of blocks; its type, and its shape in numbers."""

    spec: TensorSpec
    type: str
    shape: tuple[int, ...]


class GgufFile(NamedTuple):
    """The tensors of a file by their names, and a function from a name in a transformers model to the name in here."""

    tensors: dict[str, GgufTensor]
    name_of: Callable[[str], str]


def read_gguf(path: Path) -> GgufFile:
    """Return the tensors of a GGUF file, with their offsets in it.

    Raises ValueError if it is damaged, and Unsupported if the package `gguf` is not installed.
    """
    try:
        import gguf  # noqa: PLC0415  # an optional dependency
    except ModuleNotFoundError as error:
        raise Unsupported(
            str(path), "the package gguf is not installed", "try pip install 'pytest-edgeload[llama-cpp]'"
        ) from error
    try:
        reader = gguf.GGUFReader(path)
        return GgufFile({tensor.name: _tensor(tensor) for tensor in reader.tensors}, _names(gguf, reader))
    except Exception as error:  # it checks few of the numbers that it uses
        raise ValueError(str(path)) from error


def _tensor(tensor: Any) -> GgufTensor:
    shape, kind = tuple(int(size) for size in reversed(tensor.shape)), str(tensor.tensor_type.name)
    size_bytes = int(tensor.n_bytes)
    dtype = PLAIN_TYPES.get(kind, "uint8")
    rows = 1
    for size in shape[:-1]:
        rows *= size
    stored = shape if kind in PLAIN_TYPES else (*shape[:-1], size_bytes // max(1, rows))
    return GgufTensor(TensorSpec(tensor.name, dtype, stored, int(tensor.data_offset), size_bytes), kind, shape)


def _names(gguf: Any, reader: Any) -> Callable[[str], str]:
    """Return a function that translates names of transformers; any other name stays as it is."""
    field = reader.get_field("general.architecture")
    architecture = "" if field is None else str(field.contents())
    known = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    count = reader.get_field(f"{architecture}.block_count")
    if architecture not in known or count is None:
        return lambda name: name
    names = gguf.get_tensor_name_map(known[architecture], int(count.contents()))
    return lambda name: names.get_name(name, (".weight", ".bias")) or name
