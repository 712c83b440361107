"""How long does a token take if a decoder's weights do not fit in memory? Measures token loops by policy and limit.

A dense decoder needs all of its weights for each token. A policy can keep them all, read them all again for each token,
or keep what fits and read the rest.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_edgeload import Edge, Limit, Mix

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="the decoders need the package transformers")

FEW = Mix.of("8 tokens", ["smol_135m"], steps=8)
MANY = [
    *(Mix.of(f"{name} 32 tokens", [name], steps=32) for name in ("smol_135m", "smol_360m", "smol_360m_bf16")),
    Mix.of("two sequences", ["smol_360m", "smol_360m"], steps=32),  # a policy can read each weight once for both
]


@pytest.mark.parametrize("edge_policy", ["bulk", "linear", "stream"])
def test_few_tokens(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """Keeping all weights, none, or what fits: each gives the tokens of plain PyTorch."""
    measurement = edge.run(FEW, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    assert edge.disabled or measurement.step_mean_s is not None


@pytest.mark.full
@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MANY])
def test_tokens(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """Every policy gives the tokens of plain PyTorch, also for two sequences at once."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a GGUF file of float16 as large as the weights of smol_360m."""
    pytest.importorskip("cyllama", reason="needs the extra llama-cpp")
    from pytest_edgeload.peers.gguf_model import main  # noqa: PLC0415  # after the package was found

    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    assert main(["--megabytes=724", "--width=960", f"--output={path}"]) == 0
    return path


@pytest.mark.full
@pytest.mark.parametrize("load", ["mmap", "direct", "plain"])
def test_tokens_of_llama_cpp(edge: Edge, edge_mem: Limit | None, gguf: Path, load: str) -> None:
    """llama.cpp generates 32 tokens with as many bytes of weights as smol_360m; only the times compare."""
    from pytest_edgeload.peers.llama_cpp import measure  # noqa: PLC0415  # after the package was found

    metrics = ["time_to_first_token_s", "s_per_token", "tokens_per_s"]
    measurement = edge.call(measure, gguf, load, 2, 1, 32, memory=edge_mem, name=f"llama.cpp {load}", metrics=metrics)
    assert measurement.outcome in {"ok", "oom"}, measurement.detail
