"""safetensors: loads the whole file at once, or each layer's tensors when the layer runs. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from pytest_edgeload.engine.program import Answers, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.peers import skeleton


def whole(job: Job) -> Callable[[], Answers]:
    """Load the whole file, and assign its tensors to the module."""
    return network_by_network(job, _whole)


def lazy(job: Job) -> Callable[[], Answers]:
    """Load the tensors of each leaf module before it runs, and drop them afterwards."""
    return network_by_network(job, _lazy)


def _whole(network: NetworkFiles) -> Load:
    module = skeleton.load(network.files)

    def load() -> nn.Module:
        skeleton.fill(module, load_file(network.weights))
        return module

    return load


def _lazy(network: NetworkFiles) -> Load:
    module = skeleton.load(network.files)

    def load() -> nn.Module:
        file: Any = safe_open(network.weights, framework="pt")
        names = set(file.keys())
        for prefix, leaf in module.named_modules():
            own = {name: f"{prefix}.{name}" for name in leaf.state_dict() if f"{prefix}.{name}" in names}
            if own and not any(leaf.children()):
                leaf.register_forward_pre_hook(_fetching(file, own))
                leaf.register_forward_hook(_dropping)
        return module

    return load


def _fetching(file: Any, names: dict[str, str]) -> Callable[[nn.Module, Any], None]:
    def fetch(leaf: nn.Module, _inputs: Any) -> None:
        skeleton.fill(leaf, {own: file.get_tensor(name) for own, name in names.items()})

    return fetch


def _dropping(leaf: nn.Module, _inputs: Any, _output: Any) -> None:
    leaf.to("meta")
