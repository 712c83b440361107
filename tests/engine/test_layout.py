"""Images are computed with channels last where that changes no value, and otherwise in the layout of plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.layout import depends_on_strides, may_be_channels_last
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Op
from pytest_edgeload.workload import Request, Workload
from tests.builders import plan_of, stored
from tests.engine.performers import execute

Function = Callable[[torch.Tensor], torch.Tensor]


class Convolved(nn.Module):
    """Two convolutions, and a function of their output."""

    def __init__(self, function: Function, channels: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, channels, 3, padding=1)
        self._function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the function of the image after both convolutions."""
        return self._function(self.second(self.first(x).relu()))


def _squared(x: torch.Tensor) -> torch.Tensor:
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * pairs).flatten(1)


STRIDED: dict[str, Function] = {
    "as_strided": lambda x: x.as_strided((4, 5), (7, 1)),
    "view as another type": lambda x: x.view(torch.int32) // 2**20,
    "view as a wider type": lambda x: x.view(torch.float64).isnan(),
    "view_as_complex": _squared,
    "view_as": lambda x: x.view_as(torch.zeros(2, 2, 3, 48)),
}


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("function", STRIDED)
def test_operators_on_strides_find_the_layout_of_plain_pytorch(tmp_path: Path, function: str, channels: int) -> None:
    """Whole layers, and tiles of single channels, give operators that depend on strides the layout they were given."""
    module = Convolved(STRIDED[function], channels if function != "view_as" else 4)
    folder = stored(tmp_path, module, (torch.rand(1, 3, 12, 12),))
    asked = Workload("strided", (Request(read_graph(folder)),))
    for policy, memory_bytes in (("linear", None), ("stream", 8 << 10)):
        performer, _ = execute(plan_of(policy, asked, 2, memory_bytes), asked, folder)
        compared = performer.compare(0)
        assert compared.error is not None, compared.detail
        assert compared.error < 1e-5, compared.detail


def test_other_networks_with_convolutions_keep_channels_last(tmp_path: Path) -> None:
    """Without such an operator, the images of a network with convolutions have their channels last."""
    opened = OpenNetwork(stored(tmp_path, Convolved(lambda x: x.flatten(1)), (torch.rand(1, 3, 12, 12),)), "read")
    (image,) = opened.inputs(0).values()
    assert may_be_channels_last(opened.network)
    assert image.stride() == (432, 1, 36, 3)


@pytest.mark.parametrize(
    ("target", "depends"),
    [
        ("aten.as_strided.default", True), ("aten.as_strided_scatter.default", True), ("aten.view.dtype", True),
        ("aten.view_as_complex.default", True), ("mine.fused.default", True), ("prims.view_of_dtype.default", True),
        ("aten.view_as_real.default", False), ("aten.reshape.default", False), ("aten.conv2d.default", False),
        ("torchvision.roi_align.default", False), ("getitem", False),
    ],
)  # fmt: skip
def test_operators_that_depend_on_strides(target: str, depends: bool) -> None:  # noqa: FBT001
    """Operators that read memory by strides or as another type depend on strides, and so do unknown operators."""
    assert depends_on_strides(Op(target, [], {}, "y")) == depends
