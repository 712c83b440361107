"""Models that a test holds: the fingerprint changes with everything that the model computes, and with nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from pytest_edgeload.exporting.live import fingerprint, keep_live
from pytest_edgeload.networks.preparation import PreparationFailed
from tests.exporting.quantized import quantized
from tests.exporting.test_export import run_layers
from tests.test_tensors import nested

X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Net(nn.Module):
    """Computes by settings that are no weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.activation = nn.Linear(4, 3), nn.ReLU()
        self.scale, self.flag, self.shift = 2.0, False, torch.zeros(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Use each of the settings."""
        y: torch.Tensor = self.activation(self.layer(x)) * self.scale + self.shift
        return y.flip(1) if self.flag else y


def _marked(net: Any) -> str:
    return fingerprint("net", net, [(X,)])


def change_forward(net: Net) -> None:
    net.forward = lambda x: net.layer(x) + 1  # type: ignore[method-assign]  # users do so


CHANGES: dict[str, Callable[[Net], Any]] = {
    "activation": lambda net: setattr(net, "activation", nn.GELU()),
    "scale": lambda net: setattr(net, "scale", 3.0),
    "flag": lambda net: setattr(net, "flag", True),
    "tensor without registration": lambda net: net.shift.add_(1),
    "hook": lambda net: net.layer.register_forward_hook(lambda *given: given[2] * 2),
    "forward": change_forward,
    "weight": lambda net: net.layer.weight.data.mul_(2),
    "one number of a bias": lambda net: net.layer.bias.data[0].add_(1),
    "part": lambda net: setattr(net, "layer", nn.Linear(4, 3, bias=False)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with_the_computation(change: str) -> None:
    """A change of a setting, a hook, a function or a weight is another fingerprint, and undone it is the first."""
    net = Net()
    before = _marked(net)
    assert _marked(net) == _marked(Net()) == before
    CHANGES[change](net)
    assert _marked(net) != before


def test_fingerprint_changes_with_samples() -> None:
    """Another value, type or number of samples is another fingerprint."""
    samples: list[list[Any]] = [[(X,)], [(X + 1,)], [(X,), (X,)], [{"x": X}]]
    assert len({fingerprint("net", Net(), each) for each in samples}) == len(samples)


def test_quantized_weight_is_stored_as_its_parts(tmp_path: Path) -> None:
    """A module whose weight wraps other tensors computes the same in layers, from the 8-bit numbers and the scale."""
    net = nn.Sequential(quantized(nn.Linear(4, 3)), nn.ReLU())
    before = fingerprint("net", net, [(X,)])
    seen = run_layers(tmp_path, net, (X,))
    assert seen.errors == [0.0]
    assert {spec.dtype for layer in seen.network.layers for spec in layer.weights} == {"float32", "int8"}
    net[0].weight.scale.mul_(2)  # type: ignore[union-attr, operator]  # Sequential has no types
    assert fingerprint("net", net, [(X,)]) != before


class Cached(nn.Module):
    """Keeps a tensor of its first call, as some detectors keep their grids."""

    grid: torch.Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.by_size = nn.Linear(4, 4), dict[int, torch.Tensor]()
        self.register_buffer("steps", torch.zeros(0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Make the tensors if they are missing, and use them."""
        if self.grid is None:
            self.grid = torch.arange(4.0) + x.new_zeros(1)
            self.steps = torch.arange(4.0)
        grid = self.by_size.setdefault(x.shape[1], torch.arange(4.0) * 2)
        moved: torch.Tensor = self.layer(x) + self.grid + self.steps + grid
        return moved


def test_caches_of_a_module_survive_its_export(tmp_path: Path) -> None:
    """A module that keeps tensors of its first call is stored with right outputs, and computes as before."""
    net = Cached()
    keep_live(tmp_path / "live", "net", net, [(X,)])
    assert torch.equal(net(X), net(X))
    assert run_layers(tmp_path, net, (X,)).errors == [0.0]


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.ones(3)


def missing(net: Any) -> None:
    net.activation = nn.Embedding(2, 3)


def sparse(net: Net) -> None:
    net.layer.weight = nn.Parameter(net.layer.weight.detach().to_sparse(), requires_grad=False)


@pytest.mark.parametrize(
    ("harm", "sample", "words"),
    [
        (sparse, X, r"layer.weight: of the layout sparse_coo, whose values are not in one piece; give a dense tensor$"),
        (lambda net: net.register_buffer("b", fake()), X, "b: a FakeTensor without values in memory$"),
        (lambda net: net.layer.weight.untyped_storage().resize_(0), X, "layer.weight: a Parameter without values in"),
        (lambda _: None, X.to_sparse(), "input 0 of sample 0: of the layout sparse_coo, whose"),
        (lambda _: None, nested(torch.strided), "input 0 of sample 0: of the layout nested, whose"),
        (
            lambda _: None,
            X.double(),
            "Net fails on sample 0, in plain PyTorch: RuntimeError: .*; make the samples float32,",
        ),
        (missing, X, "Net fails on sample 0, in plain PyTorch: RuntimeError: Expected .*; correct the module or the"),
    ],
    ids=["sparse", "fake", "resized", "sample", "nested", "type of a sample", "type of a value"],
)
def test_model_is_refused_by_name(tmp_path: Path, harm: Callable[[Net], Any], sample: torch.Tensor, words: str) -> None:
    """A model with a tensor that has no bytes, and a model that fails, are refused in one sentence."""
    net = Net()
    harm(net)
    with pytest.raises(PreparationFailed, match=f"^network net could not be made: {words}"):
        keep_live(tmp_path, "net", net, [(sample,)])


def test_error_of_the_module_shows_the_users_lines(tmp_path: Path) -> None:
    """An error of the user's own code names the lines that raised it, without those of torch and of the plugin."""
    with pytest.raises(PreparationFailed) as failed:
        keep_live(tmp_path, "net", Net(), [(X[:, :3],)])
    [note] = failed.value.__notes__
    assert "self.activation(self.layer(x)) * self.scale" in note
    assert "exporting" not in note.replace(__file__, "")
    assert "nn/modules" not in note


def test_an_export_does_not_fill_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An export adds none of torch's debug lines to the log of a test that captures all of it; levels stay."""
    caplog.set_level(logging.DEBUG)
    levels = {name: logging.getLogger(name).level for name in ("torch", "torch.export", "torch.__trace")}
    keep_live(tmp_path, "net", torch.nn.Linear(2, 2), [(torch.rand(1, 2),)])
    assert [record for record in caplog.records if record.name.startswith("torch")] == []
    assert levels == {name: logging.getLogger(name).level for name in levels}
