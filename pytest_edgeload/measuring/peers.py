"""Peers: other ways to answer a workload, which are measured beside the policies. Never imports torch.

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


@dataclass(frozen=True, slots=True)
class Peer:
    """A program and the function that makes its files of a network, both as `module:function`."""

    program: str
    prepare: str | None = None

    def made_for(self, networks: dict[str, str], registry: Registry, progress: ShowProgress) -> Program:
        """Return the program for networks by name and folder, its files made where they are not stored yet.

        Without files of its own it is given the network's folder. Raises PreparationFailed.
        """
        files = [registry.convert(n, self.prepare, progress) if self.prepare else networks[n] for n in networks]
        return Program(self.program, search_path(), tuple(map(str, files)))


def known_peers(tell: Callable[[Callable[..., None]], object], policies: Container[str]) -> dict[str, Peer]:
    """Return the peers that `tell` registers by the function that it is given.

    Raises UsageError for a name with two meanings, or a function of another form.
    """
    known: dict[str, Peer] = {}

    def register(name: str, program: str, prepare: str | None = None) -> None:
        check_name("peer", name)
        check_function(f"peer {name}: program", program)
        if prepare is not None:
            check_function(f"peer {name}: prepare", prepare)
        if name in policies:
            raise UsageError(f"peer {name} has the name of a policy; give it another")
        if known.setdefault(name, Peer(program, prepare)) != Peer(program, prepare):
            raise UsageError(f"peer {name} is registered twice; give the second another name")

    tell(register)
    return known


def check_askable(name: str, workload: Workload) -> None:
    """Raise UsageError for a workload that the peer `name` cannot be asked."""
    for network in (request.network for request in workload.asked if request.network.checkpoint_files):
        raise UsageError(
            f"peer {name} reads one file of weights, and network {network.name} has its in a checkpoint; "
            "run it under a policy"
        )
    timed = any(request.arrival_s or request.batch for request in workload.asked)
    if timed or any(request.when is not None for request in workload.asked):
        reason = "that come over time" if timed else "with a condition"
        raise UsageError(
            f"peer {name} answers what is asked at once, and workload {workload.name} has requests {reason}; "
            "run it under a policy"
        )
