"""Cut an exported graph into layers, and find the bytes and FLOPs of each. Imports torch.

A layer begins at an op that first uses a weight of two or more dimensions which the current layer does not hold yet.
So convolutions, linear layers and embeddings begin a layer; their biases, normalisations and activations belong to it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.layer import Op

Placeholders = Mapping[str, tuple[str, torch.Tensor]]
"""The weights of a graph by the names of their placeholders: the name in the module, and the tensor."""

_BEGINS_LAYER_NDIM = 2
_SAME_RESULT_ANY_STRIDES = {"aten.view.default": "aten.reshape.default"}
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

    @property
    def is_weighted(self) -> bool:
        """Whether it holds a weight that begins a layer."""
        return any(_begins_layer(tensor) for tensor in self.weights.values())


@dataclass(frozen=True)
class _Computation:
    """A node that computes a value, the placeholders of its weights, and the nodes that make views of them."""

    node: Node
    weights: tuple[str, ...]
    views: tuple[Node, ...]


def cut_graph(graph: Graph, weights: Placeholders, outputs: Sequence[str]) -> tuple[LayerDraft, ...]:
    """Return the layers of `graph` in order. Raises CannotExport."""
    computations = list(_computations(graph, weights))
    layers = _group(computations, weights)
    _account(layers, _last_uses(computations, outputs), graph, weights)
    return tuple(layer for layer, _ in layers)


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


def _begins_layer(weight: torch.Tensor) -> bool:
    return weight.ndim >= _BEGINS_LAYER_NDIM


def _group(computations: Sequence[_Computation], weights: Placeholders) -> list[tuple[LayerDraft, list[_Computation]]]:
    """Group `computations` into layers."""
    layers: list[tuple[LayerDraft, list[_Computation]]] = []
    for computation in computations:
        used = dict(weights[placeholder] for placeholder in computation.weights)
        held = layers[-1][0].weights if layers else {}
        new = [name for name, tensor in used.items() if _begins_layer(tensor) and name not in held]
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
) -> None:
    """Fill in ops, bytes and FLOPs of each layer by running the graph on fake tensors, which have no data."""
    fake = {node.name: node.meta["val"] for node in graph.nodes if node.op == "placeholder"}
    weight_storages = {_storage(fake[name])[0] for name in weights if isinstance(fake[name], torch.Tensor)}
    live = {name: value for name, value in fake.items() if name not in weights and isinstance(value, torch.Tensor)}
    values: dict[str, Any] = dict(fake)
    position = 0
    for layer, members in layers:
        views: set[str] = set()
        for computation in members:
            for node in (*(view for view in computation.views if view.name not in views), computation.node):
                values[node.name] = _fake_call(node, values, layer)
                live[node.name] = values[node.name]
                layer.activation_bytes = max(layer.activation_bytes, _live_bytes(live, weight_storages))
                drops: list[str] = []
                if node is computation.node:
                    drops += [name for name in live if name not in views and last.get(name, -1) <= position]
                else:
                    views.add(node.name)
                if node is members[-1].node:
                    drops += sorted(views)
                for name in drops:
                    del live[name]
                layer.ops.append(_op(node, weights, drops))
            position += 1
        layer.live_out_bytes = _live_bytes(live, weight_storages)


def _fake_call(node: Node, values: Mapping[str, Any], layer: LayerDraft) -> Any:
    """Return the fake result of a node, and add its FLOPs to the layer."""

    def look_up(source: Node) -> Any:
        return values[source.name]

    args = torch.fx.map_arg(node.args, look_up)
    kwargs = torch.fx.map_arg(node.kwargs, look_up)
    if not callable(node.target):
        raise CannotExport(str(node.format_node()), "it calls nothing")
    first = next((leaf for leaf in tree_leaves([values[s.name] for s in node.all_input_nodes]) if _is_fake(leaf)), None)
    if first is None:
        return node.meta["val"]
    with first.fake_mode, FlopCounterMode(display=False) as counter:
        result = node.target(*args, **kwargs)
    layer.flops += counter.get_total_flops()
    return result


def _is_fake(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor) and hasattr(leaf, "fake_mode")


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return storage._cdata, int(storage.nbytes())  # noqa: SLF001  # the only identity of a storage without data


def _live_bytes(live: Mapping[str, Any], weight_storages: set[int]) -> int:
    """Return the bytes of all storages of live values. Views of one storage count once, weights do not count."""
    storages = dict(_storage(leaf) for leaf in tree_leaves(dict(live)) if isinstance(leaf, torch.Tensor))
    return sum(size for storage, size in storages.items() if storage not in weight_storages)


def target_name(target: object) -> str:
    """Return the name by which the worker finds the op `target`: `aten.conv2d.default`, `getitem`."""
    if target is operator.getitem:
        return "getitem"
    if isinstance(target, torch._ops.OpOverload):  # noqa: SLF001  # the class has no public name
        return str(target)
    reason = "it is not a tensor operator: data-dependent sizes and branches cannot be cut into layers"
    raise CannotExport(str(target), reason)


def _op(node: Node, weights: Placeholders, drops: Sequence[str]) -> Op:
    def reference(source: Node) -> dict[str, str]:
        return {"weight": weights[source.name][0]} if source.name in weights else {"value": source.name}

    name = target_name(node.target)
    return Op(
        target=_SAME_RESULT_ANY_STRIDES.get(name, name),
        args=[encode(argument, reference) for argument in node.args],
        kwargs={key: encode(argument, reference) for key, argument in node.kwargs.items()},
        output=node.name,
        drops=tuple(drops),
    )


def encode(argument: Any, reference: Callable[[Node], dict[str, str]]) -> Any:
    """Return `argument` as JSON; the worker's `kernels.bind` is the inverse. Raises CannotExport."""
    match argument:
        case Node():
            return reference(argument)
        case None | bool() | int() | str():
            return argument
        case float():
            return {"float": repr(argument)}
        case list() | tuple():
            return [encode(item, reference) for item in argument]
        case torch.dtype() | torch.memory_format() | torch.layout():
            return {"torch": str(argument).removeprefix("torch.")}
        case torch.device():
            return {"device": "cpu"}
        case _:
            raise CannotExport(f"argument {argument!r} of an operator", "it cannot be stored")
