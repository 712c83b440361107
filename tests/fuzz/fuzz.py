"""Fuzzes the targets with atheris, each in a process of its own: `python -m tests.fuzz.fuzz MINUTES [TARGET...]`.

What it learned stays in build/fuzz, by target; an input that a target breaks down over is kept there, too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pytest_edgeload", "tomllib", "yaml"]):
    from tests.fuzz.targets import TARGETS, run

FOLDER = Path("build/fuzz")


def main() -> int:
    """Fuzz as the command line says; return how many targets broke down."""
    if sys.argv[1] == "one":
        one(sys.argv[2], *sys.argv[3:])
    minutes, *names = sys.argv[1:]
    return sum(fuzzed(name, float(minutes)) for name in names or TARGETS)


def fuzzed(name: str, minutes: float) -> bool:
    """Fuzz one target and print how often it ran; tell whether it broke down."""
    corpus, finds = FOLDER / name, FOLDER / f"{name}-"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, example in enumerate(TARGETS[name].examples):
        (corpus / f"example{i}").write_bytes(example)
    limits = (f"-max_total_time={round(60 * minutes)}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=4096")
    command = (sys.executable, "-m", "tests.fuzz.fuzz", "one", name, str(corpus), f"-artifact_prefix={finds}", *limits)
    done = subprocess.run([*command, "-print_final_stats=1"], check=False, capture_output=True, text=True)
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    print(f"{name}: {runs[1] if runs else 'no'} runs, status {done.returncode}", flush=True)  # noqa: T201
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n", flush=True)  # noqa: T201
    return done.returncode != 0


def one(name: str, *arguments: str) -> None:
    """Fuzz one target in this process, which that ends."""
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], lambda data: run(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
