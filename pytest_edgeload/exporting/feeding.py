"""Feeds of samples: the inputs of the next step, and the feeds that a network stores. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.tensors import fed


def next_sample(sample: Inputs, outputs: Sequence[torch.Tensor]) -> Inputs:
    """Return the inputs of the step after one with these inputs and outputs. Raises CannotExport."""
    args, kwargs = list(sample.args), dict(sample.kwargs)
    for feed in sample.feeds:
        place: Any = kwargs if isinstance(feed.input, str) else args
        leaves, structure = tree_flatten(place[feed.input])
        try:
            tensors = [
                fed(each, outputs, leaf) for each, leaf in zip(leaf_feeds(feed, 0, len(leaves)), leaves, strict=True)
            ]
        except ValueError as error:
            raise CannotExport(f"the feed of input {feed.input}", str(error), "give another output or rule") from None
        place[feed.input] = tree_unflatten(tensors, structure)
    return replace(sample, args=tuple(args), kwargs=kwargs)


def leaf_feeds(feed: Feed, first: int, count: int) -> list[Feed]:
    """Return the feeds of `count` tensors, the first of which is input number `first`, that one feed stands for."""
    step = 1 if feed.rule == "same" else 0
    return [Feed(first + i, feed.output + step * i, feed.rule, last=feed.last) for i in range(count)]


def arguments(sample: Inputs) -> tuple[int | str, ...]:
    """Return the position or keyword of the argument of each tensor; nothing if each is a positional one by itself."""
    named: list[tuple[int | str, Any]] = [*enumerate(sample.args), *sample.kwargs.items()]
    found = tuple(name for name, value in named for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))
    return () if found == tuple(range(len(found))) else found


def stored_feeds(sample: Inputs) -> tuple[Feed, ...]:
    """Return the feeds of a sample by the positions of tensors, in the order in which they are exported."""
    first, stored = 0, list[Feed]()
    by_input = {feed.input: feed for feed in sample.feeds}
    for name, value in (*enumerate(sample.args), *sample.kwargs.items()):
        count = sum(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(value))
        if name in by_input:
            stored += leaf_feeds(by_input[name], first, count)
        first += count
    return tuple(stored)
