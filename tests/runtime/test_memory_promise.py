"""A runtime keeps within its memory under a real limit, returns it, and survives memory that the kernel refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.networks.edgenet_writer import write_edgenet
from pytest_edgeload.plugin.programs import pack_call
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch_call
from tests.builders import stored
from tests.runtime.conftest import Decoder, StoredModules, first_inputs
from tests.sandbox.child import MIB
from tests.sandbox.conftest import cap, cap_name, fresh, session

__all__ = ["cap", "cap_name", "fresh", "session"]  # fixtures

LIMIT = 512 * MIB
PROMISED = 42 * MIB
"""Enough for each of two networks of 24 MiB, which do not fit together."""

TO_RESTORE = 6 * MIB
"""More, if weights are compressed."""

IMAGE = (1, 3, 256, 256)
"""The shape of the input of a network whose activations and copies of weights exceed its weights."""

ALLOWANCE = 4 * MIB
"""More than what PyTorch and malloc keep after the last request."""

REFUSED_FROM = 16 * MIB
"""The memory that is not refused: for a thread's stack of 8 MiB and a small network, not for one of 24 MiB."""


def _keep_promises(folders: Mapping[str, str], policies: list[str], asked: Sequence[str]) -> dict[str, Any]:
    """Return the peak and the rest of a runtime above the idle process, by policy; the networks are `asked` in turn."""
    found = {}
    networks, promised = {name: folders[name] for name in asked}, PROMISED
    if any(name.startswith("compressed") for name in asked):
        promised += TO_RESTORE
    for policy in policies:
        _ask(networks, policy, LIMIT)  # loads the libraries that operators need
        if "image" in asked:
            promised = _named_memory(networks, policy)
        idle = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of the memory now
        _ask(networks, policy, promised)
        found[policy] = {"peak": _status("VmHWM") - idle, "rest": _status("VmRSS") - idle, "promised": promised}
    return found


def _ask(networks: Mapping[str, str], policy: str, promised: int) -> None:
    from pytest_edgeload.runtime import Runtime  # noqa: PLC0415  # only the worker needs it

    with Runtime(networks, memory=promised, policy=policy, threads=1) as runtime:
        for name in [*networks] * 5:
            if name == "decoder":
                keys, place = torch.zeros(1, 8, 1024), torch.tensor([0])
                for _ in runtime.sequence(name, torch.tensor([[3]]), keys=keys, place=place, steps=5):
                    pass
            elif name == "image":
                runtime.ask(name, torch.ones(IMAGE))
            else:
                runtime.ask(name, torch.ones(1, 1024))


def _named_memory(networks: Mapping[str, str], policy: str) -> int:
    """Return the least memory that a runtime names as enough, in bytes."""
    from pytest_edgeload.base.errors import UsageError  # noqa: PLC0415
    from pytest_edgeload.base.units import parse_size  # noqa: PLC0415
    from pytest_edgeload.runtime import Runtime  # noqa: PLC0415

    try:
        Runtime(networks, memory=1, policy=policy).close()
    except UsageError as error:
        return parse_size(str(error).split("needs ")[1].split()[0])
    raise AssertionError


def _status(name: str) -> int:
    """Return a figure of this process in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


def _refuse(folders: Mapping[str, str], policies: list[str]) -> dict[str, Any]:
    """Return the errors of requests for which there is no memory, by policy, and whether the next one is answered."""
    import resource  # noqa: PLC0415

    from pytest_edgeload.runtime import Runtime  # noqa: PLC0415

    found = {}
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    for policy in policies:
        with Runtime(folders, policy=policy, threads=1) as runtime:
            (before,) = runtime.ask("small", torch.ones(1, 64))
            resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + REFUSED_FROM, hard))
            try:
                runtime.ask("left", torch.ones(1, 1024))
                error = ""
            except MemoryError as refused:
                error = str(refused)
            (after,) = runtime.ask("small", torch.ones(1, 64))
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
            found[policy] = [error, bool(torch.equal(before, after))]
    return found


def _images() -> nn.Module:
    """Return a network with large images first, and then large convolutions."""
    first = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(32), nn.Conv2d(32, 512, 3, padding=1)]
    return nn.Sequential(*first, *(nn.Conv2d(512, 512, 3, padding=1) for _ in range(2))).eval()


@pytest.fixture(scope="module")
def call(
    cap: Cap, fresh: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, asked_networks: StoredModules
) -> Callable[..., Any]:
    """Return a function that calls a function under a real limit, with the places of large networks and a small one."""
    large = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(6)))
    folder = stored(tmp_path_factory.mktemp("large"), large, (torch.ones(1, 1024),))
    compressed = folder.with_name("compressed.edgenet")
    write_edgenet(compressed, folder, form="compressed")
    compressed.chmod(0o644)
    decoder = stored(tmp_path_factory.mktemp("decoder"), Decoder(1024, 5).eval(), first_inputs(3, 1024))
    folders = {
        "left": folder,
        "right": folder,
        "compressed left": compressed,
        "compressed right": compressed,
        "decoder": decoder,
        "image": stored(tmp_path_factory.mktemp("image"), _images(), (torch.ones(IMAGE),)),
        "small": asked_networks.folders["loop"],
    }

    def call(function: Callable[..., object], policies: Sequence[str], *arguments: object) -> Any:
        given = {name: str(folder) for name, folder in folders.items()}
        packed = pack_call("it", function, [given, list(policies), *arguments], {}, [sys.modules[__name__]])
        run = launch_call(packed, 1, Enclosure(cap, fresh(), Limits(Constraints(LIMIT)), 60))
        assert run.outcome == "ok", run.detail
        return run.returned

    return call


@pytest.mark.parametrize(
    "asked", [("left", "right"), ("compressed left", "compressed right"), ("decoder", "left"), ("image",)]
)
def test_peak_is_within_the_memory_of_the_runtime(call: Callable[..., Any], asked: tuple[str, ...]) -> None:
    """The process never has more memory above its idle state than it gave the runtime, and none after closing."""
    for policy, found in call(_keep_promises, ("stream", "lru", "bulk"), asked).items():
        assert 8 * MIB < found["peak"] <= found["promised"], policy
        if "image" not in asked:  # convolutions keep buffers in the process
            assert found["rest"] < ALLOWANCE, policy


def test_refused_memory_fails_one_request(call: Callable[..., Any]) -> None:
    """A request for which the kernel refuses memory raises MemoryError, and the next one that fits is answered."""
    for policy, (error, is_answered) in call(_refuse, ("bulk", "stream")).items():
        assert "no memory for" in error, policy
        assert is_answered, policy
