"""Feeds between requests: the tensors that an input consists of, and feeds that do not fit."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.layer import Network, Sample, TensorSpec
from pytest_edgeload.workload import Request, Workload
from pytest_edgeload.workload.pipelines import check_feeds, inputs_of, tensor_feeds

Shape = tuple[int, ...]


def _network(
    name: str, inputs: dict[str, Shape], outputs: Sequence[Shape] = (), arguments: Sequence[int | str] = ()
) -> Network:
    """Return a network without layers, with float32 inputs and outputs of these shapes."""

    def specs(shapes: Sequence[Shape]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec("", "float32", shape, 0, 0) for shape in shapes)

    sample = Sample(specs([*inputs.values()]), specs(outputs))
    outs = tuple(f"y{i}" for i in range(len(outputs)))
    return Network(name, (), tuple(inputs), outs, (sample,), "", "", arguments=tuple(arguments))


ENCODER = _network("encoder", {"x": (1, 80)}, [(1, 50, 8), (1, 50, 8), (1, 1, 9)])
DECODER = _network(
    "decoder",
    {"token": (1, 1), "states_0": (1, 50, 8), "states_1": (1, 50, 8), "place": (1,)},
    [(1, 1, 9)],
    arguments=(0, 1, 1, "place"),
)


def _fed(*feeds: Feed) -> Workload:
    return Workload("speech", (Request(ENCODER), Request(DECODER, feeds=feeds)))


@pytest.mark.parametrize("name", [1, "states"])
def test_list_becomes_as_many_outputs(name: int | str) -> None:
    """A list of tensors, by position or by the name of its parameter, becomes the outputs from that number on."""
    found = tensor_feeds(_fed(Feed(name, request=0)), 1)
    assert found == (Feed(1, 0, request=0), Feed(2, 1, request=0))


def test_inputs_have_names_and_positions() -> None:
    """An input is known by its position or keyword, and by its parameter; without keywords each tensor is one."""
    names = {0: [0], 1: [1, 2], "place": [3], "token": [0], "states": [1, 2]}
    assert inputs_of(DECODER) == names
    assert inputs_of(ENCODER) == {0: [0], "x": [0]}


def test_token_is_the_largest_number() -> None:
    """With the rule argmax an output of another shape fits if its last axis gives as many numbers as the input has."""
    assert tensor_feeds(_fed(Feed("token", 2, "argmax", 0)), 1) == (Feed(0, 2, "argmax", 0),)


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ([Feed("state", request=0)], "decoder has no input state; did you mean states?"),
        ([Feed(7, request=0)], "decoder has no input 7; choose from place, token, states"),
        (
            [Feed("states", 2, request=0)],
            "its input states is float32 [1, 50, 8], but output 2 of request 0 (encoder) is float32 [1, 1, 9]; make",
        ),
        ([Feed("place", 3, request=0)], "its input place takes output 3 of request 0, but encoder has 3; try 0 to 2"),
        (
            [Feed("states", 0, "argmax", 0)],
            "its input states is float32 [1, 50, 8], which argmax of output 0 of request 0 (encoder) in shape [1, ",
        ),
        ([Feed(1, request=0), Feed("states", request=0)], "its input states is fed twice; name it once in its feeds"),
    ],
)
def test_feed_that_does_not_fit_is_refused(feeds: list[Feed], reason: str) -> None:
    """An unknown input or output, another shape or type, and an input that is fed twice are refused by name."""
    with pytest.raises(UsageError, match=re.escape(f"workload speech, request 1: {reason}")):
        check_feeds(_fed(*feeds))
