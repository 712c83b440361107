"""Peers: other ways to answer a workload, which are measured next to the policies. Never imports torch.

A peer is a program that a worker runs instead of a plan; see `engine.program`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from pytest_edgeload.base.errors import UsageError, check_name
from pytest_edgeload.base.functions import check_function, search_path
from pytest_edgeload.job import Program
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.workload import Workload

_UNDER_A_POLICY = "run it under a policy"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program, and the function that converts a network to the program's files; both as `module:function`."""

    program: str
    prepare: str | None = None

    def program_for(self, networks: dict[str, str], registry: Registry, progress: ShowProgress) -> Program:
        """Return the program for networks by name and folder; converts those that are not converted yet.

        A peer without a function to prepare gets the folders of the networks themselves. Raises PreparationFailed.
        """
        files = [registry.convert(n, self.prepare, progress) if self.prepare else networks[n] for n in networks]
        return Program(self.program, search_path(), tuple(map(str, files)))


def known_peers(call_hook: Callable[[Callable[..., None]], object], policies: Container[str]) -> dict[str, Peer]:
    """Return the peers that are registered when `call_hook` is called with a function that registers one.

    Raises UsageError for a name with two meanings, or a malformed function.
    """
    known: dict[str, Peer] = {}

    def register(name: str, program: str, prepare: str | None = None) -> None:
        check_name("peer", name)
        check_function(f"peer {name}: program", program)
        if prepare is not None:
            check_function(f"peer {name}: prepare", prepare)
        if name in policies:
            raise UsageError(f"peer {name}", "a policy has the same name", "give the peer another name")
        if known.setdefault(name, Peer(program, prepare)) != Peer(program, prepare):
            raise UsageError(f"peer {name}", "registered twice", "give the second peer another name")

    call_hook(register)
    return known


def check_askable(name: str, workload: Workload) -> None:
    """Raise UsageError if the peer `name` cannot answer `workload`."""
    subject = f"peer {name}, workload {workload.name}"
    for network in (request.network for request in workload.asked if request.network.checkpoint_files):
        reason = f"a peer needs the weights in one file, but those of network {network.name} are in a checkpoint"
        raise UsageError(subject, reason, _UNDER_A_POLICY)
    if any(request.arrival_s or request.batch for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests that arrive over time", _UNDER_A_POLICY)
    if any(request.when is not None for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests with a condition", _UNDER_A_POLICY)
