"""Models that are programs or files rather than modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.exporting.model import CannotExport, NoModel, check_type, open_model
from tests.exporting.test_export import Composed, linear, rows, run_layers


def _program(**options: Any) -> torch.export.ExportedProgram:
    module = Composed(lambda m, x, scale: m.a(x) * m.kept * scale, a=linear(), kept=torch.rand(6))
    return torch.export.export(module.eval(), (rows(), torch.rand(6)), strict=False, **options)


@pytest.mark.parametrize("source", ["program", "file"])
@pytest.mark.parametrize("shapes", [None, ({0: torch.export.Dim("rows", min=2, max=9)}, None)])
def test_program_computes_what_it_did(tmp_path: Path, source: str, shapes: Any) -> None:
    """A program, given or from a file, of fixed shapes or not, computes as before; its own inputs are the sample."""
    program: Any = _program(dynamic_shapes={"inputs": shapes} if shapes else None)
    if source == "file":
        torch.export.save(program, tmp_path / "saved.pt2")
        program = tmp_path / "saved.pt2"
    module, [sample] = open_model(program)
    seen = run_layers(tmp_path, module, sample)
    assert seen.errors == [0.0]
    assert [layer.name for layer in seen.network.layers] == ["a"]
    other = open_model((program, [(rows(), torch.rand(6))]))[1]
    assert len(other) == 1
    assert not torch.equal(other[0].args[0], sample.args[0])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (3, "^the model: of type int, not a module; give an nn.Module, an ExportedProgram or the path of a .pt2 file,"),
        ("net.onnx", "^the model net.onnx: an ONNX model, which cannot be cut into layers; measure the program that"),
        (
            torch.jit.ScriptModule(),
            "^ScriptModule: a TorchScript module, which torch.export cannot trace; give the module that it was made",
        ),
        (nn.ReLU(), r"^ReLU: it has no samples; give a list of them next to it, as in \[\(x,\)\]$"),
        ((nn.ReLU(), []), "^ReLU: it has no samples"),
        ((nn.ReLU(), torch.rand(2)), "^the samples: of type Tensor, not a list; give a list of samples$"),
        ("no/such.pt2", "^no/such.pt2: no such file; save the program there with torch.export.save$"),
    ],
)
def test_other_values_are_refused(made: Any, words: str) -> None:
    """A value that is not a model, or has no samples, is refused by its type."""
    with pytest.raises(Refusal, match=words):
        open_model(made)


def test_pointer_in_place_of_a_program_is_named(tmp_path: Path) -> None:
    """A Git LFS pointer is refused as such, with the command that fetches the file."""
    path = tmp_path / "saved.pt2"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4996\n")
    with pytest.raises(Refusal, match=r"saved.pt2: it is a Git LFS pointer, not the file itself; run git lfs pull$"):
        open_model(path)


@pytest.mark.parametrize("harm", [lambda data: data[:-100], lambda _: b"", lambda _: b"PK" + bytes(100)])
def test_damaged_file_is_refused(tmp_path: Path, harm: Any) -> None:
    """A damaged file is refused in one line with its path and a hint."""
    path = tmp_path / "saved.pt2"
    torch.export.save(_program(), path)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(
        NoModel, match=rf"^{path}: cannot be read as an exported program \(.*\); save it again with torch\."
    ) as no:
        open_model(path)
    assert "\n" not in str(no.value)
    assert len(str(no.value)) < 500


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        (torch.complex64, "give torch.view_as_real of it"),
        (torch.float8_e8m0fnu, r"give view\(torch.uint8\) of it, and view it as its own type in forward"),
        (torch.uint16, "give int32 or int64"),
    ],
)
def test_weight_of_a_type_that_cannot_be_stored_is_named(dtype: torch.dtype, hint: str) -> None:
    """A weight of a type that files lack is refused with its name, its type and another type."""
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(CannotExport, match=rf"^inner\.weight: of type {name}, which cannot be stored; {hint}$"):
        check_type("inner.weight", torch.zeros(2, dtype=torch.uint8).to(dtype))
