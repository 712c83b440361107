"""The networks of today have the published sizes, and compute the same in layers and in tiles."""

from __future__ import annotations

import gc
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from models import TODAY
from pytest_edgeload import Inputs
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.workload import Request, Workload
from tests.builders import plan_of, stored
from tests.engine.performers import execute

PARAMETERS = {
    "clip_image": 87_849_216,
    "clip_text": 63_428_096,  # together with the scale of the logits the 151,277,313 of CLIP ViT-B/32
    "yolos_tiny": 6_488_736,
    "segformer_b0": 3_752_694,
    "depth_anything_small": 24_785_089,
    "mobilevit_small": 5_578_632,
    "wav2vec2_base": 94_396_320,
    "res8_narrow": 19_905,
    "minilm_l6": 22_713_216,
    "dit_b4": 130_426_496,
}
"""The parameters of the published checkpoints; for res8-narrow, those of the layers in its paper."""

SMALL = {"mobilevit_small", "segformer_b0", "res8_narrow"}
"""Networks that every run of the tests executes; the suites compare the others with PyTorch as well."""


def test_every_network_has_a_published_size() -> None:
    """The tables of networks and of sizes name the same networks."""
    assert list(PARAMETERS) == list(TODAY)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_size_is_the_published_one_and_outputs_depend_on_inputs(name: str) -> None:
    """A network has its parameters, and outputs for two samples that differ by a tenth of their size or more."""
    module, samples = _make(name)
    assert sum(weight.numel() for weight in module.parameters()) == PARAMETERS[name]
    with torch.inference_mode():
        a, b = (_first(module, sample) for sample in samples[:2])
    assert a.isfinite().all()
    assert torch.dist(a, b) > 0.1 * max(a.norm(), b.norm())


def _case(name: str) -> object:
    return pytest.param(name, marks=[pytest.mark.slow] if name in SMALL else [pytest.mark.full])


@pytest.mark.parametrize("name", [_case(name) for name in PARAMETERS])
def test_tiles_compute_the_same(tmp_path: Path, name: str) -> None:
    """A network executed tile by tile has the outputs of plain PyTorch."""
    module, samples = _make(name)
    folder = stored(tmp_path, module, samples[0])
    asked = Workload("one", (Request(read_graph(folder)),))
    performer, _ = execute(plan_of("stream", asked, memory_bytes=64 << 20), asked, folder)
    error, detail = performer.compare(0)
    assert error is not None, detail
    assert error <= performer.tolerance(0), detail


def _make(name: str) -> Any:
    """Return a module and its samples."""
    gc.collect()  # an exported graph holds the previous network in a cycle
    return pkgutil.resolve_name(TODAY[name])()


def _first(module: Any, sample: Any) -> torch.Tensor:
    """Return the first output of one step."""
    output = module(*(sample.args if isinstance(sample, Inputs) else sample))
    tensor: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return tensor
