"""The networks have the sizes of the 2020 study, and outputs that reveal mistakes.

Each network is built once, and only one is held at a time.
"""

from __future__ import annotations

import gc
import itertools
import pkgutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models import NETWORKS


@dataclass(frozen=True)
class Expected:
    """The known properties of a network; the rounded figures are those of EdgeCaffe."""

    numbers: int  # parameters, and the running statistics of BatchNorm
    weights_mb: float
    split: tuple[int, int]  # convolutions, linear layers
    largest_mb: float
    macs: int
    side: int
    output: tuple[int, ...]


EXPECTED = {
    "age_net": Expected(11_415_048, 45.7, (3, 3), 38.5, 709_253_120, 227, (1, 8)),
    "gender_net": Expected(11_411_970, 45.6, (3, 3), 38.5, 709_250_048, 227, (1, 2)),
    "emotion_net": Expected(98_840_199, 395.4, (5, 3), 302.0, 2_633_640_992, 224, (1, 7)),
    "mem_net": Expected(56_872_321, 227.5, (5, 3), 151.0, 720_314_912, 227, (1, 1)),
    "object_net": Expected(143_667_240, 574.7, (16, 3), 411.1, 19_632_062_464, 224, (1, 1000)),
    "scene_net": Expected(57_708_109, 230.8, (5, 3), 151.0, 721_150_496, 227, (1, 205)),
    "sos_net": Expected(56_888_709, 227.6, (5, 3), 151.0, 720_331_296, 227, (1, 5)),
    "face_net": Expected(56_876_418, 227.5, (8, 0), 151.0, 720_319_008, 227, (1, 2, 1, 1)),
    "tiny_yolo": Expected(16_175_385, 64.7, (9, 0), 37.7, 3_172_663_296, 416, (1, 425, 12, 12)),
    "sos_googlenet": Expected(5_978_677, 23.9, (57, 1), 2.7, 1_581_652_992, 224, (1, 5)),
}


@dataclass(frozen=True)
class Built:
    """A network with its samples, its outputs for them, and the multiplications for the first."""

    name: str
    module: nn.Module
    samples: list[tuple[torch.Tensor, ...]]
    outputs: list[torch.Tensor]
    macs: int

    @property
    def expected(self) -> Expected:
        """The known properties of this network."""
        return EXPECTED[self.name]

    @property
    def weighted(self) -> list[nn.Module]:
        """The convolutions and linear layers."""
        return [layer for layer in self.module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


@pytest.fixture(scope="module", params=NETWORKS)
def built(request: pytest.FixtureRequest) -> Built:
    """Build one network and run it on its samples."""
    gc.collect()  # an exported graph holds the previous network in a cycle
    module, samples = make(request.param)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as flops:
            outputs = [module(*samples[0])]
        outputs += [module(*sample) for sample in samples[1:]]
    return Built(request.param, module, samples, outputs, flops.get_total_flops() // 2)


def make(name: str) -> tuple[nn.Module, list[tuple[torch.Tensor, ...]]]:
    function: Any = pkgutil.resolve_name(NETWORKS[name])
    module, samples = function()
    assert isinstance(module, nn.Module)
    return module, samples


def numbers_of(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values() if tensor.is_floating_point())


def megabytes(numbers: int) -> float:
    return 4 * numbers / 1e6


def test_table_contains_the_ten_networks_in_order() -> None:
    """The table contains exactly the networks with known properties."""
    assert list(NETWORKS) == list(EXPECTED)


def test_table_does_not_import_torch() -> None:
    """Importing `models` does not import torch."""
    code = "import sys, models; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_number_of_parameters_is_exact(built: Built) -> None:
    """A network has exactly the parameters and statistics that its layers require."""
    assert numbers_of(built.module) == built.expected.numbers


def test_weights_have_the_size_of_the_study(built: Built) -> None:
    """The float32 weights of a network have the size of EdgeCaffe's."""
    assert megabytes(numbers_of(built.module)) == pytest.approx(built.expected.weights_mb, abs=0.05)


def test_layer_counts_are_those_of_the_study(built: Built) -> None:
    """A network has as many convolutions and linear layers as EdgeCaffe's."""
    convs = sum(isinstance(layer, nn.Conv2d) for layer in built.weighted)
    assert (convs, len(built.weighted) - convs) == built.expected.split


def test_largest_layer_has_the_size_of_the_study(built: Built) -> None:
    """The largest layer of a network, with its bias, has the size of EdgeCaffe's."""
    largest = max(numbers_of(layer) for layer in built.weighted)
    assert megabytes(largest) == pytest.approx(built.expected.largest_mb, abs=0.05)


def test_number_of_multiplications_is_exact(built: Built) -> None:
    """One inference takes exactly the multiplications that the layers require."""
    assert built.macs == built.expected.macs


def test_every_module_is_in_eval_mode(built: Built) -> None:
    """All modules of a network are in eval mode."""
    assert not any(part.training for part in built.module.modules())


def test_three_samples_have_the_input_shape(built: Built) -> None:
    """A network has three samples, each one image of the input's size."""
    side = built.expected.side
    assert [[tuple(x.shape) for x in sample] for sample in built.samples] == [[(1, 3, side, side)]] * 3


def test_outputs_have_the_expected_shape(built: Built) -> None:
    """Each sample gives an output of the network's shape."""
    assert {tuple(output.shape) for output in built.outputs} == {built.expected.output}


def test_outputs_are_finite(built: Built) -> None:
    """No output contains infinity or NaN, and no softmax is saturated."""
    for output in built.outputs:
        assert output.isfinite().all()
        assert output.abs().max() > 0.01
    if isinstance(list(built.module.children())[-1], nn.Softmax):
        assert max(output.max().item() for output in built.outputs) < 0.99


def test_outputs_depend_on_the_input(built: Built) -> None:
    """Any two samples give outputs that differ by a tenth of their size or more."""
    for a, b in itertools.combinations(built.outputs, 2):
        assert torch.dist(a, b) > 0.1 * max(a.norm(), b.norm())


def test_every_tensor_is_initialized(built: Built) -> None:
    """Every tensor is initialized: finite, with different values."""
    for name, tensor in built.module.state_dict().items():
        assert tensor.isfinite().all(), name
        assert tensor.dim() == 0 or tensor.numel() == 1 or tensor.flatten()[0] != tensor.flatten()[1], name


def test_networks_can_be_exported(built: Built) -> None:
    """torch.export and its decompositions accept the network, and the graph gives the same outputs."""
    exported = torch.export.export(built.module, built.samples[0], strict=False).run_decompositions({})
    with torch.inference_mode():
        torch.testing.assert_close(exported.module()(*built.samples[0]), built.outputs[0])


@pytest.mark.parametrize("name", ["gender_net", "tiny_yolo", "sos_googlenet"])
def test_rebuilding_gives_the_same_bytes(name: str) -> None:
    """Weights and samples are the same each time, for any number of threads."""
    threads = torch.get_num_threads()
    first, first_samples = make(name)
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        second, second_samples = make(name)
    finally:
        torch.set_num_threads(threads)
    for tensors in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(*tensors)
    for samples in zip(first_samples, second_samples, strict=True):
        assert all(torch.equal(*tensors) for tensors in zip(*samples, strict=True))


def test_networks_have_different_weights() -> None:
    """age_net and gender_net have similar layers and different weights."""
    (age, _), (gender, _) = make("age_net"), make("gender_net")
    assert not torch.equal(age.get_parameter("conv1.weight"), gender.get_parameter("conv1.weight"))


def test_face_net_accepts_larger_images() -> None:
    """face_net returns a map of faces for an image larger than its sample, as in EdgeCaffe's thesis."""
    module, _ = make("face_net")
    with torch.device("meta"):
        image = torch.empty(1, 3, 1340, 1340)
    assert module.to("meta")(image).shape == (1, 2, 36, 36)
