"""Peers: other ways to answer a workload, which are measured next to the policies. Never imports torch.

A peer is a program that a worker runs instead of a plan; see `engine.program`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.functions import search_path
from pytest_edgeload.job import Program
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.workload import Workload

_UNDER_A_POLICY = "run it under a policy"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program, and the function that converts a network to the program's files; both as `module:function`.

    A built-in peer needs the installed `package`, which the `extra` of this project contains.
    """

    program: str
    prepare: str | None = None
    package: str = ""
    extra: str = "peers"

    def missing(self, name: str) -> Unsupported | None:
        """Return why this peer, which is called `name`, cannot run here; None if it can."""
        if not self.package or package_version(self.package) is not None:
            return None
        hint = f"try pip install 'pytest-edgeload[{self.extra}]'"
        return Unsupported(f"peer {name}", f"the package {self.package} is not installed", hint)

    def program_for(self, networks: dict[str, str], registry: Registry, progress: ShowProgress) -> Program:
        """Return the program for networks by name and folder; converts those that are not converted yet.

        A peer without a function to prepare gets the folders of the networks themselves. Raises PreparationFailed.
        """
        files = [registry.convert(n, self.prepare, progress) if self.prepare else networks[n] for n in networks]
        return Program(self.program, search_path(), tuple(map(str, files)))


def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
    if any(request.feeds for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests that take outputs of others", _UNDER_A_POLICY)
    if any(request.steps > 1 for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests with several steps", _UNDER_A_POLICY)
