"""Runs of the best choices of an advice, each next to its prediction."""

from __future__ import annotations

from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import terminal
from pytest_edgeload.cli.measuring import PreparedWorkload
from pytest_edgeload.measuring.confirmations import ConfirmationEntry, Confirmations
from pytest_edgeload.results.advice import Advice, ChoiceRun, Confirmation

_MAX_RUNS = 3


def confirm(advice: Advice, prepared: PreparedWorkload, kept: Confirmations, machine: str) -> tuple[Confirmation, ...]:
    """Run the best choices of an advice under its limit, and keep each with its prediction. Raises Refusal."""
    return tuple(_confirm(advice, each, prepared, kept, machine) for each in _top(advice))


def _top(advice: Advice) -> list[ChoiceRun]:
    """Return the best predictions under the limit to use, then the best ones under larger limits.

    If no limit will do, they begin with the largest one.
    """
    first = advice.limits[-1].limit_bytes if advice.recommended is None else advice.recommended.limit_bytes
    own, *larger = (each for each in advice.limits if each.limit_bytes >= first)
    working = [each for each in own.predictions if each.works]
    return [*working, *(each.best for each in larger if each.best is not None)][:_MAX_RUNS]


def _confirm(
    advice: Advice, predicted: ChoiceRun, prepared: PreparedWorkload, kept: Confirmations, machine: str
) -> Confirmation:
    choice, limit = predicted.choice, Limit(predicted.limit_bytes)
    terminal.show(f"edgeload: running {choice.policy} at {limit}")
    case = prepared.with_reader(choice.reader, choice.threads).case(choice.policy, limit)
    run = prepared.measure(case)
    measured = ChoiceRun.of(choice, predicted.limit_bytes, advice.objective, run)
    confirmation = Confirmation(predicted, measured)
    circumstances = machine, advice.device, advice.workload, advice.objective.metric, advice.is_calibrated
    kept.add(ConfirmationEntry(*circumstances, confirmation))
    terminal.show("")
    return confirmation
