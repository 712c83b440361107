"""Peers: the programs that people use today to load networks, one family per file, compared with the policies.

This file contains only the table of names. The pytest process imports it, so it must not import torch.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple


class PeerSpec(NamedTuple):
    """A program and the function that prepares its files, both as `module:function`, and the package they need."""

    program: str
    prepare: str
    package: str


_SKELETON = "suites.peers.skeleton:store"
_SAVED = "suites.peers.torch_load:save"
_ONNX = "suites.peers.onnx_runtime:export"

PEERS: dict[str, PeerSpec] = {
    "torch-load": PeerSpec("suites.peers.torch_load:copied", _SAVED, "torch"),
    "torch-load-assign": PeerSpec("suites.peers.torch_load:assigned", _SAVED, "torch"),
    "torch-load-mmap": PeerSpec("suites.peers.torch_load:mapped", _SAVED, "torch"),
    "safetensors": PeerSpec("suites.peers.safetensors_file:whole", _SKELETON, "safetensors"),
    "safetensors-lazy": PeerSpec("suites.peers.safetensors_file:lazy", _SKELETON, "safetensors"),
    "accelerate-disk": PeerSpec(
        "suites.peers.accelerate_disk:program", "suites.peers.accelerate_disk:offload", "accelerate"
    ),
    "onnxruntime": PeerSpec("suites.peers.onnx_runtime:default", _ONNX, "onnxruntime"),
    "onnxruntime-lean": PeerSpec("suites.peers.onnx_runtime:lean", _ONNX, "onnxruntime"),
    "runai-streamer": PeerSpec("suites.peers.streamers:runai", _SKELETON, "runai_model_streamer"),
    "fastsafetensors": PeerSpec("suites.peers.streamers:fastsafetensors", _SKELETON, "fastsafetensors"),
}


def missing(name: str) -> str | None:
    """Return why the peer `name` cannot run here; None if it can, or if `name` is not a peer."""
    peer = PEERS.get(name)
    if peer is None or find_spec(peer.package) is not None:
        return None
    return f"{name} needs {peer.package}; try pip install 'pytest-edgeload[peers]'"
