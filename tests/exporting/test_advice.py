"""The hint for a module that cannot be exported is one that helps: it depends on what the module holds."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.exporting.advice import packed_part, way_out
from pytest_edgeload.exporting.export import export
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.inputs import Inputs
from tests.builders import stored
from tests.exporting.test_export import Composed, linear, rows

SAMPLE = Inputs((torch.rand(2, 6),))


def test_packed_weights_are_quantized_otherwise() -> None:
    """A module with packed weights is refused by the part that has them, with another way to quantize."""
    pytest.importorskip("torch.ao.quantization", reason="this PyTorch has no eager quantization")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this quantization deprecated
        module = torch.ao.quantization.quantize_dynamic(nn.Sequential(linear()), {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
        with pytest.raises(CannotExport, match=r"^0\._packed_params: its weights are packed in an object, .*; quan"):
            export(module, (rows(),))


def test_scripted_part_is_replaced() -> None:
    """A module with a TorchScript part is refused with the way to measure it as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
        part = torch.jit.trace(linear(), (rows(),))  # type: ignore[no-untyped-call]
    hint = way_out(nn.Sequential(part), SAMPLE, "any")
    assert hint == "give the module that it was made of, or measure this one with edge.call"
    assert not packed_part(nn.Sequential(part))


@pytest.mark.parametrize("dtype", ["uint4", "float4_e2m1fn_x2"])
def test_types_that_pytorch_only_stores_are_refused_by_name(tmp_path: Path, dtype: str) -> None:
    """A buffer of a type that PyTorch cannot even compare is refused like any other that files lack."""
    module = Composed(lambda m, x: x + m.a.numbers.view(torch.uint8), a=nn.Module())
    module.get_submodule("a").register_buffer("numbers", torch.ones(6, dtype=torch.uint8).view(getattr(torch, dtype)))
    with pytest.raises(CannotExport, match=r"^a\.numbers: of type .*, which cannot be stored; give view\(torch\.uint8"):
        stored(tmp_path, module, (rows(),))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Could not guard on data-dependent expression", "whose branches and sizes do not depend on the values"),
        ("Unsupported input type", "a module around it that takes and returns tensors"),
        ("expected the same dtype", "make the samples float32, as the weights are"),
        ("anything", "a module around it whose forward takes tensors"),
    ],
)
def test_other_hints_follow_from_the_message(message: str, words: str) -> None:
    """Without such parts, the message of torch decides."""
    sample = Inputs((torch.rand(1).double(),)) if "dtype" in message else SAMPLE
    assert words in way_out(Composed(lambda m, x: m.a(x), a=linear()), sample, message)
