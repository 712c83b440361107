"""Does an application get what was measured? Measures the same mixes by a policy and through a Runtime.

Both have a row of the same table. The runtime has the same networks as files of `edgeload store`, and the memory that
the limit leaves to it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from models import NETWORKS
from pytest_edgeload import Ask, Edge, Limit, Mix

MIXES = (
    Mix.of("age, gender", ["age_net", "gender_net"]),
    Mix.of("sos_googlenet, age", ["sos_googlenet", "age_net"], images=2),
    Mix.of("age, gender in a loop", ["age_net", "gender_net"], images=100).closed(),
)
"""Two whose requests are asked at once, and one whose images follow each other, as a program would ask for long.

The last has no common table: functions cannot answer requests that arrive over time. Compare its makespans in the file
of `--edge-json`.
"""

READER = "direct"
"""The reader of both rows."""

MAX_ERROR = 1e-4
"""The largest difference from plain PyTorch, relative to the largest value; sums in another order explain it."""

EXAMPLES = """
import importlib, sys, torch

module, _, function = sys.argv[1].partition(":")
model, samples = getattr(importlib.import_module(module), function)()
with torch.inference_mode():
    torch.save([(inputs, model.eval()(*inputs)) for inputs in samples[:2]], sys.argv[2])
"""
"""A program that writes inputs of a network, and the outputs of plain PyTorch for them."""


class Opening:
    """A runtime that is opened, like the networks of a policy, before the clock starts: when a worker receives it."""

    def __init__(self, folder: Path, mix: Mix, policy: str, limit: Limit | None) -> None:
        limit_bytes = None if limit is None else limit.size_bytes
        self._arguments = (folder, mix.networks, policy, limit_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it."""
        return open_runtime, self._arguments


def open_runtime(
    folder: Path, networks: Sequence[str], policy: str, limit_bytes: int | None
) -> tuple[Any, dict[str, Any]]:
    """Return a runtime with the memory that the limit leaves, and the examples of each network.

    Examples are compared once, because PyTorch loads code for it.
    """
    import psutil  # noqa: PLC0415  # only workers need these
    import torch  # noqa: PLC0415

    from pytest_edgeload.runtime import Runtime  # noqa: PLC0415

    examples = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in networks}
    for (_, expected), *_ in examples.values():
        compare(expected, expected)
    memory = None if limit_bytes is None else limit_bytes - psutil.Process().memory_info().rss
    files = {name: folder / f"{name}.edgenet" for name in networks}
    return Runtime(files, memory=memory, policy=policy, reader=READER), examples


def answer(opened: Any, batches: Sequence[Sequence[tuple[str, int]]]) -> None:
    """Ask all requests of a batch at once, one batch after the other, and compare the answers with plain PyTorch's."""
    runtime, examples = opened
    for batch in batches:
        asked = [(name, *examples[name][sample % len(examples[name])]) for name, sample in batch]
        answers = runtime.ask_all(*((name, *inputs) for name, inputs, _ in asked))
        for (_, _, expected), (output, *_) in zip(asked, answers, strict=True):
            compare(output, expected)


def compare(output: Any, expected: Any) -> None:
    """Raise AssertionError if an output is not that of plain PyTorch."""
    assert (output - expected).abs().max() <= MAX_ERROR * expected.abs().max()


def batches_of(mix: Mix) -> list[list[Ask]]:
    """Return the requests that arrive together."""
    return [[*batch] for _, batch in groupby(mix.asks, lambda ask: ask.batch if mix.loop == "closed" else 0)]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Return a folder with each network of the mixes as a file, and its examples."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o755)  # for workers, which may have another user
    names = sorted({name for mix in MIXES for name in mix.networks})
    edgeload = Path(sys.executable).with_name("edgeload")
    subprocess.run([edgeload, "store", *names, "-o", folder], cwd=pytestconfig.rootpath, check=True)
    for name in names:
        command = [sys.executable, "-c", EXAMPLES, NETWORKS[name], str(folder / f"{name}.pt")]
        subprocess.run(command, cwd=pytestconfig.rootpath, check=True)
    return folder


@pytest.mark.full
@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MIXES])
def test_runtime(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, files: Path) -> None:
    """The policy answers as plain PyTorch does, in a worker and in a runtime alike."""
    if edge_mem is not None and edge_mem.above_base:
        pytest.skip("idle workers of functions and of policies differ; give --edge-mem a size such as 512M")
    measured = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=READER)
    assert measured.outcome == "ok", measured.detail
    batches = [[(ask.network, ask.sample) for ask in batch] for batch in batches_of(mix)]
    opening = Opening(files, mix, edge_policy, edge_mem)
    row = f"{edge_policy}.runtime"
    common: dict[str, Any] = {"workload": mix, "reader": READER} if mix.loop == "once" else {}
    shipped = edge.call(answer, opening, batches, memory=edge_mem, name=row, **common)
    assert shipped.outcome == "ok", shipped.detail
