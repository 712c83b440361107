"""Peers: the programs that people use today to load networks, one family per file, compared with the policies.

This file contains only the table of names. The pytest process imports it, so it must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from pytest_edgeload.base.errors import Unsupported, UsageError, check_name
from pytest_edgeload.base.functions import check_function
from pytest_edgeload.peers.peer import Peer, package_version


def _peer(program: str, prepare: str, package: str, extra: str = "peers") -> Peer:
    return Peer(f"{__name__}.{program}", f"{__name__}.{prepare}", package, extra)


PEERS: Mapping[str, Peer] = {
    "torch-load": _peer("torch_load:copied", "torch_load:save", "torch"),
    "torch-load-assign": _peer("torch_load:assigned", "torch_load:save", "torch"),
    "torch-load-mmap": _peer("torch_load:mapped", "torch_load:save", "torch"),
    "safetensors": _peer("safetensors_file:whole", "skeleton:store", "safetensors"),
    "safetensors-lazy": _peer("safetensors_file:lazy", "skeleton:store", "safetensors"),
    "accelerate-disk": _peer("accelerate_disk:program", "accelerate_disk:offload", "accelerate"),
    "onnxruntime": _peer("onnx_runtime:default", "onnx_runtime:export", "onnxruntime"),
    "onnxruntime-lean": _peer("onnx_runtime:lean", "onnx_runtime:export", "onnxruntime"),
    "onnxruntime-mmap": _peer("onnx_runtime:mapped", "onnx_runtime:convert", "onnxruntime"),
    "openvino": _peer("openvino_ir:mapped", "openvino_ir:convert", "openvino", "openvino"),
    "openvino-read": _peer("openvino_ir:read", "openvino_ir:convert", "openvino", "openvino"),
    "executorch": _peer("executorch_xnnpack:program", "executorch_xnnpack:lower", "executorch", "executorch"),
    "litert": _peer("litert:program", "litert:convert", "litert-torch", "litert"),
    "runai-streamer": _peer("streamers:runai", "skeleton:store", "runai-model-streamer"),
    "fastsafetensors": _peer("streamers:fastsafetensors", "skeleton:store", "fastsafetensors"),
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
