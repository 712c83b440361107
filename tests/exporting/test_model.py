"""Programs and files in place of modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.exporting.model import NoModel, open_model
from tests.exporting.test_export import Made, carried, linear, rows


def _program(**options: Any) -> torch.export.ExportedProgram:
    module = Made(lambda m, x, scale: m.a(x) * m.kept * scale, a=linear(), kept=torch.rand(6))
    return torch.export.export(module.eval(), (rows(), torch.rand(6)), strict=False, **options)


@pytest.mark.parametrize("way", ["program", "file"])
@pytest.mark.parametrize("shapes", [None, ({0: torch.export.Dim("rows", min=2, max=9)}, None)])
def test_a_program_is_stored(tmp_path: Path, way: str, shapes: Any) -> None:
    """A program computes what it did, at hand or from a file, of fixed shapes or not; its own inputs are the sample."""
    program: Any = _program(dynamic_shapes={"inputs": shapes} if shapes else None)
    if way == "file":
        torch.export.save(program, tmp_path / "saved.pt2")
        program = tmp_path / "saved.pt2"
    module, [sample] = open_model(program)
    seen = carried(tmp_path, module, sample)
    assert seen.errors == [0.0]
    assert [layer.name for layer in seen.network.layers] == ["a"]
    other = open_model((program, [(rows(), torch.rand(6))]))[1]
    assert len(other) == 1
    assert not torch.equal(other[0].args[0], sample.args[0])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (3, "^the model is of type int; give an nn.Module, an ExportedProgram or the path of a .pt2 file$"),
        (nn.ReLU(), r"^ReLU comes without samples; give a list of them beside it, as in \[\(x,\)\]$"),
        ((nn.ReLU(), []), "^ReLU comes without samples"),
        ((nn.ReLU(), torch.rand(2)), "^the samples are of type Tensor; give a list of samples$"),
        ("no/such.pt2", "^there is no file no/such.pt2; save the program there by torch.export.save$"),
    ],
)
def test_what_is_no_model(made: Any, words: str) -> None:
    """What is no model, or has no samples, is refused by what it is."""
    with pytest.raises(Refusal, match=words):
        open_model(made)


@pytest.mark.parametrize("harm", [lambda data: data[:-100], lambda _: b"", lambda _: b"PK" + bytes(100)])
def test_a_damaged_file(tmp_path: Path, harm: Any) -> None:
    """A file that is not what was saved is refused in one line that says which and what to do."""
    path = tmp_path / "saved.pt2"
    torch.export.save(_program(), path)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(
        NoModel, match=rf"^{path} cannot be read as an exported program \(.*\); save it anew by torch\."
    ) as no:
        open_model(path)
    assert "\n" not in str(no.value)
    assert len(str(no.value)) < 500
