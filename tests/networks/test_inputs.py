"""What a sample can be."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_edgeload import Inputs
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.inputs import as_inputs, as_samples


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ((1, 2), Inputs((1, 2))),
        ([1], Inputs((1,))),
        ({"a": 1}, Inputs(kwargs={"a": 1})),
        (({"a": 1},), Inputs(({"a": 1},))),
        (Inputs((1,), {"a": 2}), Inputs((1,), {"a": 2})),
    ],
)
def test_samples(sample: Any, expected: Inputs) -> None:
    """A tuple is positional inputs, a dict keyword inputs, and Inputs is both."""
    assert as_inputs(sample) == expected


def test_order_of_keywords() -> None:
    """Keywords come in the order of the first sample, in which they are traced."""
    _, second = as_samples([{"a": 1, "b": 2}, {"b": 3, "a": 4}])
    assert list(second.kwargs.items()) == [("a", 4), ("b", 3)]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([3], r"^a sample is of type int; give a tuple of positional inputs, as in \(x,\), a dict"),
        ({"a": 1}, "^the samples are of type dict; give a list of samples$"),
        ([(1,), (1, 2)], r"^sample 1 gives 2 positional inputs and the keywords \[\], and sample 0 1 positional"),
        (
            [{"a": 1}, {"b": 1}],
            r"the keywords \['b'\], and sample 0 0 positional inputs and the keywords \['a'\]; give",
        ),
    ],
)
def test_what_is_no_sample(samples: Any, words: str) -> None:
    """Anything else is refused, and so are samples of different inputs."""
    with pytest.raises(UsageError, match=words):
        as_samples(samples)
