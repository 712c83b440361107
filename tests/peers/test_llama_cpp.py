"""llama.cpp runs made models of the asked size, in each way of loading."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError

REASON = "needs the extra llama-cpp"
pytest.importorskip("gguf", reason=REASON)
pytest.importorskip("cyllama", reason=REASON)

from pytest_edgeload.peers.gguf_model import GgufSizes, main  # noqa: E402  # imports gguf

TOKENS = 3


def run(model: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Return the ended run of llama.cpp on `model`."""
    command = [sys.executable, "-m", "pytest_edgeload.peers.llama_cpp", f"--model={model}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of about 1 MB."""
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    assert main(["--megabytes=1", "--width=64", f"--output={path}"]) == 0
    return path


@pytest.mark.parametrize("load", ["mmap", "direct", "plain"])
def test_llama_cpp_reports_its_times(model: Path, load: str) -> None:
    """A run prints one line of JSON: the times of loading, the prompt and each token, and what follows from them."""
    ended = run(model, f"--load={load}", "--threads=1", "--prompt-tokens=2", f"--tokens={TOKENS}")
    [line] = ended.stdout.splitlines()
    metrics = json.loads(line)
    assert len(metrics["token_s"]) == TOKENS
    assert metrics["s_per_token"] == pytest.approx(sum(metrics["token_s"]) / TOKENS)
    assert metrics["tokens_per_s"] == pytest.approx(1 / metrics["s_per_token"])
    assert metrics["time_to_first_token_s"] == pytest.approx(metrics["model_load_s"] + metrics["prompt_s"])


def test_unreadable_model_is_one_sentence(tmp_path: Path) -> None:
    """A file that is missing ends with status 1 and one line that names it."""
    ended = run(tmp_path / "missing.gguf")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"llama.cpp: GGUF model file not found: {tmp_path}/missing.gguf\n"


@pytest.mark.parametrize(("megabytes", "width", "layers"), [(700, 1024, 27), (60, 1024, 2), (1, 64, 9)])
def test_model_has_the_layers_of_its_size(megabytes: int, width: int, layers: int) -> None:
    """The layers fill the size, within half a layer."""
    sizes = GgufSizes.of(megabytes * 1_000_000, width)
    layer_bytes = sizes.weight_bytes - GgufSizes(width, layers - 1).weight_bytes
    assert sizes.layers == layers
    assert abs(sizes.weight_bytes - megabytes * 1_000_000) <= layer_bytes / 2


def test_file_has_the_size_of_its_weights(model: Path) -> None:
    """A file contains the weights and a header of a few KB."""
    header_bytes = model.stat().st_size - GgufSizes.of(1_000_000, 64).weight_bytes
    assert 0 < header_bytes < 8192


@pytest.mark.parametrize(
    ("size_bytes", "width", "sentence"),
    [
        (10**6, 100, "width 100: not a multiple of 64; try 64, 512 or 1024"),
        (
            10**6,
            1024,
            "size 1 MB: less than a model of one layer of width 1024; try at least 42.5 MB, or a smaller width",
        ),
    ],
)
def test_impossible_sizes_are_one_sentence(size_bytes: int, width: int, sentence: str) -> None:
    """A width that has no whole attention heads and a file that is too small for one layer are refused."""
    with pytest.raises(UsageError) as raised:
        GgufSizes.of(size_bytes, width)
    assert str(raised.value) == sentence
