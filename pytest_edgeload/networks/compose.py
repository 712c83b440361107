"""Networks written down op by op, with every figure that an export would give them. Pure data; never imports torch.

What is said here of shapes, names, bytes and FLOPs is what `export` finds out by running a module on fake tensors, so
that a network can be made up without torch and be true nevertheless.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec

_DTYPE, _ITEM_BYTES = "float32", 4
_INPUT = "x"


@dataclass(frozen=True, slots=True)
class Value:
    """An activation: its name, its shape, batch first, and the value whose memory it shares (mostly its own)."""

    name: str
    shape: tuple[int, ...]
    storage: str

    @property
    def size_bytes(self) -> int:
        """Bytes of the memory behind it."""
        return _ITEM_BYTES * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class _Step:
    """One op, before it is known which values it drops."""

    op: Op
    inputs: tuple[Value, ...]
    output: Value
    weights: tuple[TensorSpec, ...]
    flops: int


class Composer:
    """Collects the ops of a network of one input of this shape; each method adds one and returns what it computes.

    An op with weights begins a layer, as in an export.
    """

    def __init__(self, *shape: int) -> None:
        self.input = Value(_INPUT, shape, _INPUT)
        self._steps: list[_Step] = []
        self._layers = 0
        self._offset = 0
        self._names = Counter[str]()

    def linear(self, x: Value, features: int, *, bias: bool = True) -> Value:
        """Add a linear layer with this many outputs."""
        before, given = x.shape[:-1], x.shape[-1]
        weights = self._weights((features, given), bias=bias)
        flops = 2 * math.prod(before) * given * features
        return self._add("linear.default", [_value(x), *_weight(weights)], (x,), (*before, features), weights, flops)

    def conv2d(self, x: Value, channels: int, *, kernel: int = 1, stride: int = 1, bias: bool = True) -> Value:
        """Add a convolution with this many channels and a square kernel of odd size, padded by half of it."""
        batch, given, *sides = x.shape
        shape = (batch, channels, *((side - 1) // stride + 1 for side in sides))
        weights = self._weights((channels, given, kernel, kernel), bias=bias)
        padding = kernel // 2
        # The export leaves out arguments at the end that are the operator's defaults.
        rest: list[Any] = _weight(weights)
        if (stride, padding) != (1, 0):
            rest += [*([] if bias else [None]), [stride, stride], *([[padding, padding]] if padding else [])]
        flops = 2 * math.prod(shape) * given * kernel**2
        return self._add("conv2d.default", [_value(x), *rest], (x,), shape, weights, flops)

    def relu(self, x: Value) -> Value:
        """Add the larger of `x` and zero."""
        return self._add("relu.default", [_value(x)], (x,), x.shape)

    def add(self, a: Value, b: Value) -> Value:
        """Add the sum of two values of one shape."""
        return self._add("add.Tensor", [_value(a), _value(b)], (a, b), a.shape)

    def cat(self, a: Value, b: Value) -> Value:
        """Add two values beside each other: their features or channels in a row."""
        shape = (a.shape[0], a.shape[1] + b.shape[1], *a.shape[2:])
        return self._add("cat.default", [[_value(a), _value(b)], 1], (a, b), shape)

    def flatten(self, x: Value) -> Value:
        """Add `x` with all but the batch in one row; it shares the memory of `x`."""
        shape = (x.shape[0], math.prod(x.shape[1:]))
        return self._add("reshape.default", [_value(x), list(shape)], (x,), shape, name="view", storage=x.storage)

    def done(self, output: Value, *, samples: int = 1) -> Network:
        """Return the network that answers with `output`, with so many samples, its weights one after the other.

        Its name follows from what it is. It is not on disk, so it has no digests.
        """
        layers = _layers(self._steps, self.input, output)
        made, offset = [], 0
        for index in range(samples):
            specs = []
            for kind, value in (("input", self.input), ("output", output)):
                specs.append(TensorSpec(f"{index}.{kind}.0", _DTYPE, value.shape, offset, value.size_bytes))
                offset += value.size_bytes
            made.append(Sample((specs[0],), (specs[1],)))
        name = f"network-{hashlib.sha256(msgspec.json.encode((layers, made))).hexdigest()[:8]}"
        return Network(name, layers, (self.input.name,), (output.name,), tuple(made), "", "")

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
        self._steps.append(_Step(Op(f"aten.{target}", args, {}, name), inputs, output, weights, flops))
        return output


def _value(value: Value) -> dict[str, str]:
    return {"value": value.name}


def _weight(specs: Sequence[TensorSpec]) -> list[Any]:
    return [{"weight": spec.name} for spec in specs]


def _layers(steps: Sequence[_Step], given: Value, output: Value) -> tuple[Layer, ...]:
    """Cut `steps` into layers and follow which values are live; those before the first weights belong to the first."""
    starts = [i for i, step in enumerate(steps) if step.weights][1:]
    last = {value.name: i for i, step in enumerate(steps) for value in (*step.inputs, step.output)}
    last[output.name] = len(steps)
    live = {given.name: given}
    layers: list[Layer] = []
    for start, end in zip([0, *starts], [*starts, len(steps)], strict=True):
        ops, most_bytes = [], 0
        for i in range(start, end):
            live[steps[i].output.name] = steps[i].output
            most_bytes = max(most_bytes, _held_bytes(live))
            drops = tuple(name for name in live if last.get(name, -1) <= i)
            for name in drops:
                del live[name]
            ops.append(msgspec.structs.replace(steps[i].op, drops=drops))
        weighted = next((step for step in steps[start:end] if step.weights), None)
        layers.append(
            Layer(
                name=f"layer{len(layers)}",
                kind=weighted.op.target.split(".")[1] if weighted else "other",
                weights=weighted.weights if weighted else (),
                ops=tuple(ops),
                activation_bytes=most_bytes,
                live_out_bytes=_held_bytes(live),
                flops=sum(step.flops for step in steps[start:end]),
            )
        )
    return tuple(layers)


def _held_bytes(live: Mapping[str, Value]) -> int:
    """Bytes of all live values; those that share memory count once."""
    return sum({value.storage: value.size_bytes for value in live.values()}.values())
