"""An `nn.Module` becomes layers through `torch.export`. Imports torch; runs in the preparation process only.

A layer begins where an op first uses a weight of two or more dimensions that the current layer does not hold yet, so
convolutions, linear layers and embeddings begin one, and their biases, normalisations and activations belong to it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.fx import Graph, Node
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.exporting.model import evaluating, first_line
from pytest_edgeload.networks.inputs import as_inputs
from pytest_edgeload.networks.layer import Op

_BEGINS_LAYER_NDIM = 2
_SAME_RESULT_ANY_STRIDES = {"aten.view.default": "aten.reshape.default"}
_REAL_WEIGHTS = "give a module on the CPU, or one without weights and the checkpoint that has them"
_DRAWS_IF = {"train", "dropout_p"}
"""What the arguments are called that say whether an operator that may draw random numbers does."""

_NO_EFFECT = {"aten._assert_tensor_metadata.default", "aten._assert_async.msg", "aten.sym_constrain_range.default"}


class CannotExport(Refusal):
    """The module holds something that cannot be cut into layers; the message says what."""


@dataclass
class Cut:
    """One layer while it is being cut: its weights by name, its ops, and the figures of `layer.Layer`."""

    name: str
    kind: str
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    activation_bytes: int = 0
    live_out_bytes: int = 0
    flops: int = 0


@dataclass(frozen=True)
class Exported:
    """A module cut into layers; weights are real tensors, values are names."""

    cuts: tuple[Cut, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def export(module: torch.nn.Module, sample: Any) -> Exported:
    """Cut `module`, called with `sample` in evaluation mode, into layers; see `inputs` for what a sample is.

    Raises CannotExport with torch's reason, in short, and a way out when torch cannot trace it.
    """
    inputs = as_inputs(sample)
    for tensor in tree_leaves((inputs.args, dict(inputs.kwargs))):
        if isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu":
            raise CannotExport(f"an input is on the device {tensor.device}; make the samples on the CPU")
    try:
        with torch.no_grad(), evaluating(module):
            # Copies, for a slice would bring all that it is a slice of.
            args, kwargs = tree_map_only(torch.Tensor, torch.clone, (inputs.args, dict(inputs.kwargs)))
            program = torch.export.export(module, args, kwargs, strict=False).run_decompositions({})
    except Exception as error:
        reason = f"torch.export cannot trace {type(module).__name__}: {first_line(error)}"
        raise CannotExport(f"{reason}; {_way_out(str(error))}") from error
    _check_certain(program.graph)
    weights, names = _placeholders(program)
    outputs = _outputs(program, weights)
    steps = list(_steps(program.graph, weights))
    cuts = _cut(steps, weights)
    _account(cuts, _last_uses(steps, outputs), program.graph, weights)
    return Exported(tuple(cut for cut, _ in cuts), names, outputs)


def _way_out(message: str) -> str:
    """Return what to do about what torch says."""
    if "data-dependent" in message:
        return "give a module whose branches and sizes do not depend on the values of tensors"
    if "pytree" in message or "input type" in message:
        return "give a module around it that takes and returns tensors, in tuples, lists and dicts"
    return "give a module around it whose forward takes tensors, computes, and returns tensors"


def _check_certain(graph: Graph) -> None:
    """Raise CannotExport for an operator that draws random numbers: no run could be compared with another."""
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags and _draws(node):
            raise CannotExport(
                f"{target_name(node.target)} draws random numbers, so no two runs agree; "
                "call eval() before torch.export.export, or give a module that draws none"
            )


def _draws(node: Node) -> bool:
    """Tell whether an operator that may draw does: dropout and recurrence only in training, attention with dropout."""
    arguments = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001  # that of an OpOverload
    for index, argument in enumerate(arguments):
        if argument.name in _DRAWS_IF:
            given = node.kwargs.get(argument.name, argument.default_value)
            return bool(node.args[index] if index < len(node.args) else given)
    return True


def _placeholders(program: torch.export.ExportedProgram) -> tuple[dict[str, tuple[str, torch.Tensor]], tuple[str, ...]]:
    """Return placeholder -> (weight name, tensor), and the names of the user's inputs in order."""
    weights: dict[str, tuple[str, torch.Tensor]] = {}
    inputs: list[str] = []
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.kind is InputKind.USER_INPUT:
            if isinstance(spec.arg, ConstantArgument):
                continue
            inputs.append(name)
        elif spec.kind in {InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR}:
            target = str(spec.target)
            tensor = program.state_dict[target] if target in program.state_dict else program.constants[target]
            if not isinstance(tensor, torch.Tensor):
                raise CannotExport(f"{target} is a {type(tensor).__name__}, not a tensor")
            if tensor.device.type != "cpu":
                raise CannotExport(f"{target} is on the device {tensor.device}; {_REAL_WEIGHTS}")
            weights[name] = (target, tensor.detach())
        else:
            raise CannotExport(f"input {name} is of kind {spec.kind.name}, which has no weights to load")
    return weights, tuple(inputs)


def _outputs(program: torch.export.ExportedProgram, weights: Mapping[str, tuple[str, torch.Tensor]]) -> tuple[str, ...]:
    """Return the names of the outputs that are tensors; None among them is no output."""
    specs = program.graph_signature.output_specs
    return tuple(
        _output_name(spec.arg, spec.kind, weights)
        for spec in specs
        if not (isinstance(spec.arg, ConstantArgument) and spec.arg.value is None)
    )


def _output_name(argument: object, kind: OutputKind, weights: Mapping[str, tuple[str, torch.Tensor]]) -> str:
    if kind is not OutputKind.USER_OUTPUT:
        raise CannotExport(f"the module changes its own state ({kind.name}); give one that only computes")
    if not isinstance(argument, TensorArgument):
        raise CannotExport(f"output {argument} is not a tensor; give a module whose outputs are tensors")
    if argument.name in weights:
        raise CannotExport(
            f"output {weights[argument.name][0]} is a weight as it is; give a module that computes its outputs"
        )
    return argument.name


@dataclass(frozen=True)
class _Step:
    """A node and, where it reads weights through views, the nodes that make these views."""

    node: Node
    weights: tuple[str, ...]
    views: tuple[Node, ...]


def _steps(graph: Graph, weights: Mapping[str, tuple[str, torch.Tensor]]) -> Iterator[_Step]:
    """Yield the nodes that compute values, each with the placeholders of the weights it needs.

    What is computed from weights alone (a slice of a fused projection, a transposed kernel) is not a value: it is
    computed anew in each layer that uses it, so that it never outlives the layer's weights.
    """
    derived: dict[Node, tuple[tuple[str, ...], tuple[Node, ...]]] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            if node.name in weights:
                derived[node] = ((node.name,), ())
        elif node.op == "call_function" and target_name(node.target) not in _NO_EFFECT:
            sources = node.all_input_nodes
            needed = tuple(dict.fromkeys(w for s in sources if s in derived for w in derived[s][0]))
            views = tuple(dict.fromkeys(v for s in sources if s in derived for v in derived[s][1]))
            if sources and all(source in derived for source in sources):
                if any(user.op == "output" for user in node.users):
                    raise CannotExport(f"output {node.name} is made of weights alone; give one that uses the inputs")
                derived[node] = (needed, (*views, node))
            else:
                yield _Step(node, needed, views)
        elif node.op not in {"output", "call_function"}:
            raise CannotExport(f"{node.format_node()} cannot be cut into layers")


def _cut(steps: Sequence[_Step], weights: Mapping[str, tuple[str, torch.Tensor]]) -> list[tuple[Cut, list[_Step]]]:
    """Group `steps` into layers."""
    cuts: list[tuple[Cut, list[_Step]]] = []
    for step in steps:
        new = {weights[w][0]: weights[w][1] for w in step.weights}
        held = cuts[-1][0].weights if cuts else {}
        heavy = [name for name, tensor in new.items() if tensor.ndim >= _BEGINS_LAYER_NDIM and name not in held]
        # Ops before the first weighted one belong to the first layer: nothing could be loaded for them.
        if not cuts or (heavy and any(t.ndim >= _BEGINS_LAYER_NDIM for t in held.values())):
            cuts.append((Cut(name="", kind=""), []))
        cut, members = cuts[-1]
        if heavy and not cut.name:
            cut.name = heavy[0].rpartition(".")[0] or heavy[0]
            cut.kind = target_name(step.node.target).split(".")[1]
        cut.weights.update(new)
        members.append(step)
    for index, (cut, _) in enumerate(cuts):
        cut.name = cut.name or f"layer{index}"
        cut.kind = cut.kind or "other"
    return cuts


def _last_uses(steps: Sequence[_Step], outputs: Sequence[str]) -> dict[str, int]:
    """Return for each value the index of the step that uses it last; outputs are used until the end."""
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        last.setdefault(step.node.name, index)
        for node in (step.node, *step.views):
            last.update((source.name, index) for source in node.all_input_nodes)
    last.update((name, len(steps)) for name in outputs)
    return last


def _account(
    cuts: Sequence[tuple[Cut, list[_Step]]],
    last: Mapping[str, int],
    graph: Graph,
    weights: Mapping[str, tuple[str, torch.Tensor]],
) -> None:
    """Fill in ops, bytes and FLOPs of each layer by running the graph on fake tensors: shapes without data."""
    fake = {node.name: node.meta["val"] for node in graph.nodes if node.op == "placeholder"}
    weight_storages = {_storage(fake[name])[0] for name in weights if isinstance(fake[name], torch.Tensor)}
    live = {name: value for name, value in fake.items() if name not in weights and isinstance(value, torch.Tensor)}
    values: dict[str, Any] = dict(fake)
    position = 0
    for cut, members in cuts:
        made: set[str] = set()
        for step in members:
            for node in (*(view for view in step.views if view.name not in made), step.node):
                values[node.name] = _fake_call(node, values, cut)
                live[node.name] = values[node.name]
                cut.activation_bytes = max(cut.activation_bytes, _live_bytes(live, weight_storages))
                if node is not step.node:
                    made.add(node.name)
                drops = [n for n in live if n not in made and last.get(n, -1) <= position] if node is step.node else []
                if node is members[-1].node:
                    drops += sorted(made)
                for name in drops:
                    del live[name]
                cut.ops.append(_op(node, weights, drops))
            position += 1
        cut.live_out_bytes = _live_bytes(live, weight_storages)


def _fake_call(node: Node, values: Mapping[str, Any], cut: Cut) -> Any:
    def look_up(source: Node) -> Any:
        return values[source.name]

    args = torch.fx.map_arg(node.args, look_up)
    kwargs = torch.fx.map_arg(node.kwargs, look_up)
    if not callable(node.target):
        raise CannotExport(f"{node.format_node()} calls nothing")
    first = next((leaf for leaf in tree_leaves([values[s.name] for s in node.all_input_nodes]) if _is_fake(leaf)), None)
    if first is None:
        return node.meta["val"]
    with first.fake_mode, FlopCounterMode(display=False) as counter:
        result = node.target(*args, **kwargs)
    cut.flops += counter.get_total_flops()
    return result


def _is_fake(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor) and hasattr(leaf, "fake_mode")


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return storage._cdata, int(storage.nbytes())  # noqa: SLF001  # the only identity a storage without data has


def _live_bytes(live: Mapping[str, Any], weight_storages: set[int]) -> int:
    """Bytes of the storages behind all live values; views of one storage count once, weights do not count."""
    storages = dict(_storage(leaf) for leaf in tree_leaves(dict(live)) if isinstance(leaf, torch.Tensor))
    return sum(size for storage, size in storages.items() if storage not in weight_storages)


def target_name(target: object) -> str:
    """Return the name under which the worker finds the op `target`: `aten.conv2d.default`, `getitem`."""
    if target is operator.getitem:
        return "getitem"
    if isinstance(target, torch._ops.OpOverload):  # noqa: SLF001  # the class has no public name
        return str(target)
    raise CannotExport(f"{target} is no tensor operator; data-dependent sizes and branches cannot be cut into layers")


def _op(node: Node, weights: Mapping[str, tuple[str, torch.Tensor]], drops: Sequence[str]) -> Op:
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
    """Return `argument` as JSON; the worker's `kernels.bind` is its inverse. Raises CannotExport."""
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
            raise CannotExport(f"an operator's argument {argument!r} cannot be stored")
