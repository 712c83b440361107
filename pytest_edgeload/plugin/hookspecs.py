"""The hooks by which a project registers networks, policies and peers. A conftest.py or a plugin implements them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from pytest_edgeload.policies import Policy  # at run time, every pytest start would import it


class RegisterNetwork(Protocol):
    """Takes the name of a network and its factory: `module:function`, or the path of a .pt2 or .edgenet file."""

    def __call__(
        self,
        name: str,
        factory: str | os.PathLike[str],
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        tolerance: float | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Register the network `name`."""


class RegisterPolicy(Protocol):
    """Takes the name of a policy and the policy: a pure function from a workload and a budget to a plan."""

    def __call__(self, name: str, policy: Policy) -> None:
        """Register the policy `name`."""


class RegisterPeer(Protocol):
    """Takes the name of a peer, its program, and the function that makes its files, both as `module:function`."""

    def __call__(self, name: str, program: str, prepare: str | None = None) -> None:
        """Register the peer `name`."""


@pytest.hookspec
def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register networks, which tests can then use by name.

    The function behind `module:function` has no parameters and returns an `nn.Module` and a list of samples. A sample
    is a tuple of positional inputs, a dict of keyword inputs, or `pytest_edgeload.Inputs`. The function runs in a
    process of its own, and only if the network is not stored yet. Instead of the module it can return a
    `torch.export.ExportedProgram` or the path of a saved one, also without samples. A module without weights gets the
    weights of a `checkpoint`: a safetensors file, an index of shards, the folder of either, or a GGUF file; `names` has
    the names of its tensors by those in the module, for tensors whose names differ. `tolerance` is the largest
    difference from plain PyTorch's outputs, relative to the largest value. A file of `edgeload store` is used as it is.
    Relative paths start at pytest's rootdir:

        def pytest_edge_networks(register):
            register("my_net", "my_models:my_net")
            register("saved", "models/saved.pt2")
            register("stored", "models/stored.edgenet")
            register("large", "my_models:large", checkpoint="weights/large")
    """


@pytest.hookspec
def pytest_edge_policies(register: RegisterPolicy) -> None:
    """Register policies, which `--edge-policy` and tests can then use by name, like the built-in ones.

    The worker does not import the policy, because the plan is made in pytest's process:

        def pytest_edge_policies(register):
            register("mine", my_policy)
    """


@pytest.hookspec
def pytest_edge_peers(register: RegisterPeer) -> None:
    """Register peers: programs that answer a workload in their own way, and are measured like policies.

    The worker imports `program` and calls it with a `pytest_edgeload.Job` before the clock starts; see
    `pytest_edgeload.network_by_network`. `prepare` is called once for each network, in a process of its own without a
    limit, with the module, its samples, and an empty folder for the files that the program will read:

        def pytest_edge_peers(register):
            register("my-runtime", "my_runtime:program", prepare="my_runtime:convert")
    """
