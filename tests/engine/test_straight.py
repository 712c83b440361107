"""Ops compile into one function."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch

from pytest_edgeload.engine.straight import compile_ops
from pytest_edgeload.networks.layer import Op

X, Y, W = {"value": "x"}, {"value": "y"}, {"weight": "part.w"}


def test_ops_store_the_values_that_no_op_drops() -> None:
    """Ops take values, weights, constants and lists of them; only values that outlive the last op are stored."""
    ops = [
        Op("aten.add.Tensor", [X, W], {"alpha": 2}, "y"),
        Op("aten.cat.default", [[Y, X, Y]], {}, "z", ("y",)),
        Op("aten.mul.Tensor", [{"value": "z"}, {"float": "0.5"}], {}, "half", ("x", "z")),
    ]
    values: dict[str, Any] = {"x": torch.ones(1), "other": None}
    compile_ops(ops)(values, {"part.w": torch.full((1,), 3.0)})
    assert values.keys() == {"half", "other"}
    assert values["half"].tolist() == [3.5, 0.5, 3.5]


def test_value_is_freed_by_the_op_that_drops_it() -> None:
    """The memory of an input is free when the op that drops it has run, before the ops after it."""
    alive: list[bool] = []
    values = {"x": torch.ones(4)}
    memory = weakref.ref(values["x"])

    class Watching(dict[str, torch.Tensor]):
        """Weights that note, when the last op reads them, whether the first input is alive."""

        def __getitem__(self, name: str) -> torch.Tensor:
            alive.append(memory() is not None)
            return torch.ones(4)

    ops = [Op("aten.neg.default", [X], {}, "y", ("x",)), Op("aten.add.Tensor", [Y, W], {}, "z", ("y",))]
    compile_ops(ops)(values, Watching())
    assert alive == [False]
    assert values.keys() == {"z"}


def test_op_may_replace_its_own_input() -> None:
    """A name that an op reads and gives again means the new value from then on."""
    ops = [
        Op("aten.alias.default", [X], {}, "view"),
        Op("aten.copy_.default", [{"value": "view"}, Y], {}, "view", ("view",)),
        Op("aten.neg.default", [X], {}, "x"),
    ]
    values: dict[str, Any] = {"x": torch.zeros(2), "y": torch.tensor([1.0, 2.0])}
    compile_ops(ops)(values, {})
    assert values.keys() == {"x", "y"}
    assert values["x"].tolist() == [-1.0, -2.0]


def test_op_may_drop_a_value_that_it_does_not_use() -> None:
    """A value of an earlier layer that is dropped is deleted, even if no op reads it."""
    values: dict[str, Any] = {"x": torch.zeros(1), "y": torch.zeros(1)}
    compile_ops([Op("aten.neg.default", [X], {}, "z", ("x", "y"))])(values, {})
    assert values.keys() == {"z"}


def test_no_ops_change_nothing() -> None:
    """A layer without ops compiles."""
    values: dict[str, Any] = {"x": 1}
    compile_ops([])(values, {})
    assert values == {"x": 1}


@pytest.mark.parametrize("name", ["x'); raise SystemExit #", "alpha=1, other", "lambda"])
def test_stored_names_are_never_code(name: str) -> None:
    """A stored name is an unknown keyword or a name of a value; no text of a file becomes code."""
    with pytest.raises((TypeError, RuntimeError), match=r"unexpected keyword|unknown"):
        compile_ops([Op("aten.neg.default", [X], {name: 1}, "y")])({"x": torch.zeros(1)}, {})
    values: dict[str, Any] = {name: torch.ones(1)}
    compile_ops([Op("aten.neg.default", [{"value": name}], {}, f"{name}2", (name,))])(values, {})
    assert values == {f"{name}2": -torch.ones(1)}
