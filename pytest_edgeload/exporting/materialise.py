"""Write a composed network to disk: random weights and samples, and plain PyTorch's outputs. Imports torch.

`torch.nn.functional` computes the outputs from the ops alone and keeps all values until the end. So a comparison with
the engine's outputs tests its operators and the network's drops.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.nn import functional as F  # noqa: N812  # its customary name

from pytest_edgeload.base import arguments
from pytest_edgeload.networks.folder import SAMPLES, WEIGHTS, write_graph
from pytest_edgeload.networks.layer import Network, TensorSpec
from pytest_edgeload.networks.store import Store, recipe_key
from pytest_edgeload.networks.tensor_file import write_tensors
from pytest_edgeload.tensors import dtype_of, spec_and_bytes

_FUNCTIONS: Mapping[str, Callable[..., torch.Tensor]] = {
    "aten.linear.default": F.linear,
    "aten.conv2d.default": F.conv2d,
    "aten.relu.default": F.relu,
    "aten.add.Tensor": torch.add,
    "aten.cat.default": torch.cat,
    "aten.reshape.default": torch.reshape,
}


def materialise(network: Network, root: str | os.PathLike[str], *, seed: int = 0) -> Path:
    """Write `network` into the store at `root` and return its folder, from which a worker can run it.

    `seed` determines the random weights and inputs. Raises ValueError for an operator that `strategies.networks` does
    not use, or if an output has another shape than in `network`.
    """
    root, seed = Path(arguments.path("root", root)), arguments.whole("seed", seed, None)
    key = recipe_key(msgspec.json.encode(network).decode(), (), (str(seed), torch.__version__))
    store = Store(root)
    with store.making(key) as folder:
        return store.find(key) or store.keep(key, folder, _write(folder, network, seed))


def plain_module(network: Network, *, seed: int = 0) -> torch.nn.Module:
    """Return `network` as a module of plain PyTorch; `seed` determines its random parameters."""
    return _Plain(network, torch.Generator().manual_seed(seed))


class _Plain(torch.nn.Module):
    def __init__(self, network: Network, source: torch.Generator) -> None:
        super().__init__()
        self._network = network
        for layer in network.layers:
            self.add_module(layer.name, part := torch.nn.Module())
            for spec in layer.weights:
                part.register_parameter(spec.name.rpartition(".")[2], torch.nn.Parameter(_random(spec, source)))
        for op in (op for layer in network.layers for op in layer.ops):
            if op.target not in _FUNCTIONS:
                raise ValueError(f"network {network.name}: {op.target} is not one of {', '.join(_FUNCTIONS)}")

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute one op after the other."""
        (name,) = self._network.inputs
        values = {name: x}

        def evaluate(argument: Any) -> Any:
            match argument:
                case {"value": str(name)}:
                    return values[name]
                case {"weight": str(name)}:
                    return self.get_parameter(name)
                case [{"value": _}, *_]:
                    return [evaluate(item) for item in argument]
            return argument

        for op in (op for layer in self._network.layers for op in layer.ops):
            values[op.output] = _FUNCTIONS[op.target](*map(evaluate, op.args))
        return [values[name] for name in self._network.outputs]


def _random(spec: TensorSpec, source: torch.Generator) -> torch.Tensor:
    """Return random numbers, scaled so that activations neither vanish nor grow from layer to layer."""
    fan_in = math.prod(spec.shape[1:])
    return torch.randn(spec.shape, dtype=dtype_of(spec), generator=source) / math.sqrt(fan_in)


def _write(folder: Path, network: Network, seed: int) -> str:
    """Write weights, samples and graph into `folder`; return the digest of the graph."""
    source = torch.Generator().manual_seed(seed)
    module = _Plain(network, source)
    weights = [(spec, module.get_parameter(spec.name)) for layer in network.layers for spec in layer.weights]
    answers: list[tuple[TensorSpec, torch.Tensor]] = []
    for sample in network.samples:
        inputs = [torch.randn(spec.shape, dtype=dtype_of(spec), generator=source) for spec in sample.inputs]
        steps = [inputs]
        with torch.inference_mode():
            for _ in range(sample.steps):
                steps.append(module(*steps[-1]))  # the output becomes the input of the next step
        answers += [*zip(sample.inputs, inputs, strict=True), *zip(sample.outputs, steps[1], strict=True)]
        answers += [(spec, torch.stack([outputs[i] for outputs in steps[2:]])) for i, spec in enumerate(sample.later)]
    weight_specs, weights_sha256 = write_tensors(folder / WEIGHTS, [_checked_bytes(*pair) for pair in weights])
    sample_specs, samples_sha256 = write_tensors(folder / SAMPLES, [_checked_bytes(*pair) for pair in answers])
    replace = msgspec.structs.replace
    stored = replace(
        network,
        layers=tuple(
            replace(layer, weights=tuple(weight_specs[spec.name] for spec in layer.weights)) for layer in network.layers
        ),
        samples=tuple(
            replace(
                sample,
                inputs=tuple(sample_specs[spec.name] for spec in sample.inputs),
                outputs=tuple(sample_specs[spec.name] for spec in sample.outputs),
                later=tuple(sample_specs[spec.name] for spec in sample.later),
            )
            for sample in network.samples
        ),
        weights_sha256=weights_sha256,
        samples_sha256=samples_sha256,
    )
    return write_graph(folder, stored)


def _checked_bytes(spec: TensorSpec, tensor: torch.Tensor) -> tuple[TensorSpec, memoryview]:
    """Return the spec and bytes of `tensor`. Raises ValueError if its type or shape differs from `spec`."""
    actual, data = spec_and_bytes(spec.name, tensor)
    if (actual.dtype, actual.shape) != (spec.dtype, spec.shape):
        raise ValueError(f"{spec.name} is {actual.dtype} {actual.shape}, not {spec.dtype} {spec.shape}")
    return actual, data
