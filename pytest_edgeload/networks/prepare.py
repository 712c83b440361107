"""The process that makes one network: build, export, run the samples, store; or converts a stored one. Imports torch.

Reads one JSON request from standard input and writes JSON lines: progress, then the folder or the error.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch

from pytest_edgeload.networks.convert import convert, imported
from pytest_edgeload.networks.export import Cut, Exported, Tensors, export
from pytest_edgeload.networks.layer import Layer, Network, Sample, TensorSpec
from pytest_edgeload.networks.store import SAMPLES, WEIGHTS, Store, write_graph, write_tensors
from pytest_edgeload.networks.tensors import spec_and_bytes

Made = list[tuple[TensorSpec, memoryview]]


def main() -> int:
    """Carry out the request on standard input."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the factory prints goes to standard error, never between our lines
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    store, key, factory = Store(Path(request["root"])), request["key"], request["factory"]
    try:
        if "function" in request:
            folder = convert(store, key, Path(request["network"]), factory, request["function"])
        else:
            folder = prepare(store, key, request["name"], factory, out)
    except OSError as error:
        out_of_space = error.errno in {errno.ENOSPC, errno.EDQUOT}
        way_out = "; free some, or name another folder by --edge-cache-dir" if out_of_space else ""
        print(json.dumps({"error": f"{error}{way_out}"}), file=out)
        return 1
    except Exception as error:  # noqa: BLE001  # the parent turns it into one sentence
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=out)
        return 1
    print(json.dumps({"folder": str(folder)}), file=out)
    return 0


def prepare(store: Store, key: str, name: str, factory: str, out: TextIO) -> Path:
    """Make the network `name` by `factory` and keep it in `store` under the recipe `key`; return its folder."""
    with store.making(key) as folder:
        found = store.find(key)  # another process may have made it while this one waited for the lock
        if found is not None:
            return found
        print(json.dumps({"done": 0, "total": 0}), file=out)
        module, samples = imported(factory)()
        digest = store_module(folder, name, module, samples, _printer(out))
        return store.keep(key, folder, digest)


def store_module(
    folder: Path,
    name: str,
    module: torch.nn.Module,
    samples: list[Tensors],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> str:
    """Write `module` as the network `name` into `folder`; return the digest of its graph.

    `samples` are tuples of positional inputs of equal shapes; the first is the one that is traced.
    """
    exported = export(module, samples[0])
    weights: dict[str, torch.Tensor] = {}
    for cut in exported.cuts:
        # Wider types first keeps every tensor aligned to its own size, as the format wants it.
        weights.update(sorted(cut.weights.items(), key=lambda item: -item[1].element_size()))
    tensors = [spec_and_bytes(weight, tensor) for weight, tensor in weights.items()]
    total, done = sum(len(data) for _, data in tensors), 0

    def advance(written: int) -> None:
        nonlocal done
        done += written
        progress(done, total)

    specs, weights_sha256 = write_tensors(folder / WEIGHTS, tensors, advance)
    stored, samples_sha256 = _store_samples(folder, module, samples)
    return write_graph(folder, _network(name, exported, specs, stored, weights_sha256, samples_sha256))


def _store_samples(folder: Path, module: torch.nn.Module, samples: list[Tensors]) -> tuple[tuple[Sample, ...], str]:
    """Run plain PyTorch on each sample; write inputs and outputs."""
    entries: Made = []
    names: list[tuple[list[str], list[str]]] = []
    with torch.inference_mode():
        for index, inputs in enumerate(samples):
            outputs = torch.utils._pytree.tree_leaves(module(*inputs))  # noqa: SLF001  # the flattening export uses
            pairs = (("input", inputs), ("output", outputs))
            made = [
                [spec_and_bytes(f"{index}.{kind}.{i}", t) for i, t in enumerate(tensors)] for kind, tensors in pairs
            ]
            entries += made[0] + made[1]
            names.append(([spec.name for spec, _ in made[0]], [spec.name for spec, _ in made[1]]))
    specs, digest = write_tensors(folder / SAMPLES, entries)
    stored = tuple(Sample(tuple(specs[n] for n in given), tuple(specs[n] for n in due)) for given, due in names)
    return stored, digest


def _network(
    name: str,
    exported: Exported,
    specs: dict[str, TensorSpec],
    samples: tuple[Sample, ...],
    weights_sha256: str,
    samples_sha256: str,
) -> Network:
    def layer(cut: Cut) -> Layer:
        return Layer(
            name=cut.name,
            kind=cut.kind,
            weights=tuple(sorted((specs[weight] for weight in cut.weights), key=lambda spec: spec.offset)),
            ops=tuple(cut.ops),
            activation_bytes=cut.activation_bytes,
            carry_bytes=cut.carry_bytes,
            flops=cut.flops,
        )

    layers = tuple(layer(cut) for cut in exported.cuts)
    return Network(name, layers, exported.inputs, exported.outputs, samples, weights_sha256, samples_sha256)


def _printer(out: TextIO) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        print(json.dumps({"done": done, "total": total}), file=out)

    return progress


if __name__ == "__main__":
    sys.exit(main())
