"""What is asked of the networks: requests, and the mixes and workloads they make up. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_edgeload.networks.layer import Network


@dataclass(frozen=True, slots=True)
class Request:
    """One inference asked of `network`, on the sample with this index (taken modulo the samples it has)."""

    network: Network
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """An ordered mix of requests; all of them are there from the start."""

    name: str
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Mix:
    """A workload as a suite writes it down, before its networks are known: names, each with a sample's index."""

    name: str
    asks: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, name: str, networks: Sequence[str], *, images: int = 1) -> Mix:
        """Return the mix that asks each of `networks`, in order, about the first of `images` images, then the next."""
        if not networks or images < 1:
            raise ValueError(f"workload {name}: it needs at least one network and one image")
        return cls(name, tuple((network, image) for image in range(images) for network in networks))

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks, each once, in order of first use."""
        return tuple(dict.fromkeys(network for network, _ in self.asks))

    def smallest(self) -> Mix:
        """Return the mix's first request alone."""
        return Mix(self.name, self.asks[:1])

    def workload(self, networks: Mapping[str, Network]) -> Workload:
        """Return the workload, its names looked up in `networks`. Raises KeyError for a missing one."""
        return Workload(self.name, tuple(Request(networks[network], sample) for network, sample in self.asks))
