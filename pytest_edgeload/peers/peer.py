"""Peers: other ways to answer a workload, which are measured next to the policies. Never imports torch.

A peer is a program that a worker runs instead of a plan; see `engine.program`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.functions import search_path
from pytest_edgeload.job import Program
from pytest_edgeload.networks.inputs import unsupported_type
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.workload import Workload

_UNDER_A_POLICY = "run it under a policy"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program, and the function that converts a network to the program's files; both as `module:function`.

    A built-in peer needs the installed `package`, which the `extra` of this project contains. `runs_module` means that
    the program runs the network's module, even though it has files of its own.
    """

    program: str
    prepare: str | None = None
    package: str = ""
    extra: str = "peers"
    runs_module: bool = False

    @property
    def is_runtime(self) -> bool:
        """Whether this is a built-in peer that computes on its own, with a model that was converted for it."""
        return bool(self.package) and self.prepare is not None and not self.runs_module

    def missing(self, name: str) -> Unsupported | None:
        """Return why this peer, which is called `name`, cannot run here; None if it can."""
        if not self.package or package_version(self.package) is not None:
            return None
        hint = f"try pip install 'pytest-edgeload[{self.extra}]'"
        return Unsupported(f"peer {name}", f"the package {self.package} is not installed", hint)

    def program_for(
        self, networks: dict[str, str], registry: Registry, session: Path, progress: ShowProgress
    ) -> Program:
        """Return the program for networks by name and folder; converts those that are not converted yet.

        A peer without a function to prepare gets the folders of the networks themselves, and their modules. These are
        kept in `session`, a folder of this session. Raises PreparationFailed, or UsageError for a module that cannot be
        pickled.
        """
        files = [registry.convert(n, self.prepare, progress) if self.prepare else networks[n] for n in networks]
        runs_module = self.runs_module or self.prepare is None
        skeletons = [registry.skeleton(n, session, progress) for n in networks if runs_module]
        return Program(self.program, search_path(), tuple(map(str, files)), tuple(map(str, skeletons)))


def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_askable(name: str, peer: Peer, workload: Workload) -> None:
    """Raise UsageError if the peer `name` cannot answer `workload`."""
    subject = f"peer {name}, workload {workload.name}"
    for network in (request.network for request in workload.asked):
        if (kind := unsupported_type(network.nest)) is not None:
            reason = f"the inputs of network {network.name} contain an object of type {kind}, which a peer cannot take"
            raise UsageError(subject, reason, f"unpack it in a module around the model, or {_UNDER_A_POLICY}")
        if network.buffers and peer.is_runtime:
            reason = f"network {network.name} changes its buffers, which a converted model does not"
            raise UsageError(subject, reason, f"give them as inputs and return them, or {_UNDER_A_POLICY}")
        if network.first_outputs and peer.is_runtime:
            reason = f"network {network.name} has a prompt in its first step, which a converted model cannot take"
            raise UsageError(subject, reason, f"give one token in the first step, or {_UNDER_A_POLICY}")
    timed = (request for request in workload.asked if request.after is not None or request.queue is not None)
    if any(timed) or any(request.arrival_s or request.batch for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests that arrive over time", _UNDER_A_POLICY)
    if any(request.when is not None for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests with a condition", _UNDER_A_POLICY)
    if any(request.feeds for request in workload.asked):
        raise UsageError(subject, "a peer cannot answer requests that take outputs of others", _UNDER_A_POLICY)
