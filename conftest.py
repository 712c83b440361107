"""Registers this project's networks and peers, through the same hooks that any project uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import NETWORKS
from suites.peers import PEERS

if TYPE_CHECKING:
    from pytest_edgeload import RegisterNetwork, RegisterPeer

pytest_plugins = ["pytester"]


def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register the ten networks of the 2020 study."""
    for name, factory in NETWORKS.items():
        register(name, factory)


def pytest_edge_peers(register: RegisterPeer) -> None:
    """Register the programs that people use today, for comparison with the policies."""
    for name, peer in PEERS.items():
        register(name, peer.program, peer.prepare)
