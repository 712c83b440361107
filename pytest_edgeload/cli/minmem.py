"""`edgeload minmem`: the smallest memory limit under which a case works, and under which it does not swap."""

from __future__ import annotations

import argparse

import psutil

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.cli import arguments, measuring, terminal
from pytest_edgeload.cli.command import Answer, Command
from pytest_edgeload.cli.measuring import Setup
from pytest_edgeload.planning.budget import MARGIN_BYTES
from pytest_edgeload.planning.plan import InvalidPlan
from pytest_edgeload.report import minmem as words
from pytest_edgeload.results.minmem import Smallest, Trial, confirmed, smallest
from pytest_edgeload.results.record import REFERENCE
from pytest_edgeload.sandbox.swap import Swap

_TOO_MUCH = 1


def _add(parser: argparse.ArgumentParser) -> None:
    measuring.add(parser)
    add = parser.add_argument
    add("--policy", default=REFERENCE, metavar="NAME", help="the loading policy (default: %(default)s)")
    add("--step", type=arguments.size, default=4 << 20, metavar="SIZE", help="limits are multiples of it (default: 4M)")
    rounds = "runs by which a limit is tried, all of which must do (default: %(default)s)"
    add("--rounds", type=arguments.count, default=1, metavar="N", help=rounds)
    most = "a gate: status 1 if it takes more than this, 300M or base+64M say, to work"
    add("--at-most", type=arguments.refusing(Limit.parse), metavar="SIZE", help=most)
    add("--format", choices=tuple(words.FORMATS), default="text", help="default: %(default)s")


def _run(asked: argparse.Namespace) -> Answer:
    with measuring.set_up(asked, (asked.policy,)) as setup:
        if not setup.bench.launcher.cap.enforces:
            raise Unsupported(
                "no memory limit can be enforced here; run as root, or where cgroups are delegated to you"
            )
        most = None if asked.at_most is None else setup.bench.calibration.limit_bytes(asked.at_most)
        found = _Search(setup, asked.policy, asked.rounds).smallest(asked.step)
    text = words.FORMATS[asked.format](found)
    if found.works_bytes is None:
        return Answer(text, _TOO_MUCH)
    if most is not None and found.works_bytes > most:
        terminal.say(f"edgeload: it takes more than --at-most={asked.at_most}")
        return Answer(text, _TOO_MUCH)
    return Answer(text)


class _Search:
    """Tries limits, and keeps what it saw. `rounds` are the runs by which a limit is tried."""

    def __init__(self, setup: Setup, policy: str, rounds: int) -> None:
        self._setup = setup
        self._policy = policy
        self._rounds = rounds
        self._trials: list[Trial] = []

    def smallest(self, step_bytes: int) -> Smallest:
        """Return what there is to be found, in multiples of `step_bytes`. Raises what `Bench.measure` raises."""
        setup, swap = self._setup, self._setup.bench.launcher.swap
        idle_bytes = setup.bench.calibration.idle_bytes()
        low = 1 + (idle_bytes + MARGIN_BYTES) // step_bytes
        guess = 1 + (idle_bytes + MARGIN_BYTES + setup.weight_bytes) // step_bytes
        most = psutil.virtual_memory().total // step_bytes
        steps = range(low, most + 1)
        if not steps:
            raise UsageError(f"--step={format_size(step_bytes)}: no multiple of it is a limit here; try 4M")
        works = self._find(steps, guess, step_bytes, Swap(0, usable=False))
        keeps = self._find(steps, works or guess, step_bytes, swap) if swap.usable and swap.size_bytes else None
        return Smallest(
            workload=setup.mix.name,
            policy=self._policy,
            reader=setup.reader,
            threads=setup.threads,
            cap=setup.cap,
            swap=str(swap),
            idle_bytes=idle_bytes,
            step_bytes=step_bytes,
            works_bytes=None if works is None else works * step_bytes,
            keeps_in_memory_bytes=None if keeps is None else keeps * step_bytes,
            trials=tuple(self._trials),
        )

    def _find(self, steps: range, guess: int, step_bytes: int, swap: Swap) -> int | None:
        def does(limit: int) -> bool:
            return all(self._tried(limit * step_bytes, swap).is_success for _ in range(self._rounds))

        found = smallest(steps[0], guess, steps[-1], does)
        return None if found is None else confirmed(found, steps[-1], does)

    def _tried(self, limit_bytes: int, swap: Swap) -> Trial:
        case = self._setup.case(self._policy, Limit(limit_bytes), swap)
        terminal.show(f"edgeload: trying {format_size(limit_bytes)}, swap {swap}")
        try:
            run = self._setup.measure(case, swap)
            trial = Trial(limit_bytes, swap.usable, run.outcome, run.swap_out_bytes, run.detail)
        except InvalidPlan as error:
            trial = Trial(limit_bytes, swap.usable, "no plan", None, str(error))
        terminal.say(f"edgeload: {words.line(trial)}")
        self._trials.append(trial)
        return trial


COMMAND = Command(
    "find the smallest memory limit under which a case works, and under which it does not swap",
    _add,
    _run,
    " Halves what is left with each run; what it finds must work twice. Each run is told on standard error.",
)
