"""Small models of Hugging Face's transformers, with random weights, compute the same in layers and in tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.workload import Request, Workload
from tests.builders import job, plan_of, stored
from tests.engine.performers import execute

T = pytest.importorskip("transformers")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
ModelAndSample = tuple[nn.Module, Any]


def bert() -> ModelAndSample:
    config = T.BertConfig(vocab_size=50, max_position_embeddings=32, **SMALL)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    return T.BertForMaskedLM(config), {"input_ids": torch.randint(0, 50, (2, 8)), "attention_mask": mask}


def vit() -> ModelAndSample:
    return T.ViTModel(T.ViTConfig(image_size=32, patch_size=8, **SMALL)), (torch.rand(1, 3, 32, 32),)


def whisper_encoder() -> ModelAndSample:
    sizes = {f"{side}_{size}": n for side in ("encoder", "decoder")
             for size, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 64))}  # fmt: skip
    config = T.WhisperConfig(
        d_model=32, num_mel_bins=8, max_source_positions=20, vocab_size=60, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, **sizes,
    )  # fmt: skip
    return T.WhisperModel(config).encoder, {"input_features": torch.rand(1, 8, 40)}


def mobile_vit() -> ModelAndSample:
    config = T.MobileViTConfig(
        image_size=32, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32], num_attention_heads=2
    )
    return T.MobileViTModel(config), (torch.rand(1, 3, 32, 32),)


def llama() -> ModelAndSample:
    config = T.LlamaConfig(vocab_size=50, num_key_value_heads=1, max_position_embeddings=32, **SMALL)
    return T.LlamaForCausalLM(config), {"input_ids": torch.randint(0, 50, (1, 6)), "use_cache": False}


@pytest.mark.parametrize("policy", ["linear", "stream"])
@pytest.mark.parametrize("family", [bert, vit, whisper_encoder, mobile_vit, llama])
def test_outputs_are_those_of_pytorch(tmp_path: Path, family: Callable[[], ModelAndSample], policy: str) -> None:
    """Each family has the outputs of plain PyTorch, layer by layer and tile by tile."""
    torch.manual_seed(0)
    _check(tmp_path, policy, *family())


def test_cache_in_the_outputs_is_refused_with_its_setting(tmp_path: Path) -> None:
    """A model that returns its cache of keys and values is refused with the setting that leaves the cache out."""
    model, sample = llama()
    with pytest.raises(CannotExport, match=r"DynamicCache.*; set use_cache=False in its config, or give a module aro"):
        stored(tmp_path, model, {"input_ids": sample["input_ids"]})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_stay_within_their_tolerance(tmp_path: Path, dtype: torch.dtype) -> None:
    """In half types the outputs agree within eight steps of that type."""
    torch.manual_seed(0)
    model, sample = vit()
    halved = tree_map_only(torch.Tensor, lambda tensor: tensor.to(dtype), sample)
    tolerance = _check(tmp_path, "stream", model.to(dtype), halved)
    assert tolerance == 8 * torch.finfo(dtype).eps


def _check(folder: Path, policy: str, model: nn.Module, sample: Any) -> float:
    """Check that the outputs of `model` in layers are within the tolerance, and return it."""
    made, _ = job(policy, stored(folder, model, sample))
    network = read_graph(Path(made.networks[0]))
    performer = Performer.of(made)
    run(made.plan, performer)
    error = performer.compare(0).error
    assert error is not None
    assert error <= network.tolerance
    assert len(network.layers) > 5
    return network.tolerance


def test_static_cache_needs_nothing_else(tmp_path: Path) -> None:
    """The exportable decoder with a static cache runs a prompt and then tokens, and overwrites its cache in place."""
    executorch = pytest.importorskip("transformers.integrations.executorch")
    config = T.LlamaConfig(vocab_size=50, num_key_value_heads=1, max_position_embeddings=32, pad_token_id=0, **SMALL)
    model = T.LlamaForCausalLM(config).eval()
    options = {"use_cache": True, "cache_implementation": "static"}
    model.generation_config = T.GenerationConfig(**options, cache_config={"batch_size": 1, "max_cache_len": 16})
    module = executorch.TorchExportableModuleWithStaticCache(model, batch_size=1, max_cache_len=16, device="cpu")
    inputs = {"input_ids": torch.randint(0, 50, (1, 5)), "cache_position": torch.arange(5)}
    feeds = (Feed("input_ids", rule="argmax", last=True), Feed("cache_position", rule="next", last=True))
    folder = stored(tmp_path, module, Inputs(kwargs=inputs, steps=8, feeds=feeds))
    network = read_graph(folder)
    assert sum(op.target == "aten.index_copy_.default" for layer in network.layers for op in layer.ops) == 4
    asked = Workload("tokens", (Request(network, steps=8),))
    performer, _ = execute(plan_of("stream", asked, memory_bytes=1 << 15), asked, folder)
    error, detail = performer.compare(0)
    assert error is not None, detail
    assert error <= performer.tolerance(0), detail
