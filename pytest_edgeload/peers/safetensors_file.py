"""safetensors: loads the whole file at once, or each layer's tensors when the layer runs. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from pytest_edgeload.engine.program import Answers, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.skeleton import assign_weights, names_of_weights


def whole(job: Job) -> Callable[[], Answers]:
    """Load the whole file, and assign its tensors to the module."""
    return network_by_network(job, _whole)


def lazy(job: Job) -> Callable[[], Answers]:
    """Load the tensors of each module before it runs, and drop them afterwards."""
    return network_by_network(job, _lazy)


def _whole(network: NetworkFiles) -> Load:
    module = network.module()

    def load() -> nn.Module:
        for file in network.weights:
            assign_weights(module, load_file(file))
        return module

    return load


def _lazy(network: NetworkFiles) -> Load:
    module = network.module()

    def load() -> nn.Module:
        files: list[Any] = [safe_open(path, framework="pt") for path in network.weights]
        places = {name: file for file in files for name in file.keys()}  # noqa: SIM118  # not a mapping
        tied = [(names, [name for name in names if name in places]) for names in names_of_weights(module)]
        stored = {name: found[0] for names, found in tied if found for name in names}
        for prefix, part in module.named_modules():
            names = [*part._parameters, *part._buffers]  # noqa: SLF001  # the module's own, without those of its parts
            paths = {name: f"{prefix}.{name}" if prefix else name for name in names}
            own = {name: stored[path] for name, path in paths.items() if path in stored}
            if own:
                part.register_forward_pre_hook(_fetching(places, own))
                part.register_forward_hook(_dropping(own))
        return module

    return load


def _fetching(places: Mapping[str, Any], own: Mapping[str, str]) -> Callable[[nn.Module, Any], None]:
    def fetch(part: nn.Module, _inputs: Any) -> None:
        assign_weights(part, {name: places[stored].get_tensor(stored) for name, stored in own.items()})

    return fetch


def _dropping(own: Iterable[str]) -> Callable[[nn.Module, Any, Any], None]:
    def drop(part: nn.Module, _inputs: Any, _output: Any) -> None:
        assign_weights(part, {name: getattr(part, name).to("meta") for name in own})

    return drop
