"""Registers this project's networks, through the same hooks that any project uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import DECODERS, NETWORKS, SEEING, SPEECH, TODAY

if TYPE_CHECKING:
    from pytest_edgeload import RegisterNetwork

pytest_plugins = ["pytester"]


def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register the ten networks of the 2020 study and the networks of today."""
    for name, factory in (NETWORKS | DECODERS | SPEECH | SEEING | TODAY).items():
        register(name, factory)
