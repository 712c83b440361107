"""Networks composed op by op, without a module. Pure data; never imports torch.

Shapes, names, bytes and FLOPs are computed here. They equal those of an export, which runs the module on fake tensors.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec

_DTYPE, _ITEM_BYTES = "float32", 4
_INPUT = "x"


@dataclass(frozen=True, slots=True)
class Value:
    """An activation: its name, its shape (batch first), and the name of the value that owns its memory."""

    name: str
    shape: tuple[int, ...]
    storage: str

    @property
    def size_bytes(self) -> int:
        """Bytes of its memory."""
        return _ITEM_BYTES * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class _PendingOp:
    """One op before its dropped values are known, with its values, weights and FLOPs."""

    op: Op
    inputs: tuple[Value, ...]
    output: Value
    weights: tuple[TensorSpec, ...]
    flops: int


class Composer:
    """Collects the ops of a network with one input of this shape. Each method adds an op and returns its value.

    An op with weights begins a layer, as in an export.
    """

    def __init__(self, *shape: int) -> None:
        self.input = Value(_INPUT, shape, _INPUT)
        self._ops: list[_PendingOp] = []
        self._layers = 0
        self._offset = 0
        self._names = Counter[str]()

    def linear(self, x: Value, features: int, *, bias: bool = True) -> Value:
        """Add a linear layer with `features` outputs."""
        before, inputs = x.shape[:-1], x.shape[-1]
        weights = self._weights((features, inputs), bias=bias)
        flops = 2 * math.prod(before) * inputs * features
        return self._add("linear.default", [_value(x), *_weight(weights)], (x,), (*before, features), weights, flops)

    def conv2d(self, x: Value, channels: int, *, kernel: int = 1, stride: int = 1, bias: bool = True) -> Value:
        """Add a convolution with `channels` outputs and a square kernel of odd size, padded by half of its size."""
        batch, inputs, *sides = x.shape
        shape = (batch, channels, *((side - 1) // stride + 1 for side in sides))
        weights = self._weights((channels, inputs, kernel, kernel), bias=bias)
        padding = kernel // 2
        # An export leaves out trailing arguments that are the defaults of the operator.
        rest: list[Any] = _weight(weights)
        if (stride, padding) != (1, 0):
            rest += [*([] if bias else [None]), [stride, stride], *([[padding, padding]] if padding else [])]
        flops = 2 * math.prod(shape) * inputs * kernel**2
        return self._add("conv2d.default", [_value(x), *rest], (x,), shape, weights, flops)

    def relu(self, x: Value) -> Value:
        """Add the larger of `x` and zero."""
        return self._add("relu.default", [_value(x)], (x,), x.shape)

    def add(self, a: Value, b: Value) -> Value:
        """Add the sum of two values of the same shape."""
        return self._add("add.Tensor", [_value(a), _value(b)], (a, b), a.shape)

    def cat(self, a: Value, b: Value) -> Value:
        """Add the concatenation of two values along their features or channels."""
        shape = (a.shape[0], a.shape[1] + b.shape[1], *a.shape[2:])
        return self._add("cat.default", [[_value(a), _value(b)], 1], (a, b), shape)

    def flatten(self, x: Value) -> Value:
        """Add `x` with all dimensions except the batch flattened into one; it shares the memory of `x`."""
        shape = (x.shape[0], math.prod(x.shape[1:]))
        return self._add("reshape.default", [_value(x), list(shape)], (x,), shape, name="view", storage=x.storage)

    def done(self, output: Value, *, samples: int = 1, steps: int = 1) -> Network:
        """Return the network with this output and number of samples. Its weights follow each other without gaps.

        With more than one of `steps`, the output becomes the input of the next step; it has the shape of the input. The
        name is derived from the content. The network is not on disk, so its digests are empty.
        """
        layers = _layers(self._ops, self.input, output)
        shapes = {"input": self.input.shape, "output": output.shape, "later": (steps - 1, *output.shape)}
        stored, offset = [], 0
        for index in range(samples):
            specs = []
            for kind, shape in shapes.items():
                size_bytes = _ITEM_BYTES * math.prod(shape)
                specs.append(TensorSpec(f"{index}.{kind}.0", _DTYPE, shape, offset, size_bytes))
                offset += size_bytes
            stored.append(Sample((specs[0],), (specs[1],), later=(specs[2],) if steps > 1 else ()))
        name = f"network-{hashlib.sha256(msgspec.json.encode((layers, stored))).hexdigest()[:8]}"
        feeds = (Feed(0),) if steps > 1 else ()
        return Network(name, layers, (self.input.name,), (output.name,), tuple(stored), "", "", feeds=feeds)

    def _weights(self, shape: tuple[int, ...], *, bias: bool) -> tuple[TensorSpec, ...]:
        """Return the specs of the next layer's weights."""
        specs = []
        for name, dimensions in (("weight", shape), ("bias", shape[:1]))[: 1 + bias]:
            size_bytes = _ITEM_BYTES * math.prod(dimensions)
            specs.append(TensorSpec(f"layer{self._layers}.{name}", _DTYPE, dimensions, self._offset, size_bytes))
            self._offset += size_bytes
        self._layers += 1
        return tuple(specs)

    def _add(
        self,
        target: str,
        args: list[Any],
        inputs: tuple[Value, ...],
        shape: tuple[int, ...],
        weights: tuple[TensorSpec, ...] = (),
        flops: int = 0,
        *,
        name: str = "",
        storage: str = "",
    ) -> Value:
        kind = name or target.partition(".")[0]
        name = f"{kind}_{self._names[kind]}" if self._names[kind] else kind
        self._names[kind] += 1
        output = Value(name, shape, storage or name)
        self._ops.append(_PendingOp(Op(f"aten.{target}", args, {}, name), inputs, output, weights, flops))
        return output


def _value(value: Value) -> dict[str, str]:
    return {"value": value.name}


def _weight(specs: Sequence[TensorSpec]) -> list[Any]:
    return [{"weight": spec.name} for spec in specs]


def _layers(pending: Sequence[_PendingOp], source: Value, output: Value) -> tuple[Layer, ...]:
    """Cut the ops into layers and track the live values. Ops before the first weights belong to the first layer."""
    starts = [i for i, op in enumerate(pending) if op.weights][1:]
    last = {value.name: i for i, op in enumerate(pending) for value in (*op.inputs, op.output)}
    last[output.name] = len(pending)
    live = {source.name: source}
    layers: list[Layer] = []
    for start, end in zip([0, *starts], [*starts, len(pending)], strict=True):
        ops, max_bytes = [], 0
        for i in range(start, end):
            live[pending[i].output.name] = pending[i].output
            max_bytes = max(max_bytes, _live_bytes(live))
            drops = tuple(name for name in live if last.get(name, -1) <= i)
            for name in drops:
                del live[name]
            ops.append(msgspec.structs.replace(pending[i].op, drops=drops))
        weighted = next((op for op in pending[start:end] if op.weights), None)
        layers.append(
            Layer(
                name=f"layer{len(layers)}",
                kind=weighted.op.target.split(".")[1] if weighted else "other",
                weights=weighted.weights if weighted else (),
                ops=tuple(ops),
                activation_bytes=max_bytes,
                live_out_bytes=_live_bytes(live),
                flops=sum(op.flops for op in pending[start:end]),
            )
        )
    return tuple(layers)


def _live_bytes(live: Mapping[str, Value]) -> int:
    """Return the bytes of all live values; shared memory counts once."""
    return sum({value.storage: value.size_bytes for value in live.values()}.values())
