"""The hooks by which a project tells the plugin what it has. Implemented in a conftest.py or a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    import os

    from pytest_edgeload.policies import Policy  # at run time it would cost every pytest start its import


class RegisterNetwork(Protocol):
    """Takes a network's name and what makes it: a function as `module:function`, or the path of a .pt2 file."""

    def __call__(
        self, name: str, factory: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None
    ) -> None:
        """Register the network `name`."""


class RegisterPolicy(Protocol):
    """Takes a policy's name and the policy: a pure function from a workload and a budget to a plan."""

    def __call__(self, name: str, policy: Policy) -> None:
        """Register the policy `name`."""


class RegisterPeer(Protocol):
    """Takes a peer's name, its program and the function that makes its files, both written as `module:function`."""

    def __call__(self, name: str, program: str, prepare: str | None = None) -> None:
        """Register the peer `name`."""


@pytest.hookspec
def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register the networks that tests may name.

    The function behind `module:function` takes nothing and returns an `nn.Module` and a list of samples, each a tuple
    of positional inputs, a dict of keyword inputs, or `pytest_edgeload.Inputs`. It is called in a process of its own,
    and only when the network is not stored yet. In place of the module it may return a `torch.export.ExportedProgram`
    or the path of a saved one, without samples, too. A module without weights gets those of a safetensors `checkpoint`:
    a file, an index of shards, or the folder of either. Paths are below pytest's rootdir, where not absolute:

        def pytest_edge_networks(register):
            register("my_net", "my_models:my_net")
            register("saved", "models/saved.pt2")
            register("large", "my_models:large", checkpoint="weights/large")
    """


@pytest.hookspec
def pytest_edge_policies(register: RegisterPolicy) -> None:
    """Register policies beside the built-in ones; `--edge-policy` and tests may then name them.

    A policy need not be importable in the worker: its plan is made here and sent there.

        def pytest_edge_policies(register):
            register("mine", my_policy)
    """


@pytest.hookspec
def pytest_edge_peers(register: RegisterPeer) -> None:
    """Register peers: programs that answer a workload in their own way, named and measured like policies.

    The worker imports `program` and calls it with a `pytest_edgeload.Job` before the clock starts; see
    `pytest_edgeload.network_by_network`. `prepare` is called once for each network, in a process of its own and without
    a limit, with the module, its samples and an empty folder for the files that the program will read:

        def pytest_edge_peers(register):
            register("my-runtime", "my_runtime:program", prepare="my_runtime:convert")
    """
