"""The command as a shell starts it, and a project with two small networks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.plugin.sessions import CONFTEST, PATIENCE_S

COMMAND: Final = [sys.executable, "-P", "-c", "import sys; from pytest_edgeload.cli import main; sys.exit(main())"]

OWN: Final = f"""\
import dataclasses, pytest
from pytest_edgeload import Builder, Plan
from pytest_edgeload.policies import POLICIES

{CONFTEST}

def mine(workload, budget):
    return Plan(POLICIES["linear"](workload, budget).tasks, lanes=(budget.memory_bytes or 0) // 1024 + budget.lanes)

def lacking(workload, budget):
    return Plan(POLICIES["linear"](workload, budget).tasks[:-1])

def stuck(workload, budget):
    # Both requests have to begin before the first goes on, and there is memory for one.
    plan = Builder(workload, memory_bytes=1)
    steps = [plan.add("init", r, reserve=1) for r in range(2)]
    for r, request in enumerate(workload.requests):
        for i in range(len(request.network.layers)):
            for kind in ("load", "exec", "free"):
                steps = [plan.add(kind, r, i, after=steps)]
    return plan.done()

def pytest_edge_policies(register):
    for policy in (mine, lacking, stuck):
        register(policy.__name__, policy)

def pytest_edge_peers(register):
    register("lean", "no_such_module:lean")
"""
"""A conftest with its own policies: one shows its budget as lanes, one per KiB; two are wrong."""

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def environment(cache: Path) -> dict[str, str]:
    """Return an environment with no variables for the command except the folder of networks."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    kept.pop("PYTHONUNBUFFERED", None)  # with it Python does not notice that a pipe broke in the middle of a write
    return kept | {"PYTEST_EDGE_CACHE_DIR": str(cache), "COLUMNS": "120"}


def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def run_in(folder: Path, *arguments: str, cache: Path | None = None, **env: str) -> Done:
    """Run the command in a folder, which is also the folder of networks by default."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder, env=environment(cache or folder) | env, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
