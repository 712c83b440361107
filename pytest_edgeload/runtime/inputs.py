"""The inputs of a caller: matched with those that a network was stored with. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.inputs import unsupported_type
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.tensors import tensors_in

_STORE_HINT = "give the inputs that the network was stored with, or store it with such a sample"


def tensors_of(name: str, network: Network, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Return the tensors in the arguments of a call, in the order of the network's own inputs.

    Raises UsageError unless nests, constants, shapes and types are those of the sample that the network was stored
    with.
    """
    found: dict[int, tuple[str, torch.Tensor]] = {}
    try:
        if network.nest is None:
            _collect_tensors(args, kwargs, found)
        elif unsupported_type(network.nest) is not None:
            _collect(args, kwargs, found)
        else:
            positional, keywords = network.nest
            _match(positional, tuple(args), "", found)
            _match(keywords, dict(kwargs), "", found)
        _check(network, found)
    except UsageError as error:
        raise error.within(f"network {name}", error.hint) from None
    return [found[i][1] for i in range(len(found))]


def _collect(args: Sequence[Any], kwargs: Mapping[str, Any], found: dict[int, tuple[str, torch.Tensor]]) -> None:
    """Add the tensors of arguments in order, with the words for each."""
    for where, value in [*((str(i), value) for i, value in enumerate(args)), *kwargs.items()]:
        for tensor in tensors_in(value):
            found[len(found)] = (where, tensor)


def _collect_tensors(
    args: Sequence[Any], kwargs: Mapping[str, Any], found: dict[int, tuple[str, torch.Tensor]]
) -> None:
    """Add arguments, of which each must be a tensor. Raises UsageError."""
    for where, value in [*((str(i), value) for i, value in enumerate(args)), *kwargs.items()]:
        _match({"tensor": len(found)}, value, where, found)


def _match(nest: Any, value: Any, where: str, found: dict[int, tuple[str, torch.Tensor]]) -> None:
    """Add the tensors of `value`, which has the form of `nest`; see `networks.inputs.nest_of`. Raises UsageError."""
    match nest:
        case {"tensor": number}:
            if not isinstance(value, torch.Tensor):
                raise UsageError(f"input {where}", f"of type {type(value).__name__}, not a tensor", _STORE_HINT)
            found[number] = (where, value)
        case {"list": items} | {"tuple": items} if isinstance(value, list | tuple) and len(value) == len(items):
            for i, (inner, each) in enumerate(zip(items, value, strict=True)):
                _match(inner, each, f"{where}.{i}" if where else str(i), found)
        case {"dict": items} if isinstance(value, Mapping) and value.keys() == items.keys():
            for name, inner in items.items():
                _match(inner, value[name], f"{where}.{name}" if where else name, found)
        case {"list": items} | {"tuple": items}:
            raise _other_form(where, value, f"{len(items)} inputs in order")
        case {"dict": items}:
            raise _other_form(where, value, f"the keywords {', '.join(items)}" if items else "no keywords")
        case _ if nest != value:
            raise UsageError(f"input {where}", f"{value!r}, but the network was stored with {nest!r}", _STORE_HINT)


def _other_form(where: str, value: Any, expected: str) -> UsageError:
    if isinstance(value, Mapping):
        actual = f"the keywords {', '.join(map(str, value))}" if value else "no keywords"
    else:
        actual = f"{len(value)} in order" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
    return UsageError(f"input {where}" if where else "the inputs", f"{actual} instead of {expected}", _STORE_HINT)


def _check(network: Network, found: Mapping[int, tuple[str, torch.Tensor]]) -> None:
    """Raise UsageError unless the tensors have the number, types and shapes of the stored inputs."""
    specs = network.samples[0].inputs[: len(network.own_inputs)]
    if len(found) != len(specs):
        raise UsageError("the inputs", f"{len(found)} tensors instead of {len(specs)}", _STORE_HINT)
    for i, spec in enumerate(specs):
        where, tensor = found[i]
        if tensor.device.type != "cpu":
            raise UsageError(f"input {where}", f"on the device {tensor.device}, not the CPU", "give it as x.cpu()")
        if tensor.layout != torch.strided:
            layout = str(tensor.layout).removeprefix("torch.")
            raise UsageError(f"input {where}", f"of the layout {layout}, not dense", "give it as x.to_dense()")
        actual = f"{str(tensor.dtype).removeprefix('torch.')} {[*tensor.shape]}"
        expected = f"{spec.dtype} {[*spec.shape]}"
        if actual != expected:
            raise UsageError(f"input {where}", f"{actual} instead of {expected}", _STORE_HINT)
