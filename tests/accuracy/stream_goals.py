r"""Measures the mixes of today under policies and limits, and prints a table of them in Markdown.

    python -m tests.accuracy.stream_goals --rounds=1 --json=stream-goals.json
    python -m tests.accuracy.stream_goals --mix=consumer --mix=photo-server --limit=1G --rounds=3

Rounds are interleaved. After Ctrl-C the table shows what is measured so far, and the file has it. `--table` prints the
tables of files without measuring anything. Needs a quiet machine and transformers. One round of everything takes about
20 minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.today import TODAY_MIXES
from pytest_edgeload import Edge, Limit
from pytest_edgeload.results import baseline
from tests.accuracy.stream_table import report

DURATION_S = 3.0
LIMITS = ("none", "2G", "1G", "768M", "base+256M")
PINNED = {
    "ar-assistant": "wav2vec2_base",
    "ar-gaming": "depth_anything_small",
    "social": "mobilevit_small",
    "photo-server": "clip_image",
    "voice-assistant": "res8_narrow",
    "consumer": "smol_135m",
}
"""The network that `pin` keeps in memory: the one that is asked most often or whose answers are needed soonest."""

CASES = [
    (mix, policy)
    for mix, network in PINNED.items()
    for policy in ("bulk", "lru", "ttl(1s)", f"pin({network})", "masa", "mema", "stream")
]


@pytest.mark.skipif(find_spec("transformers") is None, reason="the networks need the package transformers")
@pytest.mark.parametrize(("mix", "edge_policy"), CASES)
def test_mix(edge: Edge, mix: str, edge_policy: str, edge_mem: Limit | None) -> None:
    """A policy gives the answers of plain PyTorch, unless memory or time does not suffice."""
    measurement = edge.run(TODAY_MIXES[mix](duration_s=DURATION_S), policy=edge_policy, memory=edge_mem)
    assert measurement.outcome in {"ok", "oom", "timeout"}, measurement.detail


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure unless files are given, and print the tables."""
    parser = argparse.ArgumentParser(prog="stream_goals", description="Measure the mixes of today.")
    parser.add_argument("--mix", action="append", choices=TODAY_MIXES, help="a mix; several times for several mixes")
    parser.add_argument("--limit", action="append", help=f"a memory limit; default: {', '.join(LIMITS)}")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--timeout", default="60s", help="of each run")
    parser.add_argument("--json", type=Path, default=Path("stream-goals.json"), help="the file of the records")
    parser.add_argument("--table", type=Path, nargs="+", help="print the tables of these files, and measure nothing")
    options = parser.parse_args(arguments)
    status = 0 if options.table else _measure(options)
    for path in options.table or [options.json]:
        sys.stdout.write(report(baseline.load(path).records))
    return status


def _measure(options: argparse.Namespace) -> int:
    """Run pytest, which stores the records, also after Ctrl-C; return its exit status."""
    command = [
        *(sys.executable, "-m", "pytest", __file__, "--quiet", f"--edge-mem={','.join(options.limit or LIMITS)}"),
        *(f"--edge-rounds={options.rounds}", f"--edge-timeout={options.timeout}", f"--edge-json={options.json}"),
        *(["-k", " or ".join(options.mix)] if options.mix else []),
    ]
    with subprocess.Popen(command) as session:
        while True:
            try:
                return session.wait()
            except KeyboardInterrupt:  # pytest has received it as well, and writes its file
                continue


if __name__ == "__main__":
    sys.exit(main())
