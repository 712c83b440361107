r"""Runs mixes for real and in virtual time on a calibration of the same session, and prints the errors as Markdown.

    python -m tests.accuracy.simulation_errors              # all mixes, policies and limits; some hours
    python -m tests.accuracy.simulation_errors --quick      # eight cells of one mix; two minutes
    python -m tests.accuracy.simulation_errors --rounds=3   # the median of three real runs of each cell

Ctrl-C ends it: the tables then contain the cells so far. The calibration and the real runs are kept in the folder,
build/simulation-errors by default. Another start measures only what is missing there, and predicts all cells anew; with
another `--folder`, it begins anew. The limits are none, and the memory of an idle worker plus parts of the mix's
weights. Conditions hold in virtual time if they held in the real run. Each round runs all cells once. Needs a quiet
machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from models.mixes import MIXES as STUDY_MIXES
from models.today import TODAY_MIXES
from pytest_edgeload import Mix, predict
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, machine, terminal
from pytest_edgeload.cli.measuring import PreparedWorkload
from pytest_edgeload.cli.project import Project, networks_of
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.speeds.measure import SpeedTools, measure_speeds
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.case import AUTO
from tests.accuracy.simulation_table import ComparedCell, Figures, tables

MIXES: Mapping[str, Callable[[], Mix]] = {
    **STUDY_MIXES,
    **TODAY_MIXES,
    "8-tokens": lambda: Mix.of("8-tokens", ["smol_135m"], steps=8),
}
"""The mixes of the study, the mixes of streams, and one of a sequence, by name."""

SHARES = (None, 0.75, 0.5, 0.33, 0.2)
"""The parts of a mix's weights that a limit leaves room for; None is no limit."""

QUICK = (("small-3",), ("bulk", "linear", "masa", "stream"), (None, 0.5))
FOLDER = Path("build/simulation-errors")
_CALIBRATION, _RUNS = "calibration.json", "runs.jsonl"
_MIB = 1 << 20


class RealRun(msgspec.Struct, frozen=True):
    """A real run of one cell in one round. `dropped` are the requests whose condition failed."""

    mix: str
    policy: str
    limit: str
    reader: str
    figures: Figures
    dropped: tuple[int, ...] = ()
    turn: int = 1

    @property
    def key(self) -> _Key:
        """The coordinates of the cell."""
        return self.mix, self.policy, self.limit


_Key = tuple[str, str, str]


class _Question(NamedTuple):
    mix: Mix
    policy: str
    limit: str
    turn: int = 1

    @property
    def key(self) -> _Key:
        return self.mix.name, self.policy, self.limit


def main(given: Sequence[str] | None = None) -> int:
    """Measure what is missing, predict all cells, and print the tables."""
    options = _parser().parse_args(given)
    options.folder.mkdir(parents=True, exist_ok=True)
    registry = Project(Path.cwd()).registry(Store(arguments.cache()))
    names, policies, shares = QUICK if options.quick else (tuple(MIXES), tuple(POLICIES), SHARES)
    mixes = [MIXES[name]() for name in options.mix or names]
    networks = {name: network for mix in mixes for name, network in networks_of(mix, registry).items()}
    cells = _cells(mixes, options.policy or policies, shares, networks)
    questions = [cell._replace(turn=turn) for turn in range(1, options.rounds + 1) for cell in cells]
    speeds, runs = None, []
    try:
        speeds = _calibration(options, registry, tuple(networks))
        runs = list(_runs(options, registry, questions))
    except KeyboardInterrupt:
        sys.stdout.write("interrupted: the tables contain what was measured\n")
    measured = _by_cell(_stored(options.folder), cells, options.rounds)
    if speeds is not None and measured:
        compared = tables([_compared(rounds, cell, networks, speeds) for cell, rounds in measured])
        text = f"{_rounds(measured)}\n\n{compared}"
        sys.stdout.write(f"\n{text}")
        (options.folder / "simulation-errors.md").write_text(text)
    return 0 if len(runs) == len(questions) else 1


def _cells(
    mixes: Sequence[Mix], policies: Sequence[str], shares: Sequence[float | None], networks: Mapping[str, Network]
) -> list[_Question]:
    """Return all cells, those of one mix and limit together. Shares of a small mix may be the same limit: one cell."""
    cells: dict[_Key, _Question] = {}
    for mix in mixes:
        weights_bytes = sum(networks[name].distinct_bytes for name in mix.networks)
        for share in shares:
            limit = "none" if share is None else f"base+{max(64, round(share * weights_bytes / _MIB))}M"
            questions = [_Question(mix, policy, limit) for policy in policies]
            cells |= {question.key: question for question in questions}
    return [*cells.values()]


def _by_cell(runs: Sequence[RealRun], cells: Sequence[_Question], rounds: int) -> list[tuple[_Question, list[RealRun]]]:
    """Return each cell that was measured, with the runs of its first `rounds` rounds."""
    found = [(cell, [run for run in runs if run.key == cell.key and run.turn <= rounds]) for cell in cells]
    return [(cell, own) for cell, own in found if own]


def _rounds(measured: Sequence[tuple[_Question, Sequence[RealRun]]]) -> str:
    """Return a sentence on how many rounds the figures of the cells are medians of."""
    counts = {len(rounds) for _, rounds in measured}
    return f"Rounds of each cell: {min(counts)}" + (f" to {max(counts)}." if len(counts) > 1 else ".")


def _calibration(options: argparse.Namespace, registry: Registry, networks: tuple[str, ...]) -> MachineSpeeds:
    """Return the speeds in the folder, and measure them first if there are none."""
    path = options.folder / _CALIBRATION
    if not path.exists():
        with machine.set_up(options) as prepared:
            folder = prepared.directories.folder
            tools = SpeedTools(prepared.launcher, registry, terminal.show_making, folder, _show)
            measured = measure_speeds(tools, networks, Constraints())
        path.write_bytes(msgspec.json.encode(measured.speeds))
    return msgspec.json.decode(path.read_bytes(), type=MachineSpeeds)


def _show(step: str, number: int, total: int) -> None:
    terminal.say(f"calibrating, step {number + 1} of {total}: {step}")


def _runs(options: argparse.Namespace, registry: Registry, questions: Sequence[_Question]) -> Iterator[RealRun]:
    """Yield the real run of each cell and round, and store those that are new."""
    stored = {(run.key, run.turn): run for run in _stored(options.folder)}
    asked = {(question.key, question.turn): question for question in questions}
    yield from (stored[key] for key in asked if key in stored)
    missing = [question for key, question in asked.items() if key not in stored]
    if not missing:
        return
    with machine.set_up(options) as prepared, (options.folder / _RUNS).open("ab", buffering=0) as file:
        bench = Bench(prepared.launcher, registry, POLICIES, prepared.directories.folder, terminal.show_making)
        for i, question in enumerate(missing):
            workload = PreparedWorkload(bench, question.mix, prepared.cap, AUTO, prepared.threads)
            try:
                run = _measured(workload, question)
            except Refusal as error:
                terminal.say(f"{', '.join(question.key)}: {error}")
                continue
            terminal.say(f"{i + 1} of {len(missing)}: {', '.join(question.key)}: {run.figures.outcome}")
            file.write(msgspec.json.encode(run) + b"\n")
            yield run


def _measured(workload: PreparedWorkload, question: _Question) -> RealRun:
    limit = None if question.limit == "none" else Limit.parse(question.limit)
    case = workload.case(question.policy, limit)
    run = workload.measure(case)
    figures = Figures.of(run, has_streams=_has_streams(question.mix))
    return RealRun(*question.key, case.reader, figures, run.dropped, question.turn)


def _stored(folder: Path) -> list[RealRun]:
    path = folder / _RUNS
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=RealRun) for line in lines]


def _compared(
    rounds: Sequence[RealRun], cell: _Question, networks: dict[str, Network], speeds: MachineSpeeds
) -> ComparedCell:
    """Return the median of the real runs of a cell with its prediction."""
    run = rounds[0]
    predicted = predict(
        cell.mix.workload(networks),
        run.policy,
        memory=None if run.limit == "none" else run.limit,
        reader=run.reader,
        speeds=speeds,
        holds=lambda request: request not in run.dropped,
    )
    real = Figures.median([run.figures for run in rounds])
    return ComparedCell(*run.key, real, Figures.of(predicted, has_streams=_has_streams(cell.mix)))


def _has_streams(mix: Mix) -> bool:
    return any(ask.stream for ask in mix.asks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulation_errors", description="Compare simulations with real runs.")
    parser.add_argument("--quick", action="store_true", help="eight cells of one mix")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of calibration and runs (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="real runs of each cell (%(default)s)")
    parser.add_argument("--mix", action="append", choices=MIXES, help="a mix; several times for several mixes")
    parser.add_argument("--policy", action="append", choices=POLICIES, help="a policy; several times for several")
    machine.add_arguments(parser)
    parser.set_defaults(swap="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
