"""The inputs of a model: the forms of a sample, and the refusal of anything else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pytest_edgeload import Inputs
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.inputs import arranged, as_inputs, as_samples, nest_of, unsupported_type


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
def test_sample_is_a_tuple_a_dict_or_both(sample: Any, expected: Inputs) -> None:
    """A tuple is positional inputs, a dict keyword inputs, and Inputs is both."""
    assert as_inputs(sample) == expected


def test_keywords_follow_the_first_sample() -> None:
    """Keywords have the order of the first sample, which is the one that is traced."""
    _, second = as_samples([{"a": 1, "b": 2}, {"b": 3, "a": 4}])
    assert list(second.kwargs.items()) == [("a", 4), ("b", 3)]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([3], r"^a sample: of type int, not inputs; give a tuple of positional inputs, as in \(x,\), a dict"),
        ({"a": 1}, "^the samples: of type dict, not a list; give a list of samples$"),
        ([(1,), (1, 2)], r"^sample 1: has 2 positional inputs and the keywords \[\], but sample 0 has 1 positional"),
        (
            [{"a": 1}, {"b": 1}],
            r"the keywords \['b'\], but sample 0 has 0 positional inputs and the keywords \['a'\]; give",
        ),
    ],
)
def test_other_samples_are_refused(samples: Any, words: str) -> None:
    """Anything else is refused, and so are samples that differ in their inputs."""
    with pytest.raises(UsageError, match=words):
        as_samples(samples)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (3, {}, r"^args of type int: not a tuple; write \(x,\) for one input$"),
        ((), [("a", 1)], r"^kwargs of type list: not a mapping; try \{'name': x\}$"),
    ],
)
def test_inputs_are_in_a_tuple_and_a_mapping(args: Any, kwargs: Any, message: str) -> None:
    """A single input without a tuple is refused where it is written; a list is a tuple."""
    with pytest.raises(ValueError, match=message):
        Inputs(args, kwargs)
    assert Inputs([1, 2]) == Inputs((1, 2))  # type: ignore[arg-type]


def is_tensor(value: object) -> bool:
    """Return whether the value stands for a tensor here."""
    return isinstance(value, bytes)


@pytest.mark.parametrize(
    ("inputs", "tensors"),
    [
        (Inputs((b"a", b"b")), [b"a", b"b"]),
        (Inputs((), {"mask": b"a", "ids": b"b"}), [b"a", b"b"]),
        (
            Inputs((b"a", [(b"b", None), (b"c", 2.5)]), {"past": {"keys": b"d", "name": "x"}, "use": True}),
            [b"a", b"b", b"c", b"d"],
        ),
        (Inputs((1, b"a")), [b"a"]),
    ],
)
def test_stored_tensors_are_arranged_as_in_the_sample(inputs: Inputs, tensors: list[Any]) -> None:
    """The nest of a sample survives JSON, with its tensors, constants and types of sequences."""
    nest = msgspec.json.decode(msgspec.json.encode(nest_of(inputs, is_tensor)))
    assert unsupported_type(nest) is None
    assert arranged(nest, tensors) == inputs


@pytest.mark.parametrize(("value", "name"), [({1: b"a"}, "dict"), (1j, "complex"), ([b"a", object()], "object")])
def test_type_that_a_nest_cannot_contain_is_named(value: object, name: str) -> None:
    """A nest that JSON cannot represent names the type, so that a peer can refuse it."""
    assert unsupported_type(nest_of(Inputs((value,)), is_tensor)) == name
