"""Write the nodes of an exported graph as ops, and call them on fake tensors, which have no data. Imports torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pytest_edgeload.exporting.in_place import IN_PLACE, WRITE_TO_VIEW, in_place_form
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.layer import Op

Placeholders = Mapping[str, tuple[str, torch.Tensor]]
"""The weights of a graph by the names of their placeholders: the name in the module, and the tensor."""

_SAME_FUNCTION: Mapping[str, Callable[..., Any]] = {"aten.view.default": torch.ops.aten.reshape.default}
"""Operators with the same result for any strides; an op in place may leave others than the copy would have."""


def target_name(target: object) -> str:
    """Return the name by which the worker finds the op `target`: `aten.conv2d.default`, `getitem`."""
    if target is operator.getitem:
        return "getitem"
    if isinstance(target, torch._ops.OpOverload):  # noqa: SLF001  # the class has no public name
        return str(target)
    reason = "it is not a tensor operator: data-dependent sizes and branches cannot be cut into layers"
    raise CannotExport(str(target), reason)


def fake_call(node: Node, values: Mapping[str, Any], *, is_in_place: bool = False) -> tuple[Any, int]:
    """Return the fake result of a node, and its FLOPs."""

    def look_up(source: Node) -> Any:
        return values[source.name]

    args = torch.fx.map_arg(node.args, look_up)
    kwargs = torch.fx.map_arg(node.kwargs, look_up)
    if not callable(node.target):
        raise CannotExport(str(node.format_node()), "it calls nothing")
    first = next((leaf for leaf in tree_leaves([values[s.name] for s in node.all_input_nodes]) if _is_fake(leaf)), None)
    if first is None:
        return node.meta["val"], 0
    name = target_name(node.target)
    target = in_place_form(name) if is_in_place else _SAME_FUNCTION.get(name, node.target)
    with torch.no_grad(), first.fake_mode, FlopCounterMode(display=False) as counter:
        result = target(*args, **kwargs)
    return result, counter.get_total_flops()


def _is_fake(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor) and hasattr(leaf, "fake_mode")


def write_ops(
    node: Node,
    weights: Placeholders,
    drops: Sequence[str],
    sizes: Sequence[int] | None = None,
    *,
    is_in_place: bool = False,
) -> list[Op]:
    """Return the op of `node`, or those that overwrite its first argument and have the same result.

    `sizes` replace those that it expands or reshapes to.
    """

    def reference(source: Node) -> dict[str, str]:
        return {"weight": weights[source.name][0]} if source.name in weights else {"value": source.name}

    name = target_name(node.target)
    args = [encode(argument, reference) for argument in node.args]
    kwargs = {key: encode(argument, reference) for key, argument in node.kwargs.items()}
    if is_in_place and name in WRITE_TO_VIEW:
        whole, part, *place = args
        view = f"{node.name}.view"
        return [
            Op(target_name(WRITE_TO_VIEW[name]), [whole, *place], {}, view),
            Op("aten.copy_.default", [{"value": view}, part], {}, view, (view,)),
            Op("aten.alias.default", [whole], {}, node.name, tuple(drops)),
        ]
    if sizes is not None:
        name = name if name == "aten.expand.default" else "aten.reshape.default"
        return [Op(name, [args[0], [*sizes]], {}, node.name, tuple(drops))]
    target = target_name(IN_PLACE[name] if is_in_place else _SAME_FUNCTION.get(name, node.target))
    return [Op(target, args, kwargs, node.name, tuple(drops))]


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
