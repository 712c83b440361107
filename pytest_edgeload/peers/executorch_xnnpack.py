"""ExecuTorch: loads a program whose operators XNNPACK computes, as on phones. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Forward, Load, NetworkFiles, by_position, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.networks.inputs import Inputs

_FILE = "model.pte"
_AVG_POOL_3D = torch.ops.aten.avg_pool3d.default


def lower(module: nn.Module, samples: list[Inputs], folder: Path) -> None:
    """Write `module` as a program of ExecuTorch. Raises ValueError if ExecuTorch lacks a kernel for it."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # noqa: PLC0415
    from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415  # a worker needs no compiler
    from executorch.runtime import Runtime  # noqa: PLC0415

    sample = samples[0]
    exported = torch.export.export(module, sample.args, dict(sample.kwargs)).run_decompositions(
        {_AVG_POOL_3D: _over_channels}
    )
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    [plan] = lowered.executorch_program.execution_plan
    operators = {f"{operator.name}.{operator.overload}".removesuffix(".") for operator in plan.operators}
    if lacking := operators - Runtime.get().operator_registry.operator_names:
        raise ValueError(f"ExecuTorch has no kernel for {', '.join(sorted(lacking))}")
    with (folder / _FILE).open("wb") as file:
        lowered.write_to_file(file)


def _over_channels(x: torch.Tensor, kernel: list[int], *args: object) -> object:
    """Return the averages over neighbouring channels, of local response normalization, as a pooling of images.

    PyTorch pools volumes, for which ExecuTorch has no kernel. Other poolings of volumes stay as they are.
    """
    if kernel[1:] != [1, 1] or args != ([1, 1, 1],):
        return NotImplemented
    batch, images, channels, height, width = x.shape
    pooled = nn.functional.avg_pool2d(x.reshape(batch, images, channels, height * width), (kernel[0], 1), stride=1)
    return pooled.reshape(batch, images, -1, height, width)


def program(job: Job) -> Callable[[], Answers]:
    """Load each network's program from its file, which ExecuTorch maps."""
    from executorch.extension.pybindings import portable_lib  # noqa: PLC0415

    portable_lib._unsafe_reset_threadpool(job.threads)  # noqa: SLF001  # ExecuTorch has no other interface for it
    return network_by_network(job, _prepare)


def _prepare(network: NetworkFiles) -> Load:
    from executorch.runtime import Runtime  # noqa: PLC0415

    runtime = Runtime.get()

    def load() -> Forward:
        method = runtime.load_program(network.files / _FILE).load_method("forward")

        def forward(*inputs: torch.Tensor) -> list[torch.Tensor]:
            return [output.clone() for output in method.execute(inputs)]

        return by_position(forward)

    return load
