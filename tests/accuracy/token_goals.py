r"""Measures decoders token by token beside other programs, and prints how each time compares with its goal.

    python -m tests.accuracy.token_goals            # five rounds, twenty minutes on a quiet machine
    python -m tests.accuracy.token_goals --quick    # one round with half of the memory and without a limit

Ctrl-C ends it: the tables then contain the rounds so far. They are printed, and written as Markdown into
build/token-goals, beside the records. The limits are none, and the worker's own idle memory plus 3/4, 1/2 and 1/4 of
smol_360m's weights and plus 96 MiB; see `Cell.memory`. Needs a quiet machine, the extras `llama-cpp` and `peers`, and
transformers.

pytest collects this file only if the command line names it, as `main` does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pytest_edgeload import Edge, Mix
from pytest_edgeload.peers.gguf_model import main as make_gguf
from pytest_edgeload.peers.llama_cpp import measure
from tests.accuracy.token_table import CELLS, THROTTLED, Cell, tables

PROMPT, FOLDER, THREADS = 16, Path("build/token-goals"), 2
PROGRAMS = {"llama.cpp-mmap", "generate", "generate-mmap"}


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


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in CELLS])
def test_cell(edge: Edge, cell: Cell, edge_round: int, request: pytest.FixtureRequest) -> None:
    """A method gives the tokens of plain PyTorch, unless memory does not suffice for it."""
    if cell.is_peer and edge_round % 2:
        pytest.skip("other programs take longer and vary less, so they are measured in every second round")
    if cell.method not in PROGRAMS:
        mix = Mix.of(cell.title, [cell.network] * cell.sequences, steps=cell.tokens)
        measurement = edge.run(mix, policy=cell.method, memory=cell.memory, reader="direct")
    else:
        function: Any = measure if cell.method == "llama.cpp-mmap" else generate
        arguments: tuple[Any, ...]
        if function is measure:
            arguments = (request.getfixturevalue("gguf"), "mmap", THREADS, PROMPT, cell.tokens - 1)
        else:
            arguments = (request.getfixturevalue("weights"), cell.tokens, cell.method == "generate-mmap")
        measurement = edge.call(function, *arguments, memory=cell.memory, name=cell.method, metrics=["s_per_token"])
    assert measurement.outcome in {"ok", "oom", "timeout"}, measurement.detail


def generate(weights: Path, tokens: int, mmap: bool) -> dict[str, float]:  # noqa: FBT001  # edge.call passes it so
    """Return the mean time of a token after the first, with the `generate` of transformers."""
    import torch  # noqa: PLC0415  # in the worker

    from models.decoders import SMOL_360M, prompt_of, without_weights  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    model = without_weights(SMOL_360M).eval()
    model.load_state_dict(torch.load(weights, mmap=mmap), assign=True)
    model.tie_weights()
    ends_s: list[float] = []

    def note(_ids: torch.Tensor, _scores: torch.Tensor, **_: object) -> bool:
        ends_s.append(time.perf_counter())
        return False

    ids = prompt_of(SMOL_360M)
    model.generate(ids, max_new_tokens=tokens, do_sample=False, eos_token_id=None, stopping_criteria=[note])
    times_s = [after - before for before, after in pairwise(ends_s)]
    return {"s_per_token": sum(times_s) / len(times_s)}


def main(args: Sequence[str] | None = None) -> int:
    """Measure all cells in two sessions, the second of which throttles reads, and print the tables."""
    options = _parser().parse_args(args)
    options.folder.mkdir(parents=True, exist_ok=True)
    throttled = THROTTLED.read_bw
    chosen = f"not {throttled}" + (" and (none or half)" if options.quick else "")
    rounds = 1 if options.quick else options.rounds
    files = [options.folder / "free.json", options.folder / "throttled.json"]
    for file in files:
        file.unlink(missing_ok=True)
    try:
        _measure(files[0], chosen, rounds)
        _measure(files[1], throttled, min(rounds, 2), f"--edge-read-bw={throttled}")
    except KeyboardInterrupt:
        sys.stdout.write("interrupted: the tables contain what was measured\n")
    text = tables([file for file in files if file.exists()])
    sys.stdout.write(f"\n{text}")
    (options.folder / "token-goals.md").write_text(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.accuracy.token_goals", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, without a limit and with half of the memory")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all cells (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the records (default: %(default)s)")
    return parser


def _measure(file: Path, chosen: str, rounds: int, *options: str) -> None:
    """Run pytest on the chosen cells. Raises KeyboardInterrupt if it was interrupted; it writes its records first."""
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
