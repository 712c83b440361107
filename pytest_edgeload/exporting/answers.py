"""Run a module on its samples in plain PyTorch: the one place where the user's own module runs. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_flatten, tree_map_only

from pytest_edgeload.base.tracebacks import with_user_lines
from pytest_edgeload.exporting.advice import type_hint
from pytest_edgeload.exporting.feeding import next_sample, stored_feeds
from pytest_edgeload.exporting.model import CannotExport, check_type, check_weight, evaluation_mode, first_line
from pytest_edgeload.networks.feed import compared
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.tensors import check_plain, is_plain, tensors_in


class SampleAnswer(NamedTuple):
    """Plain PyTorch's outputs for a sample, their noise, and those of later steps; see `networks.layer.Sample`."""

    outputs: list[torch.Tensor]
    noise: torch.Tensor
    later: list[torch.Tensor]


def answers(module: torch.nn.Module, samples: Sequence[Inputs]) -> list[SampleAnswer]:
    """Return plain PyTorch's answer to each sample, before any export: an export may change the module's caches.

    Each starts with the buffers as they are. Raises CannotExport, with the user's own lines in a note, if the module
    fails; also for a sample that differs from the first one in more than the values of its tensors. Raises NotPlain for
    an input or output without bytes.
    """
    _check_tensors(module, samples)
    traced, results = signature(samples[0]), []
    for index, sample in enumerate(samples):
        if signature(sample) != traced:
            reason = "it differs from sample 0 in shapes, types or constants"
            raise CannotExport(f"sample {index}", reason, "make it a network of its own")
        results.append(_answer(module, sample, index))
    return results


def _check_tensors(module: torch.nn.Module, samples: Sequence[Inputs]) -> None:
    """Raise NotPlain for an input without bytes, and CannotExport for such a weight."""
    for index, sample in enumerate(samples):
        for i, tensor in enumerate(tensors_in((sample.args, sample.kwargs))):
            check_plain(f"input {i} of sample {index}", tensor)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if not is_lazy(tensor):  # it gets its values when the module runs
            check_weight(name, tensor)
            if not _can_change(tensor):
                check_type(name, tensor)


def call(module: torch.nn.Module, sample: Inputs, index: int = 0) -> Any:
    """Call the module in evaluation mode. Raises CannotExport if it fails."""
    try:
        return _call(module, sample, torch.clone)
    except Exception as error:
        hint = type_hint(module, sample, str(error)) or "correct the module or the sample"
        subject = f"{type(module).__name__} fails on sample {index}, in plain PyTorch"
        failure = CannotExport(subject, first_line(error), hint)
        raise with_user_lines(failure, error) from error


def _call(module: torch.nn.Module, sample: Inputs, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Call the module with changed copies of the inputs, because some modules write to their inputs."""
    args, kwargs = tree_map_only(torch.Tensor, change, (sample.args, dict(sample.kwargs)))
    with torch.no_grad(), evaluation_mode(module):
        return module(*args, **kwargs)


def _answer(module: torch.nn.Module, sample: Inputs, index: int) -> SampleAnswer:
    with kept_buffers(module):
        outputs = copied(call(module, sample, index))
        for i, tensor in enumerate(outputs):
            check_plain(f"output {i} of sample {index}", tensor)
        later = _later(module, sample, index, outputs)
    with kept_buffers(module):
        return SampleAnswer(outputs, _noise(module, sample, outputs), later)


@contextmanager
def kept_buffers(module: torch.nn.Module) -> Iterator[None]:
    """Give the buffers of a module their values back in the end, except those that have got another shape.

    Such a buffer is no state: the module has made it in its first call.
    """
    named = ((part, name, buffer) for part in module.modules() for name, buffer in part.named_buffers(recurse=False))
    kept = [(part, name, buffer, buffer.clone()) for part, name, buffer in named if _can_change(buffer)]
    try:
        yield
    finally:
        for part, name, buffer, values in kept:
            now = part.get_buffer(name)
            if (now.shape, now.dtype) == (values.shape, values.dtype) and not torch.equal(now, values):
                setattr(part, name, buffer)  # the module may have assigned another tensor
                buffer.copy_(values)


def _can_change(buffer: torch.Tensor) -> bool:
    """Return whether a module could change a buffer: PyTorch only stores some types, such as uint4."""
    try:
        torch.equal(torch.empty(1, dtype=buffer.dtype), torch.empty(1, dtype=buffer.dtype).clone())
    except NotImplementedError:
        return False
    return is_plain(buffer)


def copied(nest: Any) -> list[torch.Tensor]:
    """Return copies of the tensors of a nest: a module may return a buffer, which its next call changes."""
    return [tensor.clone() for tensor in tensors_in(nest)]


def _later(module: torch.nn.Module, sample: Inputs, index: int, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the outputs to compare after the first step; their first axis is the step. Raises CannotExport.

    The other outputs, such as a cache of keys and values, are gone with their step.
    """
    kept, later = compared(stored_feeds(sample), len(outputs)), list[torch.Tensor]()
    for step in range(sample.steps - 1):
        sample = next_sample(sample, outputs)
        outputs = copied(call(module, sample, index))
        found = [outputs[i] for i in kept]
        if not step:
            later = [tensor.new_empty((sample.steps - 1, *tensor.shape)) for tensor in found]
        for i, tensor, stacked in zip(kept, found, later, strict=True):
            if tensor.shape != stacked.shape[1:]:
                subject = f"output {i} of step {step + 2} of sample {index}"
                reason = f"it has shape {[*tensor.shape]}, but {[*stacked.shape[1:]]} in step 2"
                raise CannotExport(subject, reason, "give a module whose steps have the same shapes")
            stacked[step] = tensor
    return later


def _noise(module: torch.nn.Module, sample: Inputs, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the noise of a sample's outputs, see `Sample`: 0 for a module that refuses the moved inputs."""

    def move(tensor: torch.Tensor) -> torch.Tensor:
        return tensor * (1 + torch.finfo(tensor.dtype).eps) if tensor.is_floating_point() else tensor.clone()

    try:
        moved = tensors_in(_call(module, sample, move))
    except Exception:  # noqa: BLE001  # a module may check its inputs, and raise anything
        moved = []
    noise = torch.zeros(len(outputs), dtype=torch.float64)
    for i, (output, other) in enumerate(zip(outputs, moved, strict=False)):
        if output.is_floating_point() and output.shape == other.shape:
            differences = (output.double() - other.double()).abs()
            finite = differences[differences.isfinite()]
            noise[i] = finite.max() if finite.numel() else 0.0
    return noise


def signature(sample: Inputs) -> list[Any]:
    """Return all of a sample that is traced: its structure, shapes and types of its tensors, and its constants."""
    leaves, structure = tree_flatten((sample.args, dict(sample.kwargs)))
    return [structure, *((leaf.shape, leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves)]
