"""Mixes become workloads."""

from __future__ import annotations

import pytest

from pytest_edgeload.workload import Mix, Request
from tests.builders import network


def test_a_mix_asks_every_network_about_one_image_then_the_next() -> None:
    """The requests go through the networks once for each image, repeated networks included."""
    mix = Mix.of("mix", ["b", "a", "b"], images=2)
    assert mix.asks == (("b", 0), ("a", 0), ("b", 0), ("b", 1), ("a", 1), ("b", 1))


def test_a_mix_names_each_network_once() -> None:
    """The networks of a mix are those it asks, in order of first use."""
    assert Mix.of("mix", [*"hgfedcba", "f"], images=2).networks == tuple("hgfedcba")


@pytest.mark.parametrize(("networks", "images"), [([], 1), (["a"], 0), (["a"], -1)])
def test_a_mix_asks_something(networks: list[str], images: int) -> None:
    """A mix without a network or an image is refused by its name."""
    with pytest.raises(ValueError, match=r"^workload mix: it needs at least one network and one image$"):
        Mix.of("mix", networks, images=images)


def test_the_smallest_mix_is_the_first_request() -> None:
    """The smallest mix keeps the name and the first request, with its sample."""
    assert Mix("mix", (("b", 3), ("a", 0))).smallest() == Mix("mix", (("b", 3),))


def test_a_mix_becomes_a_workload() -> None:
    """Names are replaced by networks, and order, samples and the mix's name stay."""
    a, b = network((1, 1, 1)), network((2, 2, 2))
    workload = Mix("mix", (("b", 3), ("a", 0), ("b", 1))).workload({"a": a, "b": b})
    assert workload.name == "mix"
    assert workload.requests == (Request(b, 3), Request(a, 0), Request(b, 1))


def test_a_missing_network_is_named() -> None:
    """A name that no network has raises KeyError with that name."""
    with pytest.raises(KeyError, match="'missing'"):
        Mix.of("mix", ["missing"]).workload({})
