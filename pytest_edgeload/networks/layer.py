"""A network cut into layers, as frozen data that is read and written as JSON. Never imports torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

FORMAT = 3
"""Version of the files a network is stored in; part of every cache key."""

DTYPES = {
    "float64": ("F64", 8), "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int64": ("I64", 8),
    "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1), "uint8": ("U8", 1), "bool": ("BOOL", 1),
}  # fmt: skip
"""The types that weights and samples can have, with their names in safetensors files and the bytes of one number."""

OUTPUT_TOLERANCE = 1e-4
"""Largest `output_error` that float32 sums in another order explain: they stay near 1e-5, a lost bias gives 5e-4."""

_COARSE_TOLERANCES = {"bfloat16": 8 * 2**-7, "float16": 8 * 2**-10}
"""The same of half types, coarsest first: eight steps from 1 to the next number, of which runs take one."""


class TensorSpec(msgspec.Struct, frozen=True):
    """Where one tensor's bytes stand: name, torch dtype (`float32`), shape, first byte, length.

    The first byte is counted in the file, or through all files of a network's weights; see `WeightFile`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int

    def is_within(self, places: Iterable[tuple[int, int]]) -> bool:
        """Tell whether this is a tensor whose bytes all stand in one of `places`, each a first byte and an end."""
        _, item_bytes = DTYPES.get(self.dtype, ("", -1))
        if min(self.shape, default=0) < 0 or math.prod(self.shape) * item_bytes != self.size_bytes:
            return False
        return not self.size_bytes or any(
            begin <= self.offset <= self.offset + self.size_bytes <= end for begin, end in places
        )


class Op(msgspec.Struct, frozen=True):
    """One call of an ATen operator.

    `args` and `kwargs` are JSON; `{"value": n}` stands for an activation, `{"weight": n}` for a weight, and the
    other one-key objects for what JSON lacks (see `export.encode`). `drops` names the values nobody needs afterwards.
    """

    target: str
    args: list[Any]
    kwargs: dict[str, Any]
    output: str
    drops: tuple[str, ...] = ()


class Layer(msgspec.Struct, frozen=True):
    """The ops from one weighted op up to the next.

    `activation_bytes` is the most that live values take while the layer runs, `live_out_bytes` what they take when it
    is done (values that later layers or the caller still need); `flops` counts multiply and add as two.
    """

    name: str
    kind: str
    weights: tuple[TensorSpec, ...]
    ops: tuple[Op, ...]
    activation_bytes: int
    live_out_bytes: int
    flops: int

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights of this layer."""
        return sum(weight.size_bytes for weight in self.weights)

    @property
    def is_convolution(self) -> bool:
        """Whether the op that begins this layer is a convolution."""
        return self.kind.startswith("conv")


def merge(parts: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return stretches of a file, as (first byte, length), in order and those that touch made one."""
    merged: list[tuple[int, int]] = []
    for offset, size in sorted(parts):
        if merged and sum(merged[-1]) == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + size)
        else:
            merged.append((offset, size))
    return tuple(merged)


class Sample(msgspec.Struct, frozen=True):
    """One set of example inputs and what plain PyTorch computes from it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class WeightFile(msgspec.Struct, frozen=True):
    """A file of a checkpoint that weights are read from: `begin` is the address of its first byte.

    The stored weights begin at address 0; `networks.checkpoint` assigns the addresses behind them. The size, the time
    of the last change and the digest of the header show whether the file has changed since the network was made.
    """

    path: str
    begin: int
    size_bytes: int
    changed_ns: int
    header_sha256: str


class Network(msgspec.Struct, frozen=True):
    """A model cut into layers in execution order.

    `inputs` and `outputs` name values. `weights_sha256` and `samples_sha256` are the digests of the two files next to
    the graph. `checkpoint_files` are the files of the checkpoint that contains the other weights, if there is one.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    samples: tuple[Sample, ...]
    weights_sha256: str
    samples_sha256: str
    format: int = FORMAT
    checkpoint_files: tuple[WeightFile, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """Bytes that all layers load together; a weight that two layers share counts twice."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def peak_bytes(self) -> int:
        """The most bytes one request can hold: all weights at once, and the most activations of any layer."""
        return self.weight_bytes + max([self.input_bytes, *(layer.activation_bytes for layer in self.layers)])

    @property
    def answer_bytes(self) -> int:
        """Bytes of the outputs, which stay when a request is done."""
        return self.layers[-1].live_out_bytes if self.layers else self.input_bytes

    @property
    def tolerance(self) -> float:
        """Largest `output_error` that sums in another order explain, by the coarsest type that any number here has."""
        text = msgspec.json.encode(self).decode()
        return next((most for dtype, most in _COARSE_TOLERANCES.items() if f'"{dtype}"' in text), OUTPUT_TOLERANCE)

    @property
    def convolutional_layers(self) -> int:
        """How many layers there are up to the last convolution; those after it are the fully connected side."""
        return max((i + 1 for i, layer in enumerate(self.layers) if layer.is_convolution), default=0)

    @property
    def input_bytes(self) -> int:
        """Bytes of one sample's inputs."""
        return sum(tensor.size_bytes for tensor in self.samples[0].inputs)
