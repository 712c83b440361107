r"""Measures decoders token by token beside llama.cpp and plain PyTorch, for the table of docs/sequences.md.

    pytest tests/accuracy/token_goals.py --edge-policy=bulk,linear,stream --edge-reader=direct --edge-bound \
        --edge-mem=none,base+517M,base+345M,base+172M,base+96M --edge-rounds=5 --edge-json=token-goals.json

The limits are none, and each worker's own idle memory plus 3/4, 1/2 and 1/4 of smol_360m's weights, and plus 96 MiB.
Needs a quiet machine, the extra `llama-cpp` and transformers. pytest does not collect this file by itself.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pytest_edgeload import Edge, Limit, Mix
from pytest_edgeload.peers.gguf_model import main as make_gguf
from pytest_edgeload.peers.llama_cpp import measure

TOKENS = 32
MIXES = [Mix.of(name, [name], steps=TOKENS) for name in ("smol_360m", "smol_360m_bf16", "smol_360m_int8")]
MIXES.append(Mix.of("two sequences", ["smol_360m", "smol_360m"], steps=TOKENS))
THREADS = 2


@pytest.fixture(scope="session")
def gguf() -> Iterator[Path]:
    """Return a GGUF file of float16 as large as the weights of smol_360m, which the user of the workers can read."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "model.gguf")
        assert make_gguf(["--megabytes=724", "--width=960", f"--output={path}"]) == 0
        yield path


@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MIXES])
def test_policy(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """A policy gives the tokens of plain PyTorch, unless memory does not suffice for it."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome in {"ok", "oom", "timeout"}, measurement.detail


@pytest.mark.parametrize("load", ["mmap", "direct", "plain"])
def test_llama_cpp(edge: Edge, edge_mem: Limit | None, gguf: Path, load: str) -> None:
    """llama.cpp generates as many tokens with as many bytes of weights: only its times compare."""
    measurement = edge.call(
        measure, gguf, load, THREADS, 1, TOKENS,
        memory=edge_mem, name=f"llama.cpp-{load}", metrics=["time_to_first_token_s", "s_per_token", "tokens_per_s"],
    )  # fmt: skip
    assert measurement.outcome in {"ok", "oom", "timeout"}, measurement.detail


def test_plain_pytorch(edge: Edge) -> None:
    """The module of smol_360m runs token by token without a limit, with all weights in memory."""
    measurement = edge.call(generate, name="PyTorch", metrics=["s_per_token"])
    assert measurement.outcome == "ok", measurement.detail


def generate() -> dict[str, float]:
    """Return the mean time of a token after the first."""
    import torch  # noqa: PLC0415  # in the worker

    from models.decoders import smol_360m  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    step, [sample] = smol_360m()
    token, place = sample.args
    ends_s = []
    with torch.inference_mode():
        for _ in range(TOKENS):
            token, place = step(token, place)[:, -1].argmax(-1, keepdim=True), place + 1
            ends_s.append(time.perf_counter())
    return {"s_per_token": statistics.fmean(after - before for before, after in pairwise(ends_s))}
