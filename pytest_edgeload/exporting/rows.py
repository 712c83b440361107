"""Find how the matrix of an op is computed row by row from weights, so that only a block of it need be held.

From the matrix that a linear op, convolution or embedding applies, the axis of its rows is followed back to weights,
through the ops that compute it: elementwise ops, views, and reshaping that leaves the rows apart. Imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

import torch
from torch.fx import Node

_MATRICES: Mapping[str, Mapping[int, int]] = {
    "aten.linear.default": {1: 0, 2: 0},
    "aten.conv1d.default": {1: 0, 2: 0},
    "aten.conv2d.default": {1: 0, 2: 0},
    "aten.conv3d.default": {1: 0, 2: 0},
    "aten.embedding.default": {0: 0},
    "aten.mm.default": {1: 1},
    "aten.matmul.default": {1: 1},
    "aten.addmm.default": {2: 1, 0: 0},
    "aten._weight_int8pack_mm.default": {1: 0, 2: 0},
    "aten._weight_int4pack_mm_for_cpu.default": {1: 0, 3: 1},
}
"""The ops that apply a matrix: the positions of the arguments with its rows, and the axis of each; the matrix first."""

_PACKED = {"aten._weight_int8pack_mm.default": 1, "aten._weight_int4pack_mm_for_cpu.default": 64}
"""Ops that read numbers as they are stored, and how many rows the packing of each keeps together at most."""

_ELEMENTWISE = {
    "_to_copy", "to", "clone", "detach", "alias", "contiguous", "lift_fresh_copy", "__and__", "__or__", "__xor__",
}  # fmt: skip
"""Ops on each element without the tag of such ops."""

_RESHAPES = {"view", "reshape", "_unsafe_view", "_reshape_alias", "flatten", "unflatten"}

Axes = list[tuple[Node, int]] | None
"""The inputs of an op that have the rows, and the axis of each; None if its result does not keep rows apart."""


@dataclass
class RowSource:
    """The weights from which an op's matrix of `rows` rows is computed: `axes` has the axis of the rows of each tensor.

    `sizes` are the shapes that reshaping ops must have for any number of rows, with -1 for the axis of the rows.
    `whole` are tensors without rows, such as one scale for all.
    """

    rows: int
    unit: int = 1
    axes: dict[Node, int] = field(default_factory=dict)
    sizes: dict[Node, tuple[int, ...]] = field(default_factory=dict)
    whole: set[Node] = field(default_factory=set)

    def trace(self, node: Node, axis: int, computed: Sequence[Node]) -> bool:
        """Follow the rows along `axis` of `node` back through the `computed` nodes; return whether they stay apart."""
        if node in self.axes:
            return self.axes[node] == axis
        if _shape(node)[axis] % self.rows:
            return False
        self.axes[node] = axis
        if node not in computed:
            return True
        inputs = self._inputs(node, axis)
        if inputs is None:
            return False
        self.whole |= {*node.all_input_nodes} - {source for source, _ in inputs}
        return all(self.trace(source, own, computed) for source, own in inputs)

    def is_consistent(self, computed: Sequence[Node]) -> bool:
        """Return whether no tensor is used both by rows and as a whole."""
        for node in reversed(computed):
            if node in self.whole:
                self.whole.update(node.all_input_nodes)
        return not self.whole & self.axes.keys()

    def _inputs(self, node: Node, axis: int) -> Axes:
        """Return the inputs of `node` with the rows along `axis` of its result."""
        name, source = _name(node), node.all_input_nodes[0]
        if name in _RESHAPES and str(node.target) != "aten.view.dtype":
            return self._reshaped(node, source, axis)
        if name == "expand":
            return self._expanded(node, source, axis)
        if name in {"cat", "stack"}:
            return _joined(node, axis, is_new=name == "stack")
        if name in _ELEMENTWISE or torch.Tag.pointwise in getattr(node.target, "tags", ()):
            return _elementwise(node, axis)
        if name == "index":
            return _looked_up(node, axis)
        own = _VIEWS[name](node, axis) if name in _VIEWS else None
        return None if own is None else [(source, own)]

    def _reshaped(self, node: Node, source: Node, axis: int) -> Axes:
        """Find the axis with the rows before reshaping: as many numbers are before it, and the rows divide it."""
        shape, before = _shape(node), 1
        for own, size in enumerate(_shape(source)):
            if before == math.prod(shape[:axis]) and size % self.rows == 0:
                self.sizes[node] = (*shape[:axis], -1, *shape[axis + 1 :])
                return [(source, own)]
            before *= size
        return None

    def _expanded(self, node: Node, source: Node, axis: int) -> Axes:
        shape = _shape(node)
        own = axis - (len(shape) - len(_shape(source)))
        if own < 0 or _shape(source)[own] != shape[axis]:
            return None
        self.sizes[node] = (*shape[:axis], -1, *shape[axis + 1 :])
        return [(source, own)]


def find_rows(node: Node, computed: Sequence[Node], weights: Container[str]) -> RowSource | None:
    """Return how the matrix that `node` applies comes from weights row by row, by the nodes `computed`.

    None if `node` applies no matrix of `weights`, or if an op on the way does not keep the rows apart.
    """
    arguments = _arguments_with_rows(node, computed, weights)
    if not arguments:
        return None
    matrix, axis = arguments[0]
    source = RowSource(_shape(matrix)[axis], _PACKED.get(str(node.target), 1))
    if source.rows == 1 or not all(source.trace(each, axis, computed) for each, axis in arguments):
        return None
    return source if source.is_consistent(computed) and _is_useful(node, source, computed, weights) else None


def _arguments_with_rows(node: Node, computed: Sequence[Node], weights: Container[str]) -> list[tuple[Node, int]]:
    """Return the matrix that `node` applies and its bias, with the axis of the rows in each.

    Nothing is returned if they are not from weights, if other arguments are, or if they are weights as they are.
    """
    axes = _MATRICES.get(str(node.target), {})
    is_stored = {at: each in computed or each.name in weights for at, each in enumerate(node.args) if _is_node(each)}
    is_plain = not computed and str(node.target) not in _PACKED
    if is_plain or node.kwargs or is_stored != {at: at in axes for at in is_stored}:
        return []
    found = [(cast("Node", node.args[at]), axis) for at, axis in axes.items() if at in is_stored]
    is_batch = _name(node) == "matmul" and len(_shape(node.args[1])) > 2  # noqa: PLR2004  # of matrices
    return [] if is_batch or not all(math.prod(_shape(each)) for each, _ in found) else found


def _is_useful(node: Node, source: RowSource, computed: Sequence[Node], weights: Container[str]) -> bool:
    """Return whether rows can be taken from files or widened in blocks.

    A row that is looked up must be a row of each weight.
    """
    stored = {each: axis for each, axis in source.axes.items() if each.name in weights}
    if _name(node) == "embedding" and any(_shape(each)[axis] != source.rows for each, axis in stored.items()):
        return False
    is_widened = any(_name(each) not in {*_VIEWS, *_RESHAPES} for each in computed)
    return is_widened or str(node.target) in _PACKED or not any(stored.values())


def _is_node(argument: object) -> TypeGuard[Node]:
    return isinstance(argument, Node)


def _elementwise(node: Node, axis: int) -> Axes:
    inputs: list[tuple[Node, int]] = []
    for source in node.all_input_nodes:
        own = axis - (len(_shape(node)) - len(_shape(source)))
        if own >= 0 and _shape(source)[own] == _shape(node)[axis]:
            inputs.append((source, own))
    return inputs


def _joined(node: Node, axis: int, *, is_new: bool) -> Axes:
    """Find the axis with the rows in tensors that are joined along an axis, which is new if they are stacked."""
    along = _axis(node, 1)
    return None if along == axis else [(source, axis - (is_new and along < axis)) for source in node.all_input_nodes]


def _looked_up(node: Node, axis: int) -> Axes:
    """Find the rows of the codes that are looked up in a table, which has no rows."""
    (codes, *others) = cast("Sequence[Node | None]", node.args[1])
    if codes is None or codes is node.args[0] or others:
        return None
    return [(codes, axis)] if axis < len(_shape(codes)) else None


def _axis(node: Node, position: int) -> int:
    """Return an argument that is an axis of the result, counted from the first; 0 if it is not given."""
    given = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
    return given % len(_shape(node)) if isinstance(given, int) else 0


def _transposed(node: Node, axis: int) -> int:
    one, other = _axis(node, 1), _axis(node, 2)
    return {one: other, other: one}.get(axis, axis)


def _permuted(node: Node, axis: int) -> int:
    order = cast("list[int]", node.args[1])
    return order[axis] % len(order)


def _removed(node: Node, axis: int) -> int | None:
    """Return the axis before `select` or `squeeze` removed another one."""
    if len(node.args) < 2 or not isinstance(node.args[1], int):  # noqa: PLR2004
        return None
    return axis + (node.args[1] % len(_shape(node.all_input_nodes[0])) <= axis)


def _unsqueezed(node: Node, axis: int) -> int | None:
    new = _axis(node, 1)
    return None if new == axis else axis - (new < axis)


_VIEWS: Mapping[str, Callable[[Node, int], int | None]] = {
    "t": lambda _, axis: 1 - axis,
    "numpy_T": lambda node, axis: len(_shape(node)) - 1 - axis,
    "transpose": _transposed,
    "permute": _permuted,
    "slice": lambda node, axis: None if _axis(node, 1) == axis else axis,
    "select": _removed,
    "squeeze": _removed,
    "unsqueeze": _unsqueezed,
    "view": lambda node, axis: None if axis == len(_shape(node)) - 1 else axis,  # the same bytes as another type
    "repeat_interleave": lambda node, axis: None if _axis(node, 2) == axis else axis,
}
"""Return the axis that an axis of the result was before; None if the op does not keep the rows apart."""


def _name(node: Node) -> str:
    """Return the name of an operator without its namespace and overload."""
    return str(node.target).split(".")[1] if isinstance(node.target, torch._ops.OpOverload) else ""  # noqa: SLF001


def _shape(node: Any) -> tuple[int, ...]:
    value = node.meta["val"]
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()
