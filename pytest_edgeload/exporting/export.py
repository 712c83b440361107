"""Export an `nn.Module` with `torch.export` and have its graph cut into layers. Imports torch.

This file finds the inputs, outputs and weights of the graph, and refuses modules that cannot be compared or cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.fx import Graph, Node
from torch.utils._pytree import tree_leaves, tree_map_only

from pytest_edgeload.base.tracebacks import with_user_lines
from pytest_edgeload.exporting.advice import packed_part, way_out
from pytest_edgeload.exporting.cut import CutGraph, LayerDraft, cut_graph
from pytest_edgeload.exporting.entries import with_first_step
from pytest_edgeload.exporting.feeding import stored_feeds
from pytest_edgeload.exporting.model import CannotExport, check_weight, evaluation_mode, first_line, unchanged
from pytest_edgeload.exporting.names import names_of
from pytest_edgeload.exporting.operators import decomposed
from pytest_edgeload.exporting.ops import Placeholders, target_name
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs, as_inputs
from pytest_edgeload.tensors import is_plain

_NUMBERED = "lifted_tensor_"
_DRAWS_IF = {"train", "dropout_p"}
"""Arguments of operators that may draw random numbers; an operator draws only if its argument is true or not zero."""


@dataclass(frozen=True)
class LayeredModule:
    """A module cut into layers; weights are real tensors, values are names.

    `buffers` are the initial values of the last inputs: buffers that the module changes, by name. Their final values
    are as many of the last outputs, `freed_bytes` of which no other output holds. `first_outputs` are the outputs of
    the first step, if it has ops of its own. `dtypes` are the types of all values and weights.
    """

    layers: tuple[LayerDraft, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    feeds: tuple[Feed, ...] = ()
    buffers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    freed_bytes: int = 0
    first_outputs: tuple[str, ...] = ()
    dtypes: frozenset[torch.dtype] = frozenset()


def export(module: torch.nn.Module, sample: Any, later: Inputs | None = None) -> LayeredModule:
    """Cut `module`, called with `sample` in evaluation mode, into layers; `networks.inputs` describes samples.

    `later` are inputs of later steps, if these have other shapes; the layers then also have the ops of the first step.
    Raises CannotExport, with torch's reason in short, if torch cannot trace the module.
    """
    inputs = as_inputs(sample)
    programs = [_program(module, each) for each in ([inputs] if later is None else [later, inputs])]
    changed = sorted({name for program in programs for name in program.graph_signature.buffers_to_mutate.values()})
    entries = [_traced_graph(module, program, changed, stored_feeds(inputs)) for program in programs]
    cuts = _cut(entries)
    entry, cut = entries[0], cuts[0]
    layered = LayeredModule(
        cut.layers,
        entry.inputs,
        entry.outputs,
        entry.feeds,
        entry.buffers,
        cut.held_bytes(entry.outputs) - cut.held_bytes(entry.outputs[: len(entry.outputs) - len(entry.buffers)]),
        dtypes=frozenset().union(*(cut.dtypes for cut in cuts)),
    )
    if later is None:
        return layered
    return replace(layered, layers=with_first_step(cut.layers, cuts[1].layers), first_outputs=entries[1].outputs)


@dataclass(frozen=True)
class _TracedGraph:
    """The graph of a module for inputs of some shapes; its last inputs and outputs are `buffers`, which it changes."""

    graph: Graph
    weights: Placeholders
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    feeds: tuple[Feed, ...]
    buffers: Mapping[str, torch.Tensor]

    @property
    def passed(self) -> dict[str, str]:
        """The inputs that the next step gets from this one, and the outputs that they become."""
        same = (feed for feed in self.feeds if feed.rule == "same")
        return {self.inputs[int(feed.input)]: self.outputs[feed.output] for feed in same}


def _cut(entries: Sequence[_TracedGraph]) -> list[CutGraph]:
    """Cut the graphs into layers; none overwrites an input that shares memory with another one in any of them."""
    allowed = set(entries[0].passed)
    while True:
        cuts = [
            cut_graph(each.graph, each.weights, each.outputs, {n: o for n, o in each.passed.items() if n in allowed})
            for each in entries
        ]
        overwritten = set.intersection(*(set(cut.overwritten) for cut in cuts))
        if all(cut.overwritten == overwritten for cut in cuts):
            return cuts
        allowed = overwritten


def _program(module: torch.nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    """Return the exported program of `module` in evaluation mode. Raises CannotExport."""
    for tensor in tree_leaves((inputs.args, dict(inputs.kwargs))):
        if isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu":
            raise CannotExport("an input", f"it is on the device {tensor.device}", "make the samples on the CPU")
    try:
        with torch.no_grad(), evaluation_mode(module), unchanged(module):
            # Copies, because a slice would bring the whole tensor that it is a slice of.
            args, kwargs = tree_map_only(torch.Tensor, torch.clone, (inputs.args, dict(inputs.kwargs)))
            program = decomposed(_traced(module, args, kwargs))
    except CannotExport:
        raise
    except Exception as error:
        hint = way_out(module, inputs, str(error))
        if packed := packed_part(module):
            raise CannotExport(
                packed, "its weights are packed in an object, which torch.export cannot read", hint
            ) from error
        failure = CannotExport(f"torch.export cannot trace {type(module).__name__}", first_line(error), hint)
        raise with_user_lines(failure, error) from error
    _check_deterministic(program.graph)
    return program


def _traced_graph(
    module: torch.nn.Module, program: torch.export.ExportedProgram, changed: Sequence[str], feeds: Sequence[Feed]
) -> _TracedGraph:
    """Return the graph of a program, with the buffers in `changed` among its inputs and outputs."""
    weights, inputs, buffers = _placeholders(program, changed)
    weights = _named(weights, module)
    _check_layout(program.graph, weights)
    outputs, values = _outputs(program, weights)
    passed = (Feed(len(inputs) + i, len(outputs) + i) for i in range(len(buffers)))
    return _TracedGraph(
        program.graph,
        weights,
        (*inputs, *buffers),
        (*outputs, *(values.get(name, name) for name in buffers)),
        (*feeds, *passed),
        {program.graph_signature.inputs_to_buffers[name]: tensor for name, tensor in buffers.items()},
    )


def _traced(module: torch.nn.Module, args: Any, kwargs: Any) -> torch.export.ExportedProgram:
    """Return the exported program of a module.

    A module may hold a buffer in an object as well, such as a cache. Only the strict mode, which is slower and knows
    less of Python, sees that both are the same tensor.
    """
    program = torch.export.export(module, args, kwargs, strict=False)
    buffers = {tensor.data_ptr() for tensor in module.buffers() if is_plain(tensor) and tensor.nbytes}
    others = (program.constants[name] for name in program.graph_signature.lifted_tensor_constants)
    if any(is_plain(tensor) and tensor.data_ptr() in buffers for tensor in others):
        return torch.export.export(module, args, kwargs, strict=True)
    return program


def _check_deterministic(graph: Graph) -> None:
    """Raise CannotExport for an operator that draws random numbers, because its runs could not be compared."""
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags and _draws(node):
            raise CannotExport(
                target_name(node.target),
                "it draws random numbers, so no two runs agree",
                "call eval() before torch.export.export, or give a module that draws none",
            )


def _check_layout(graph: Graph, weights: Placeholders) -> None:
    """Raise CannotExport if an operator reads memory by strides, and a tensor is not contiguous, as it is stored."""
    strided = next((node for node in graph.nodes if "as_strided" in str(node.target)), None)
    if strided is None:
        return
    for node in graph.find_nodes(op="placeholder"):
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and not value.is_contiguous():
            name = weights[node.name][0] if node.name in weights else f"input {node.name}"
            reason = f"it depends on the layout of tensors, and {name} is not contiguous"
            raise CannotExport(target_name(strided.target), reason, "call contiguous() on it")


def _draws(node: Node) -> bool:
    """Return whether an operator that may draw random numbers does.

    Dropout and recurrence draw only in training, attention only with dropout.
    """
    arguments = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001  # that of an OpOverload
    for index, argument in enumerate(arguments):
        if argument.name in _DRAWS_IF:
            by_name = node.kwargs.get(argument.name, argument.default_value)
            return bool(node.args[index] if index < len(node.args) else by_name)
    return True


def _placeholders(
    program: torch.export.ExportedProgram, changed: Sequence[str]
) -> tuple[Placeholders, tuple[str, ...], Mapping[str, torch.Tensor]]:
    """Return the placeholders of weights, the names of the user's inputs in order, and the buffers in `changed`."""
    weights: dict[str, tuple[str, torch.Tensor]] = {}
    inputs: list[str] = []
    buffers: dict[str, torch.Tensor] = {}
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
                raise CannotExport(target, f"of type {type(tensor).__name__}, not a tensor")
            check_weight(target, tensor)
            if target in changed and spec.kind is InputKind.BUFFER:
                buffers[name] = tensor.detach()
            else:
                weights[name] = (target, tensor.detach())
        else:
            raise CannotExport(f"input {name}", f"of kind {spec.kind.name}, which has no weights to load")
    targets = program.graph_signature.inputs_to_buffers
    return weights, tuple(inputs), dict(sorted(buffers.items(), key=lambda item: targets[item[0]]))


def _named(weights: Placeholders, module: torch.nn.Module) -> Placeholders:
    """Give weights that are the same memory one name, so that they are stored, loaded and counted once.

    A tensor that torch has numbered, because the module does not register it, gets the name of its attribute.
    """
    names: dict[object, str] = {}
    taken = {target for target, _ in weights.values()}
    attributes = names_of(module) if any(target.startswith(_NUMBERED) for target in taken) else {}

    def name(target: str, tensor: torch.Tensor) -> str:
        if target.startswith(_NUMBERED):
            better = attributes.get(tensor.data_ptr(), target)
            target = target if better in taken else better
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) if tensor.nbytes else target
        return names.setdefault(place, target)

    return {placeholder: (name(target, tensor), tensor) for placeholder, (target, tensor) in weights.items()}


def _outputs(program: torch.export.ExportedProgram, weights: Placeholders) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the names of the outputs that are tensors, and of the new values of buffers by their placeholders.

    An output None is left out.
    """
    placeholders = {target: name for name, target in program.graph_signature.inputs_to_buffers.items()}
    outputs: list[str] = []
    changed: dict[str, str] = {}
    for spec in program.graph_signature.output_specs:
        if isinstance(spec.arg, ConstantArgument) and spec.arg.value is None:
            continue
        name = _output_name(spec.arg, spec.kind, spec.target, weights)
        if spec.kind is OutputKind.BUFFER_MUTATION:
            changed[placeholders[str(spec.target)]] = name
        else:
            outputs.append(name)
    return tuple(outputs), changed


def _output_name(argument: object, kind: OutputKind, target: str | None, weights: Placeholders) -> str:
    if kind is OutputKind.USER_INPUT_MUTATION:
        hint = "make it a buffer of the module, or let the module change a clone of it"
        raise CannotExport(f"input {target}", "the module changes it in place", hint)
    if kind not in {OutputKind.USER_OUTPUT, OutputKind.BUFFER_MUTATION}:
        raise CannotExport("the module", f"it changes its own state ({kind.name})", "give one that only computes")
    if not isinstance(argument, TensorArgument):
        raise CannotExport(f"output {argument}", "not a tensor", "give a module whose outputs are tensors")
    if argument.name in weights:
        weight, _ = weights[argument.name]
        raise CannotExport(f"output {weight}", "an unchanged weight", "give a module that computes its outputs")
    return argument.name
