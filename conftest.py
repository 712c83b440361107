"""Registers this project's networks, through the same hooks that any project uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import DECODERS, NETWORKS

if TYPE_CHECKING:
    from pytest_edgeload import RegisterNetwork

pytest_plugins = ["pytester"]


def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register the ten networks of the 2020 study, and the decoders."""
    for name, factory in (NETWORKS | DECODERS).items():
        register(name, factory)
