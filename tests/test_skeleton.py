"""Skeletons: modules without weights that a worker fills from files."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_edgeload import assign_weights, skeleton
from pytest_edgeload.exporting.weightless import NoSkeleton, write_skeleton

CLASS = """
from torch import nn

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(200, 64), nn.Linear(64, 200, bias=False)
        self.head.weight = self.words.weight
        self.register_buffer("scale", nn.Parameter().new_tensor([3.0]), persistent=False)
        self.act = lambda x: x * self.scale

    def forward(self, ids):
        return self.head(self.act(self.words(ids)))
"""

READ = """
import sys, torch
from pathlib import Path
from safetensors.torch import load_file
from pytest_edgeload import assign_weights, skeleton

folder = Path(sys.argv[1])
module = assign_weights(skeleton.read(folder), load_file(folder / "w.safetensors"))
assert module.head.weight is module.words.weight
assert not module.training
torch.save(module(torch.arange(5)), folder / "answer.pt")
"""


def test_module_of_a_class_that_cannot_be_imported_travels_without_weights(tmp_path: Path) -> None:
    """A class by value, a function in an attribute, a tied weight and a buffer outside of the weights arrive."""
    own = types.ModuleType("own")
    sys.modules["own"] = own
    try:
        exec(CLASS, own.__dict__)  # noqa: S102  # like the module of a test
        module = own.Tied().eval()
        write_skeleton(module, (), tmp_path, [own])
    finally:
        del sys.modules["own"]
    save_file({"words.weight": module.words.weight}, tmp_path / "w.safetensors")
    assert (tmp_path / skeleton.FILE).stat().st_size < module.words.weight.nbytes / 4
    subprocess.run([sys.executable, "-c", READ, tmp_path], check=True)
    assert torch.equal(torch.load(tmp_path / "answer.pt"), module(torch.arange(5)))


def test_exported_program_is_refused(tmp_path: Path) -> None:
    """The module of an exported program cannot be pickled; the message names the way out."""
    module = torch.export.export(nn.Linear(3, 2), (torch.ones(1, 3),)).module()
    with pytest.raises(NoSkeleton, match=r"^it is an exported program, which no worker can load; give the module"):
        write_skeleton(module, (), tmp_path)


def test_module_that_cannot_be_pickled_is_refused(tmp_path: Path) -> None:
    """A module with an object that no process can send is refused in one sentence."""
    module = nn.Linear(1, 1)
    module.lock = open(tmp_path / "log", "w")  # type: ignore[assignment]  # noqa: SIM115, PTH123
    with pytest.raises(NoSkeleton, match=r"^its module cannot be pickled \(.*\); run it under a policy$"):
        write_skeleton(module, (), tmp_path)


def test_unknown_names_and_other_weights_are_left_alone() -> None:
    """Names that the module does not have are ignored, and weights without a name stay."""
    module = nn.Linear(2, 1)
    weight = module.weight
    assert assign_weights(module, {"bias": torch.ones(1), "other": torch.ones(1)}) is module
    assert module.weight is weight
    assert module.bias.tolist() == [1.0]
