"""Measures the cost of measuring: time, memory, and the slowdown of the measured program."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Self, TypeVar
from unittest.mock import patch

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results import journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.record import Entry
from pytest_edgeload.sandbox import life, page_cache
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.sampler import Sampler
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.workload import Mix
from tests.accuracy.programs import Fresh, compute, hold, measure

Row = tuple[str, Sequence[float], str]
"""A label, its values round by round, and their unit."""

Result = TypeVar("Result")

_MODULE = '''
"""A network of twelve layers of 16 MiB."""
import torch
from torch import nn

def wide():
    torch.manual_seed(0)
    layers = [nn.utils.skip_init(nn.Linear, 2048, 2048) for _ in range(12)]
    for parameter in (p for layer in layers for p in layer.parameters()):
        nn.init.constant_(parameter, 1 / 2048)
    return nn.Sequential(*layers), [(torch.ones(1, 2048),)]
'''
_PLAIN = """
import sys, time
begin = time.monotonic()
import torch
from wide_for_overhead import wide
imported = time.monotonic()
module, [inputs] = wide()
module.eval()
if len(sys.argv) > 1:
    torch.save(module.state_dict(), sys.argv[1])
else:
    loading = time.monotonic()
    module.load_state_dict(torch.load("weights.pt"))
    with torch.inference_mode():
        module(*inputs)
    print(time.monotonic() - loading)
"""


class _NoSampler(Sampler):
    """A sampler that takes no samples."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def sampler(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield the sampler's share of a processor, and the makespan with it over the makespan without, in turns."""
    both = ("sh", "-c", '"$@" & "$@"; wait', "sh", *compute(0.5))
    without = patch.object(life, "Sampler", _NoSampler)
    contexts = (nullcontext(), without)
    pairs = [[_makespan(both, cap, fresh(), context) for context in contexts] for _ in range(rounds)]
    yield "the sampler's share of one processor", [100 * on[1] for on, _ in pairs], "%"
    yield "a makespan with it over one without, both processors computing", [on[0] / off[0] for on, off in pairs], ""


def _makespan(argv: Sequence[str], cap: Cap, name: str, context: AbstractContextManager[object]) -> tuple[float, float]:
    with context:
        run = measure(argv, cap, name)
    assert run.makespan_s is not None
    return run.makespan_s, run.sampler_cpu_share or 0.0


def launcher(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield the time of a program that does nothing, alone and measured, and the memory that its group is charged."""
    runs = []
    for _ in range(rounds):
        plain_s, _ = _timed(lambda: subprocess.run(["true"], check=True))
        runs.append((plain_s, _timed(lambda: measure(["true"], cap, fresh()))))
    yield "`true` by itself", [1000 * plain_s for plain_s, _ in runs], "ms"
    yield "`true` by `edge.command`, in all", [1000 * whole for _, (whole, _) in runs], "ms"
    yield "its makespan", [1000 * (run.makespan_s or 0.0) for _, (_, run) in runs], "ms"
    yield "its group's memory", [(run.peak_charged_bytes or 0) / 1024 for _, (_, run) in runs], "KiB"
    held = [measure(hold(64, 0.1), cap, fresh()) for _ in range(5)]
    kernel = [(run.peak_charged_bytes or 0) - (run.peak_anon_bytes or 0) - (run.peak_file_bytes or 0) for run in held]
    yield "neither anonymous nor page cache while 64 MiB are held", [size / 1024 for size in kernel], "KiB"


def _timed(action: Callable[[], Result]) -> tuple[float, Result]:
    begin_s = time.monotonic()
    result = action()
    return time.monotonic() - begin_s, result


def network(cap: Cap, session: str, rounds: int) -> Iterator[Row]:
    """Yield the time to run a network of 192 MiB in plain PyTorch and here, both from a cold cache, and its parts."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        (Path(folder) / "wide_for_overhead.py").write_text(_MODULE)
        weights = Path(folder) / "weights.pt"
        _plain(folder, str(weights))
        registry = Registry(Store(Path(folder) / "cache"))
        with patch.object(sys, "path", [*sys.path, folder]):
            registry.register("wide", "wide_for_overhead:wide")
            launcher = Launcher(cap, Swap(0, usable=False), session, timeout_s=60.0)
            bench = Bench(launcher, registry, POLICIES, Path(folder), lambda *_: None)
            case = Case(
                test="overhead",
                workload="wide",
                policy="bulk",
                reader="read",
                cap="",
                swap="off",
                constraints=Constraints(threads=2),
            )
            mix = Mix.of("wide", ["wide"])
            bench.measure(case, mix)
            pairs = []
            for _ in range(rounds):
                life_s, printed = _timed(lambda: _plain(folder))
                pairs.append(((life_s, float(printed)), _timed(lambda: bench.measure(case, mix))))
        yield "plain PyTorch, in all", [plain[0] for plain, _ in pairs], "s"
        yield "plain PyTorch, loading and executing", [plain[1] for plain, _ in pairs], "s"
        yield "`edge.run` of `bulk`, in all", [whole for _, (whole, _) in pairs], "s"
        yield "its start", [run.startup_s or 0.0 for _, (_, run) in pairs], "s"
        yield "its makespan", [run.makespan_s or 0.0 for _, (_, run) in pairs], "s"
        entry = Entry(case, pairs[-1][1][1])
        written = [_timed(lambda: journal.write(journal.place(Path(folder) / "runs", entry))) for _ in range(50)]
        yield "its measurement, written to the disk", [1000 * took for took, _ in written], "ms"


def _plain(folder: str, *words: str) -> str:
    """Run the network in plain PyTorch from a cold cache; return its output, the seconds for loading and executing."""
    page_cache.drop(Path(folder).glob("*.pt"))
    command = [sys.executable, "-c", _PLAIN, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout.strip() or "0"
