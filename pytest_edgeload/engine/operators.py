"""A process with the operators of a worker: reads names of operators, and writes those that a worker lacks, as JSON."""

from __future__ import annotations

import sys

import msgspec

from pytest_edgeload.engine.kernels import find_operator


def main() -> None:
    """Answer one list of names on standard input."""
    missing: list[str] = []
    for name in msgspec.json.decode(sys.stdin.buffer.read(), type=list[str]):
        try:
            find_operator(name)
        except LookupError:
            missing.append(name)
    sys.stdout.buffer.write(msgspec.json.encode(missing))


if __name__ == "__main__":
    main()
