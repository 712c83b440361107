"""Measures many requests of a runtime: `python -m tests.accuracy.runtime_requests [--requests N] [--policy NAME ...]`.

A runtime should stay as quick and as small as it is at first. Two tiny networks are asked in turn, so nearly all of the
time is the runtime's own. Each row has a tenth of the requests: the mean time of a request, and the private memory of
the process after them, above that before the first tenth.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from tabulate import tabulate

from pytest_edgeload.policies import POLICIES
from pytest_edgeload.runtime import Runtime
from tests.builders import stored
from tests.engine.performers import anonymous_bytes

REQUESTS, PARTS = 100_000, 10
HEADERS = ("policy", "requests", "us per request", "MiB")
MEMORY = "32M"


def _networks(folder: Path) -> Mapping[str, Path]:
    """Store two layers of the same size, and return their folders."""
    samples = torch.ones(1, 64)
    return {name: stored(folder / name, torch.nn.Linear(64, 64), (samples,)) for name in ("left", "right")}


def _rows(folders: Mapping[str, Path], policy: str, count: int) -> Iterator[tuple[str, ...]]:
    """Yield the row of each tenth of so many requests."""
    inputs, names = torch.ones(1, 64), tuple(folders)
    with Runtime(folders, memory=MEMORY, policy=policy, threads=1) as runtime:
        for i in range(count // PARTS // 10):  # with the first ones, libraries and threads come
            runtime.ask(names[i % 2], inputs)
        gc.collect()
        idle_bytes = anonymous_bytes()
        for part in range(1, PARTS + 1):
            begin_s = time.perf_counter()
            for i in range(count // PARTS):
                runtime.ask(names[i % 2], inputs)
            each_s = (time.perf_counter() - begin_s) / (count // PARTS)
            more_bytes = anonymous_bytes() - idle_bytes
            yield policy, f"{part * count // PARTS:,}", f"{1e6 * each_s:.0f}", f"{more_bytes / (1 << 20):+.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the time and memory of a runtime's requests.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--policy", nargs="+", choices=sorted(POLICIES), default=["stream", "lru"])
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # a disk, because /tmp may be memory
        folders = _networks(Path(name))
        rows = [row for policy in args.policy for row in _rows(folders, policy, args.requests)]
    print(tabulate(rows, HEADERS, tablefmt="github", disable_numparse=True))  # noqa: T201


if __name__ == "__main__":
    main()
