"""`edgeload minmem`: the smallest memory limit at which a case works, and at which it does not swap."""

from __future__ import annotations

import argparse

import psutil

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.cli import arguments, measuring, terminal
from pytest_edgeload.cli.measuring import PreparedWorkload
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.planning.budget import MARGIN_BYTES
from pytest_edgeload.planning.plan import InvalidPlan
from pytest_edgeload.report import minmem as texts
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.minmem import Smallest, Trial, confirmed, smallest
from pytest_edgeload.sandbox.swap import Swap

_GATE_STATUS = 1


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    measuring.add_arguments(parser)
    add = parser.add_argument
    add("--policy", default=REFERENCE, metavar="NAME", help="loading policy (default: %(default)s)")
    step = "the limits tried are multiples of this size (default: 4M)"
    add("--step", type=arguments.size, default=4 << 20, metavar="SIZE", help=step)
    rounds = "runs at each limit; all must succeed (default: %(default)s)"
    add("--rounds", type=arguments.count, default=1, metavar="N", help=rounds)
    at_most = "a gate: exit with status 1 if the case needs more than this to work, such as 300M or base+64M"
    add("--at-most", type=arguments.refusing(Limit.parse), metavar="SIZE", help=at_most)
    add("--format", choices=tuple(texts.FORMATS), default="text", help="output format (default: %(default)s)")


def _run(args: argparse.Namespace) -> CommandResult:
    with measuring.set_up(args, (args.policy,)) as setup:
        if not setup.bench.launcher.cap.enforces:
            raise Unsupported(
                "memory limits", "cannot be enforced here", "run as root, or in a delegated cgroup; see edgeload doctor"
            )
        max_bytes = None if args.at_most is None else setup.bench.calibration.limit_bytes(args.at_most)
        result = _Search(setup, args.policy, args.rounds).run(args.step)
    text = texts.FORMATS[args.format](result)
    if result.works_bytes is None:
        return CommandResult(text, _GATE_STATUS)
    if max_bytes is not None and result.works_bytes > max_bytes:
        terminal.say(f"edgeload: the case needs more than --at-most={args.at_most}")
        return CommandResult(text, _GATE_STATUS)
    return CommandResult(text)


class _Search:
    """The search for the smallest limits of a case, with `rounds` runs at each limit; keeps all its trials."""

    def __init__(self, setup: PreparedWorkload, policy: str, rounds: int) -> None:
        self._setup = setup
        self._policy = policy
        self._rounds = rounds
        self._trials: list[Trial] = []

    def run(self, step_bytes: int) -> Smallest:
        """Return the smallest limits, multiples of `step_bytes`. Raises UsageError, and as `Bench.measure` does."""
        setup, swap = self._setup, self._setup.bench.launcher.swap
        idle_bytes = setup.bench.calibration.idle_bytes()
        low = 1 + (idle_bytes + MARGIN_BYTES) // step_bytes
        guess = 1 + (idle_bytes + MARGIN_BYTES + setup.weight_bytes) // step_bytes
        high = psutil.virtual_memory().total // step_bytes
        steps = range(low, high + 1)
        if not steps:
            raise UsageError(
                Setting("step", format_size(step_bytes)),
                "no multiple is between the idle worker's need and all memory",
                "try 4M",
            )
        works = self._smallest_step(steps, guess, step_bytes, Swap(0, usable=False))
        has_swap = swap.usable and swap.size_bytes
        keeps = self._smallest_step(steps, works or guess, step_bytes, swap) if has_swap else None
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

    def _smallest_step(self, steps: range, guess: int, step_bytes: int, swap: Swap) -> int | None:
        def works(step: int) -> bool:
            return all(self._try(step * step_bytes, swap).is_success for _ in range(self._rounds))

        candidate = smallest(steps[0], guess, steps[-1], works)
        return None if candidate is None else confirmed(candidate, steps[-1], works)

    def _try(self, limit_bytes: int, swap: Swap) -> Trial:
        case = self._setup.case(self._policy, Limit(limit_bytes), swap)
        terminal.show(f"edgeload: trying {format_size(limit_bytes)}, swap {swap}")
        try:
            run = self._setup.measure(case, swap)
            trial = Trial(limit_bytes, swap.usable, run.outcome, run.swap_out_bytes, run.detail)
        except InvalidPlan as error:
            trial = Trial(limit_bytes, swap.usable, "no plan", None, str(error))
        terminal.say(f"edgeload: {texts.line(trial)}")
        self._trials.append(trial)
        return trial


SUBCOMMAND = Subcommand(
    "find the smallest memory limit at which a case works, and at which it does not swap",
    "The command bisects the limit, and the result must succeed twice. Each run is a line on standard error.",
    _add_arguments,
    _run,
)
