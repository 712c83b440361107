r"""Measures decoders token by token beside other programs, and prints how each time compares with its goal.

    python -m tests.accuracy.token_goals            # five rounds, 45 minutes on a quiet machine
    python -m tests.accuracy.token_goals --quick    # one round with half of the memory and without a limit

Ctrl-C ends it: the tables then contain the measurements so far. They are printed, and written as Markdown into
build/token-goals, beside the records. Another start measures only what is missing there; with another `--folder`, it
begins anew. The limits are none, and the worker's own idle memory plus 3/4, 1/2 and 1/4 of smol_360m's weights and plus
96 MiB; see `Cell.memory`. Needs a quiet machine, the extras `llama-cpp` and `peers`, and transformers; the rows of
AirLLM need the package `airllm`.

pytest collects this file only if the command line names it, as `main` does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pytest_edgeload import Edge, Mix
from pytest_edgeload.peers.gguf_model import main as make_gguf
from pytest_edgeload.peers.llama_cpp import measure
from tests.accuracy.token_table import CELLS, THROTTLED, Cell, Figures, measured, tables

PROMPT, FOLDER, THREADS = 16, Path("build/token-goals"), 2
PROGRAMS = {"llama.cpp-mmap", "generate", "generate-mmap", "airllm"}
_RECORDS = "TOKEN_GOALS"
"""The environment variable with the folder of the records."""


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Return a folder of files that the user of the workers can read."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def gguf(folder: Path) -> Path:
    """Return a GGUF file of float16 as large as the weights of smol_360m."""
    path = folder / "model.gguf"
    assert make_gguf(["--megabytes=724", "--width=960", f"--output={path}"]) == 0
    return path


@pytest.fixture(scope="session")
def weights(folder: Path) -> Path:
    """Return a file of `torch.save` with the weights of smol_360m."""
    path = folder / "weights.pt"
    code = "import sys, torch; from models.decoders import smol_360m\n"
    code += "torch.save(smol_360m()[0].model.state_dict(), sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def checkpoint(folder: Path) -> list[Path]:
    """Return the folder of a checkpoint of smol_360m, and the files of its layers, which AirLLM makes."""
    path = folder / "checkpoint"
    subprocess.run([sys.executable, "-c", _SAVE, str(path)], check=True)
    return [path, *(path / "splitted_model").iterdir()]


_SAVE = """
import sys, torch
from airllm import AutoModel
from tokenizers import Tokenizer, models
from models.decoders import smol_360m
smol_360m()[0].model.save_pretrained(sys.argv[1])
Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(sys.argv[1] + "/tokenizer.json")  # it needs any
AutoModel.from_pretrained(sys.argv[1], device="cpu")
"""


@cache
def _figures() -> Figures:
    """Return the measurements of earlier sessions."""
    folder = os.environ.get(_RECORDS)
    return measured(_records(Path(folder))) if folder else {}


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in CELLS])
def test_cell(edge: Edge, cell: Cell, edge_round: int, request: pytest.FixtureRequest) -> None:
    """A method gives the tokens of plain PyTorch, unless memory does not suffice for it."""
    if not cell.is_due(edge_round, len(_figures().get(cell, ()))):
        pytest.skip("measured in an earlier session, or in other rounds")
    if cell.method == "airllm" and find_spec("airllm") is None:
        pytest.skip("the package airllm is not installed")
    if cell.method not in PROGRAMS:
        mix = Mix.of(cell.title, [cell.network] * cell.sequences, steps=cell.tokens)
        measurement = edge.run(mix, policy=cell.method, memory=cell.memory, reader="direct")
    else:
        function, *arguments = _program(cell, request)
        measurement = edge.call(function, *arguments, memory=cell.memory, name=cell.method, metrics=["s_per_token"])
    assert measurement.outcome in {"ok", "oom", "timeout"}, measurement.detail


def _program(cell: Cell, request: pytest.FixtureRequest) -> list[Any]:
    """Return the function that a cell measures, and its arguments."""
    if cell.method == "llama.cpp-mmap":
        return [measure, request.getfixturevalue("gguf"), "mmap", THREADS, PROMPT, cell.tokens - 1]
    if cell.method == "airllm":
        return [airllm, cell.tokens, *request.getfixturevalue("checkpoint")]
    return [generate, request.getfixturevalue("weights"), cell.tokens, cell.method == "generate-mmap"]


def generate(weights: Path, tokens: int, mmap: bool) -> dict[str, float]:  # noqa: FBT001  # edge.call passes it so
    """Return the mean time of a token after the first, with the `generate` of transformers."""
    import torch  # noqa: PLC0415  # in the worker

    from models.decoders import SMOL_360M, without_weights  # noqa: PLC0415

    model = without_weights(SMOL_360M).eval()
    model.load_state_dict(torch.load(weights, mmap=mmap), assign=True)
    model.tie_weights()
    return _timed(model, tokens)


def airllm(tokens: int, checkpoint: Path, *_files: Path) -> dict[str, float]:
    """Return the mean time of a token after the first, with AirLLM on the CPU."""
    from airllm import AutoModel  # noqa: PLC0415  # in the worker

    return _timed(AutoModel.from_pretrained(str(checkpoint), device="cpu"), tokens)


def _timed(model: Any, tokens: int) -> dict[str, float]:
    """Return the mean time of a token after the first."""
    import torch  # noqa: PLC0415

    from models.decoders import SMOL_360M, prompt_of  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    ends_s: list[float] = []

    def note(_ids: torch.Tensor, _scores: torch.Tensor, **_: object) -> bool:
        ends_s.append(time.perf_counter())
        return False

    ids = prompt_of(SMOL_360M)
    model.generate(ids, max_new_tokens=tokens, do_sample=False, eos_token_id=None, stopping_criteria=[note])
    times_s = [after - before for before, after in pairwise(ends_s)]
    return {"s_per_token": sum(times_s) / len(times_s)}


def main(args: Sequence[str] | None = None) -> int:
    """Measure what is missing in two sessions, the second of which throttles reads, and print the tables."""
    options = _parser().parse_args(args)
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ[_RECORDS] = str(options.folder.resolve())
    throttled = THROTTLED.read_bw
    chosen = f"not {throttled}" + (" and (none or half)" if options.quick else "")
    rounds = 1 if options.quick else options.rounds
    try:
        _measure(options.folder, chosen, rounds)
        _measure(options.folder, throttled, min(rounds, 2), f"--edge-read-bw={throttled}")
    except KeyboardInterrupt:
        sys.stdout.write("interrupted: the tables contain what was measured\n")
    text = tables(_records(options.folder))
    sys.stdout.write(f"\n{text}")
    (options.folder / "token-goals.md").write_text(text)
    return 0


def _records(folder: Path) -> list[Path]:
    """Return the files of all sessions."""
    return sorted(folder.glob("session-*.json"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.accuracy.token_goals", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, without a limit and with half of the memory")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all cells (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the records (default: %(default)s)")
    return parser


def _measure(folder: Path, chosen: str, rounds: int, *options: str) -> None:
    """Run pytest on the chosen cells. Raises KeyboardInterrupt if it was interrupted; it writes its records first."""
    file = folder / f"session-{time.time_ns()}.json"
    command = [sys.executable, "-m", "pytest", __file__, "-q", "--edge-bound", f"--edge-threads={THREADS}"]
    process = subprocess.Popen([*command, "-k", chosen, f"--edge-rounds={rounds}", f"--edge-json={file}", *options])
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal has interrupted pytest as well
        raise
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
