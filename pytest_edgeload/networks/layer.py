"""A network cut into layers: frozen data that is read and written as JSON. Never imports torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.networks.feed import Feed, compared

FORMAT = 8
"""Version of the files that a network is stored in; part of every cache key."""

DTYPES = {
    "float64": ("F64", 8), "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int64": ("I64", 8),
    "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1), "uint8": ("U8", 1), "bool": ("BOOL", 1),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1),
}  # fmt: skip
"""The types of weights and samples, each with its name in safetensors files and the bytes of one number."""

OUTPUT_TOLERANCE = 1e-4
"""Largest `output_error` explained by float32 sums in another order: these give 1e-5, a missing bias gives 5e-4."""


class TensorSpec(msgspec.Struct, frozen=True):
    """The place of one tensor: name, torch dtype (`float32`), shape, first byte, length.

    For a sample, `offset` counts from the start of its file; for a weight, through all files of the network's weights,
    see `WeightFile`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int

    @property
    def padding_bytes(self) -> int:
        """Bytes from the first one of this tensor to the next address that its type requires; 0 if it is aligned."""
        return -self.offset % DTYPES[self.dtype][1]

    def at(self, index: int) -> TensorSpec:
        """Return the part of this tensor at `index` of its first axis."""
        size_bytes = self.size_bytes // self.shape[0]
        offset = self.offset + index * size_bytes
        return msgspec.structs.replace(self, shape=self.shape[1:], offset=offset, size_bytes=size_bytes)

    def is_within(self, ranges: Iterable[tuple[int, int]]) -> bool:
        """Return whether all bytes of this tensor are in one of `ranges`, each from a first byte up to an end."""
        _, item_bytes = DTYPES.get(self.dtype, ("", -1))
        if min(self.shape, default=0) < 0 or math.prod(self.shape) * item_bytes != self.size_bytes:
            return False
        return not self.size_bytes or any(
            begin <= self.offset <= self.offset + self.size_bytes <= end for begin, end in ranges
        )


class Op(msgspec.Struct, frozen=True):
    """One call of an ATen operator.

    `args` and `kwargs` are JSON: `{"value": n}` is an activation, `{"weight": n}` a weight, and the other objects with
    one key are types that JSON lacks (see `exporting.ops.encode`). `drops` names the values that no later op needs.
    """

    target: str
    args: list[Any]
    kwargs: dict[str, Any]
    output: str
    drops: tuple[str, ...] = ()


class RowCut(msgspec.Struct, frozen=True):
    """How a layer can be executed row by row: each row of its weights gives one part of its output.

    The op at index `op` applies a matrix of `rows` rows. The ops from index `first` up to it compute that matrix from
    weights alone, such as numbers of 32 bits from numbers of 8 bits. They run for `block_rows` rows at a time, so that
    only those are held in the wider type. `axes` names the weights that have the rows, and the axis of each along which
    they are. Rows are cut at multiples of `unit`.
    """

    op: int
    first: int
    rows: int
    axes: dict[str, int]
    block_rows: int
    unit: int = 1

    def blocks(self, first: int, end: int, block_rows: int | None = None) -> tuple[tuple[int, int], ...]:
        """Return the rows from `first` up to `end` in ranges of at most `block_rows` (None: its own), or one unit."""
        step = max(self.unit, (block_rows or self.block_rows) // self.unit * self.unit)
        return tuple((begin, min(begin + step, end)) for begin in range(first, end, step))


class FirstStep(msgspec.Struct, frozen=True):
    """The ops of a layer in the first step of a request, and their figures, see `Layer`."""

    ops: tuple[Op, ...]
    activation_bytes: int
    live_out_bytes: int
    flops: int
    row_cut: RowCut | None = None


class Layer(msgspec.Struct, frozen=True, dict=True):
    """The ops from one weighted op up to the next.

    `activation_bytes` is the peak of live values while the layer runs. `live_out_bytes` are the values still live after
    it, which later layers or the caller need. `flops` counts multiply and add as two. `first` has the ops of the first
    step of a request, with the same weights, if its inputs have other shapes than those of later steps. `row_cut` is
    given if the layer computes with a matrix that it makes from its weights row by row.
    """

    name: str
    kind: str
    weights: tuple[TensorSpec, ...]
    ops: tuple[Op, ...]
    activation_bytes: int
    live_out_bytes: int
    flops: int
    row_cut: RowCut | None = None
    first: FirstStep | None = None

    @cached_property
    def in_first_step(self) -> Layer:
        """This layer as it is in the first step of a request."""
        if self.first is None:
            return self
        values = msgspec.structs.asdict(self.first)
        return msgspec.structs.replace(self, **values, first=None)

    @cached_property
    def max_activation_bytes(self) -> int:
        """The peak of live values while the layer runs, in any step."""
        return max(self.activation_bytes, self.in_first_step.activation_bytes)

    @cached_property
    def max_live_out_bytes(self) -> int:
        """The bytes of values still live after the layer, in any step."""
        return max(self.live_out_bytes, self.in_first_step.live_out_bytes)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all weights of this layer."""
        return sum(weight.size_bytes for weight in self.weights)

    @property
    def is_convolution(self) -> bool:
        """Whether the op that begins this layer is a convolution."""
        return self.kind.startswith("conv")


def merge(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return stretches of a file, as (first byte, length), in order, with adjacent ones merged."""
    merged: list[tuple[int, int]] = []
    for offset, size in sorted(stretches):
        if merged and sum(merged[-1]) == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + size)
        else:
            merged.append((offset, size))
    return tuple(merged)


def weight_stretches(weights: Iterable[TensorSpec]) -> tuple[tuple[int, int], ...]:
    """Return the stretches that contain `weights`, as (first byte, length); adjacent ones merged."""
    return merge((weight.offset, weight.size_bytes) for weight in weights if weight.size_bytes)


class Sample(msgspec.Struct, frozen=True):
    """One set of example inputs, and the outputs of plain PyTorch for it.

    `noise` contains one number for each output: how far it moves if all inputs move by one rounding step of their type.
    It shows the size of the values inside the network: the difference of two large numbers is small, but its error is
    that of the large ones. Without `noise`, outputs have none.

    `later` contains the outputs of the later steps that `Network.compared` names, if the network has feeds: one tensor
    for each output, whose first axis is the step. `zeros` are the positions of inputs of which each byte is zero: the
    file does not contain them. The inputs include the initial values of the network's buffers, and the outputs do not
    include the final ones.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    noise: TensorSpec | None = None
    later: tuple[TensorSpec, ...] = ()
    zeros: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        """The most steps that a request for this sample can have."""
        return 1 + (self.later[0].shape[0] if self.later else 0)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """All tensors of this sample that its file contains."""
        inputs = (spec for i, spec in enumerate(self.inputs) if i not in self.zeros)
        return (*inputs, *self.outputs, *([] if self.noise is None else [self.noise]), *self.later)


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


class Network(msgspec.Struct, frozen=True, dict=True):
    """A model cut into layers in execution order.

    `inputs` and `outputs` name values. `weights_sha256` and `samples_sha256` are the digests of the two files next to
    the graph. `checkpoint_files` are the files of the checkpoint that contains the other weights, if there is one.
    `nest` is the nest of a sample's inputs, see `networks.inputs.nest_of`. `tolerance` is the largest `output_error`
    allowed: as the user set it, or explained by sums in another order in the network's types. `feeds` connect the steps
    of a request. The last inputs, and as many outputs, are the `buffers` that the module changes, by name.
    `freed_bytes` of the values that are live at the end are such buffers alone, which are freed when the last step has
    ended. `arguments` has the position or keyword of the argument that each input is part of; if it is empty, each is
    one by itself. `first_outputs` name the outputs of the first step of a request, if its layers have other ops then;
    its inputs have the same names.
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
    nest: Any = None
    tolerance: float = OUTPUT_TOLERANCE
    feeds: tuple[Feed, ...] = ()
    buffers: tuple[str, ...] = ()
    freed_bytes: int = 0
    arguments: tuple[int | str, ...] = ()
    first_outputs: tuple[str, ...] = ()

    @property
    def own_inputs(self) -> tuple[str, ...]:
        """The inputs of the module, without its buffers."""
        return self.inputs[: len(self.inputs) - len(self.buffers)]

    @property
    def own_outputs(self) -> tuple[str, ...]:
        """The outputs of the module, without its buffers."""
        return self.outputs[: len(self.outputs) - len(self.buffers)]

    def expected(self, sample: int, step: int) -> dict[int, TensorSpec]:
        """Return plain PyTorch's outputs in a step, by number; after the first step only those that are compared."""
        stored = self.samples[sample % len(self.samples)]
        if not step:
            return dict(enumerate(stored.outputs))
        return {i: spec.at(step - 1) for i, spec in zip(self.compared, stored.later, strict=True)}

    @property
    def compared(self) -> tuple[int, ...]:
        """The outputs that are compared after the first step."""
        return compared(self.feeds, len(self.own_outputs))

    @cached_property
    def state(self) -> frozenset[int]:
        """The positions of the inputs that each step passes on to the next one; a step may overwrite their memory."""
        return frozenset(int(feed.input) for feed in self.feeds if feed.rule == "same")

    @property
    def weight_bytes(self) -> int:
        """Bytes that all layers load in total; a weight shared by two layers counts twice."""
        return sum(layer.weight_bytes for layer in self.layers)

    @cached_property
    def distinct_bytes(self) -> int:
        """Bytes of all weights; a weight shared by two layers counts once."""
        return sum(weight.size_bytes for weight in {weight for layer in self.layers for weight in layer.weights})

    @cached_property
    def tied_weights(self) -> frozenset[TensorSpec]:
        """The weights that several layers share, such as the table of an embedding that is also the last layer's."""
        counts = Counter(weight for layer in self.layers for weight in layer.weights)
        return frozenset(weight for weight, count in counts.items() if count > 1)

    @property
    def peak_bytes(self) -> int:
        """The most bytes that one request can hold: all weights, and the largest activations of a layer."""
        return self.distinct_bytes + max([self.input_bytes, *(layer.max_activation_bytes for layer in self.layers)])

    @cached_property
    def answer_bytes(self) -> int:
        """Bytes of the outputs, which stay in memory when a request is done."""
        return (self.layers[-1].max_live_out_bytes if self.layers else self.input_bytes) - self.freed_bytes

    @property
    def convolutional_layers(self) -> int:
        """Number of layers up to the last convolution; the rest is the fully connected part."""
        return max((i + 1 for i, layer in enumerate(self.layers) if layer.is_convolution), default=0)

    @cached_property
    def input_bytes(self) -> int:
        """Bytes of one sample's inputs."""
        return sum(tensor.size_bytes for tensor in self.samples[0].inputs)

    @cached_property
    def kept_bytes(self) -> int:
        """Bytes of the inputs that a request keeps from step to step, because no output becomes them."""
        return self.input_bytes - self.state_bytes

    @cached_property
    def state_bytes(self) -> int:
        """Bytes of the inputs that each step passes on to the next one."""
        return sum(self.samples[0].inputs[i].size_bytes for i in self.state)


class _Version(msgspec.Struct):
    """The format of a graph."""

    format: int = FORMAT


def decode_graph(text: bytes | str) -> Network:
    """Return the network that JSON describes. Raises ValueError, also for a network of another format."""
    version = decoding.decode(text, _Version).format  # first, because another format may lack fields of this one
    if version != FORMAT:
        raise ValueError(f"it has format {version}, and this version reads format {FORMAT}")
    return decoding.decode(text, Network)
