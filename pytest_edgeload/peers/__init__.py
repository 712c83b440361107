"""Peers: the programs that people use today to load networks, one family per file, compared with the policies.

This file contains only the table of names. The pytest process imports it, so it must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from pytest_edgeload.base.errors import Unsupported, UsageError, check_name
from pytest_edgeload.base.functions import check_function
from pytest_edgeload.peers.peer import Peer, package_version


def _peer(
    family: str, program: str, prepare: str | None, package: str, extra: str = "peers", *, runs_module: bool = False
) -> Peer:
    """Return the peer with these functions of the file `family`."""
    prefix = f"{__name__}.{family}:"
    return Peer(prefix + program, prepare and prefix + prepare, package, extra, runs_module)


PEERS: Mapping[str, Peer] = {
    "torch-load": _peer("torch_load", "copied", "save", "torch", runs_module=True),
    "torch-load-assign": _peer("torch_load", "assigned", "save", "torch", runs_module=True),
    "torch-load-mmap": _peer("torch_load", "mapped", "save", "torch", runs_module=True),
    "safetensors": _peer("safetensors_file", "whole", None, "safetensors"),
    "safetensors-lazy": _peer("safetensors_file", "lazy", None, "safetensors"),
    "accelerate-disk": _peer("accelerate_disk", "program", "offload", "accelerate", runs_module=True),
    "onnxruntime": _peer("onnx_runtime", "default", "export", "onnxruntime"),
    "onnxruntime-lean": _peer("onnx_runtime", "lean", "export", "onnxruntime"),
    "onnxruntime-mmap": _peer("onnx_runtime", "mapped", "convert", "onnxruntime"),
    "openvino": _peer("openvino_ir", "mapped", "convert", "openvino", "openvino"),
    "openvino-read": _peer("openvino_ir", "read", "convert", "openvino", "openvino"),
    "executorch": _peer("executorch_xnnpack", "program", "lower", "executorch", "executorch"),
    "litert": _peer("litert", "program", "convert", "litert-torch", "litert"),
    "runai-streamer": _peer("streamers", "runai", None, "runai-model-streamer"),
    "fastsafetensors": _peer("streamers", "fastsafetensors", None, "fastsafetensors"),
}
"""The built-in peers by name: program, preparation, and the package that they need, as the package index names it."""


def missing(name: str) -> Unsupported | None:
    """Return why the peer `name` cannot run here; None if it can, or if `name` is not a built-in peer."""
    peer = PEERS.get(name)
    return None if peer is None else peer.missing(name)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that the built-in peers among `names` need, by package."""
    packages = {PEERS[name].package for name in names if name in PEERS}
    return {package: version for package in sorted(packages) if (version := package_version(package)) is not None}


def known_peers(call_hook: Callable[[Callable[..., None]], object], policies: Container[str]) -> dict[str, Peer]:
    """Return the built-in peers, and those that are registered when `call_hook` is called with a function for that.

    Raises UsageError for a name with two meanings, or a malformed function.
    """
    known = dict(PEERS)

    def register(name: str, program: str, prepare: str | None = None) -> None:
        check_name("peer", name)
        check_function(f"peer {name}: program", program)
        if prepare is not None:
            check_function(f"peer {name}: prepare", prepare)
        if name in policies:
            raise UsageError(f"peer {name}", "a policy has the same name", "give the peer another name")
        if name in PEERS:
            raise UsageError(f"peer {name}", "a built-in peer has the same name", "give the peer another name")
        if known.setdefault(name, Peer(program, prepare)) != Peer(program, prepare):
            raise UsageError(f"peer {name}", "registered twice", "give the second peer another name")

    call_hook(register)
    return known
