"""Fuzzes the targets with atheris, each in its own process: `python -m tests.fuzz.fuzz MINUTES [TARGET...]`.

The corpus of each target is kept in build/fuzz, and so is every input that makes a target fail.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pytest_edgeload", "tomllib", "ruamel"]):
    from tests.fuzz.targets import TARGETS, run

FOLDER = Path("build/fuzz")


def main() -> int:
    """Fuzz the targets on the command line; return the number of targets that failed."""
    if sys.argv[1] == "one":
        fuzz_here(sys.argv[2], *sys.argv[3:])
    minutes, *names = sys.argv[1:]
    return sum(fuzz(name, float(minutes)) for name in names or TARGETS)


def fuzz(name: str, minutes: float) -> bool:
    """Fuzz one target and print how often it ran; return whether it failed."""
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


def fuzz_here(name: str, *arguments: str) -> None:
    """Fuzz one target in this process, and exit."""
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], lambda data: run(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
