"""Cut an exported graph into layers, and find the bytes and FLOPs of each. Imports torch.

A layer begins at an op that first uses a weight of two or more dimensions which the current layer does not hold yet.
So convolutions, linear layers and embeddings begin a layer; their biases, normalisations and activations belong to it,
and so do elementwise ops with one number for each row, such as the scales of quantized weights.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import torch
from torch.fx import Graph, Node
from torch.utils._pytree import tree_leaves

from pytest_edgeload.exporting.in_place import (
    IN_PLACE,
    WRITE_TO_VIEW,
    may_overwrite,
    shared_inputs,
    storages_of,
)
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.exporting.ops import Placeholders, fake_call, target_name, write_ops
from pytest_edgeload.exporting.rows import RowSource, find_rows
from pytest_edgeload.networks.layer import Op, RowCut
from pytest_edgeload.networks.tile import CONVOLUTIONS, EMBEDDING, GROUPS_AT

_BEGINS_LAYER_NDIM = 2
_BLOCK_BYTES = 1 << 20
"""The most bytes of widened weights that are held at a time; they fit in the cache of a core."""

_NO_EFFECT = {"aten._assert_tensor_metadata.default", "aten._assert_async.msg", "aten.sym_constrain_range.default"}


@dataclass
class LayerDraft:
    """One layer while it is being cut: its weights by name, its ops, and the figures of `networks.layer.Layer`."""

    name: str = ""
    kind: str = ""
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    activation_bytes: int = 0
    live_out_bytes: int = 0
    flops: int = 0
    row_cut: RowCut | None = None
    first: LayerDraft | None = None

    @property
    def is_weighted(self) -> bool:
        """Whether it holds a weight that begins a layer."""
        return any(begins_layer(tensor) for tensor in self.weights.values())


@dataclass(frozen=True)
class _Computation:
    """A node that computes a value, the placeholders of its weights, and the nodes that make views of them."""

    node: Node
    weights: tuple[str, ...]
    views: tuple[Node, ...]


@dataclass(frozen=True)
class CutGraph:
    """The layers of a graph in order, the values of a run on fake tensors, and the inputs that ops may overwrite."""

    layers: tuple[LayerDraft, ...]
    values: Mapping[str, Any]
    overwritten: frozenset[str]

    @property
    def dtypes(self) -> frozenset[torch.dtype]:
        """The types of all values and weights."""
        return frozenset(leaf.dtype for leaf in tree_leaves(dict(self.values)) if isinstance(leaf, torch.Tensor))

    def held_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes of all storages of these values, which are no weights."""
        return sum(size for _, size in storages_of([self.values[name] for name in names]))


def cut_graph(
    graph: Graph, weights: Placeholders, outputs: Sequence[str], passed: Mapping[str, str] = MappingProxyType({})
) -> CutGraph:
    """Cut `graph` into layers. Raises CannotExport.

    `passed` has the inputs that the next step gets from this one, and the outputs that they become. An op may overwrite
    such an input, unless it shares memory with another one.
    """
    computations = list(_computations(graph, weights))
    last, inputs = _last_uses(computations, outputs), _inputs(graph, weights)
    while True:
        layers = _group(computations, weights)
        values = _account(layers, last, graph, weights, inputs - passed.keys())
        shared = shared_inputs(passed, values, inputs)
        if not shared:
            return CutGraph(tuple(layer for layer, _ in layers), values, frozenset(passed))
        passed = {name: output for name, output in passed.items() if name not in shared}


def _inputs(graph: Graph, weights: Placeholders) -> set[str]:
    """Return the names of the placeholders that are tensors, and no weights."""
    nodes = (node for node in graph.find_nodes(op="placeholder") if isinstance(node.meta["val"], torch.Tensor))
    return {node.name for node in nodes} - weights.keys()


def _computations(graph: Graph, weights: Placeholders) -> Iterator[_Computation]:
    """Yield the nodes that compute values.

    A tensor computed from weights alone (a slice of a fused projection, a transposed kernel) is not a value: each layer
    that uses it computes it again, so that it never outlives the layer's weights.
    """
    derived: dict[Node, tuple[tuple[str, ...], tuple[Node, ...]]] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            if node.name in weights:
                derived[node] = ((node.name,), ())
        elif node.op == "call_function" and target_name(node.target) not in _NO_EFFECT:
            sources = node.all_input_nodes
            used = tuple(dict.fromkeys(w for s in sources if s in derived for w in derived[s][0]))
            views = tuple(dict.fromkeys(v for s in sources if s in derived for v in derived[s][1]))
            if sources and all(source in derived for source in sources):
                if any(user.op == "output" for user in node.users):
                    hint = "give a module whose outputs use its inputs"
                    raise CannotExport(f"output {node.name}", "it is computed from weights alone", hint)
                derived[node] = (used, (*views, node))
            else:
                yield _Computation(node, used, views)
        elif node.op not in {"output", "call_function"}:
            raise CannotExport(str(node.format_node()), "it cannot be cut into layers")


def begins_layer(weight: torch.Tensor) -> bool:
    """Return whether the first use of a weight begins a layer."""
    return weight.ndim >= _BEGINS_LAYER_NDIM


def _group(computations: Sequence[_Computation], weights: Placeholders) -> list[tuple[LayerDraft, list[_Computation]]]:
    """Group `computations` into layers."""
    layers: list[tuple[LayerDraft, list[_Computation]]] = []
    for computation in computations:
        used = dict(weights[placeholder] for placeholder in computation.weights)
        held = layers[-1][0].weights if layers else {}
        new = [name for name, tensor in used.items() if begins_layer(tensor) and name not in held]
        if torch.Tag.pointwise in getattr(computation.node.target, "tags", ()):
            new = [name for name in new if math.prod(used[name].shape[1:]) > 1]
        # Ops before the first weighted op belong to the first layer, because they have nothing to load.
        if not layers or (new and layers[-1][0].is_weighted):
            layers.append((LayerDraft(), []))
        layer, members = layers[-1]
        if new and not layer.name:
            layer.name = new[0].rpartition(".")[0] or new[0]
            layer.kind = target_name(computation.node.target).split(".")[1]
        layer.weights.update(used)
        members.append(computation)
    for index, (layer, _) in enumerate(layers):
        layer.name = layer.name or f"layer{index}"
        layer.kind = layer.kind or "other"
    return layers


def _last_uses(computations: Sequence[_Computation], outputs: Sequence[str]) -> dict[str, int]:
    """Return for each value the index of the computation that uses it last; outputs are used until the end."""
    last: dict[str, int] = {}
    for index, computation in enumerate(computations):
        last.setdefault(computation.node.name, index)
        for node in (computation.node, *computation.views):
            last.update((source.name, index) for source in node.all_input_nodes)
    last.update((name, len(computations)) for name in outputs)
    return last


def _account(
    layers: Sequence[tuple[LayerDraft, list[_Computation]]],
    last: Mapping[str, int],
    graph: Graph,
    weights: Placeholders,
    kept_inputs: Iterable[str],
) -> Mapping[str, Any]:
    """Fill in ops, bytes and FLOPs of each layer by running the graph on fake tensors, which have no data.

    Return all values. No op overwrites one of `kept_inputs`.
    """
    fake = {node.name: node.meta["val"] for node in graph.nodes if node.op == "placeholder"}
    weight_storages = {storage for storage, _ in storages_of([fake[name] for name in weights])}
    kept = weight_storages | {storage for storage, _ in storages_of([fake[name] for name in kept_inputs])}
    live = {name: value for name, value in fake.items() if name not in weights and isinstance(value, torch.Tensor)}
    values: dict[str, Any] = dict(fake)
    position = 0
    for layer, members in layers:
        views: set[str] = set()
        for computation in members:
            rows = None if layer.row_cut else _rows(computation, members, weights)
            matrix_bytes = 0
            if rows is not None:
                copies_bytes, matrix_bytes = _append_row_ops(layer, computation, rows, values, weights)
                layer.activation_bytes = max(layer.activation_bytes, _live_bytes(live, weight_storages) + copies_bytes)
            new_views = [] if rows else [view for view in computation.views if view.name not in views]
            for node in (*new_views, computation.node):
                dying = {name for name in live if name not in views and last.get(name, -1) <= position}
                is_in_place = node is computation.node and _overwrites(node, live, dying, kept)
                values[node.name], flops = fake_call(node, values, is_in_place=is_in_place)
                layer.flops += flops
                live[node.name] = values[node.name]
                layer.activation_bytes = max(layer.activation_bytes, _live_bytes(live, weight_storages) + matrix_bytes)
                drops: list[str] = []
                if node is computation.node:
                    drops += [name for name in live if name not in views and last.get(name, -1) <= position]
                else:
                    views.add(node.name)
                if node is members[-1].node:
                    drops += sorted(views)
                for name in drops:
                    del live[name]
                layer.ops += write_ops(node, weights, drops, is_in_place=is_in_place)
            position += 1
        layer.live_out_bytes = _live_bytes(live, weight_storages)
    return values


def _overwrites(node: Node, live: Mapping[str, Any], dying: Container[str], kept: set[int]) -> bool:
    """Return whether the op of `node` overwrites its first argument, one of the `live` values, instead of copying it.

    The op is the last one that needs a value in `dying`.
    """
    first, *rest = node.args or (None,)
    if target_name(node.target) not in IN_PLACE.keys() | WRITE_TO_VIEW.keys() or node.kwargs:
        return False
    if not isinstance(first, Node) or first.name not in dying or first in tree_leaves(rest):
        return False
    others = [value for name, value in live.items() if name != first.name]
    return may_overwrite(live[first.name], others, kept)


def _rows(computation: _Computation, members: Sequence[_Computation], weights: Placeholders) -> RowSource | None:
    """Return how a computation applies a matrix row by row; None if it does not, or if others of its layer use it."""
    rows = find_rows(computation.node, computation.views, weights)
    if rows is None:
        return None
    used = {weights[node.name][0]: axis for node, axis in rows.axes.items() if node.name in weights}
    others = [other for other in members if other is not computation]
    names = {weights[name][0] for other in others for name in other.weights}
    views = {view for other in others for view in other.views}
    return None if names & used.keys() or views & {*computation.views} else rows


def _append_row_ops(
    layer: LayerDraft, computation: _Computation, rows: RowSource, values: dict[str, Any], weights: Placeholders
) -> tuple[int, int]:
    """Append the ops that compute a matrix, and the row cut of the op that applies it, to `layer`.

    Return the most bytes that are held while a block of rows is computed, and while it is applied, besides the values
    of the layer.
    """
    node, first = computation.node, len(layer.ops)
    last_user = {source.name: user for user in (*computation.views, node) for source in user.all_input_nodes}
    axes = {weights[each.name][0]: axis for each, axis in rows.axes.items() if each.name in weights}
    held = {storage for storage, _ in storages_of([values[name] for name in computation.weights])}
    copies: dict[str, Any] = {}
    copies_bytes = 0
    for view in computation.views:
        values[view.name], flops = fake_call(view, values)
        copies[view.name] = values[view.name]
        layer.flops += flops
        copies_bytes = max(copies_bytes, _live_bytes(copies, held))
        drops = [name for name in copies if last_user[name] is view]
        copies = {name: copy for name, copy in copies.items() if name not in drops}
        layer.ops += write_ops(view, weights, drops, rows.sizes.get(view))
    taken = axes if target_name(node.target) == EMBEDDING else [name for name, axis in axes.items() if axis]
    taken_bytes = sum(layer.weights[name].nbytes for name in taken)  # their rows are copied before they are widened
    per_all_rows = (copies_bytes + taken_bytes, _live_bytes(copies, held) + taken_bytes)
    block_rows, count = _block(node, rows, per_all_rows[0])
    layer.row_cut = RowCut(len(layer.ops), first, rows.rows, axes, block_rows, rows.unit)
    part_bytes = node.meta["val"].nbytes if block_rows < rows.rows else 0  # of the output
    return -(-per_all_rows[0] * count // rows.rows), -(-(per_all_rows[1] + part_bytes) * count // rows.rows)


def _block(node: Node, rows: RowSource, size_bytes: int) -> tuple[int, int]:
    """Return how many rows are computed at a time, and how many rows that are at most; all would hold `size_bytes`.

    Of an embedding, the rows that are looked up are computed. The groups of a convolution stay together.
    """
    if target_name(node.target) == EMBEDDING:
        return rows.rows, cast("Node", node.args[1]).meta["val"].numel()
    if target_name(node.target) in CONVOLUTIONS and node.args[GROUPS_AT:] not in {(), (1,)}:
        return rows.rows, rows.rows
    units = max(1, rows.rows * _BLOCK_BYTES // max(1, size_bytes) // rows.unit)
    block_rows = min(rows.rows, units * rows.unit)
    return block_rows, block_rows


def _live_bytes(live: Mapping[str, Any], weight_storages: set[int]) -> int:
    """Return the bytes of all storages of live values. Views of one storage count once, weights do not count."""
    return sum(size for storage, size in storages_of(dict(live)) if storage not in weight_storages)
