"""The text about a session at its end: the tables, the verdicts, and the comparison with the baseline. Pure."""

from __future__ import annotations

from pytest_edgeload.report import comparison, terminal
from pytest_edgeload.report.closing import closing
from pytest_edgeload.report.notes import failures
from pytest_edgeload.report.view import View
from pytest_edgeload.results.comparison import BaselineComparison
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.gate import Gate


def text(
    document: Document,
    judgement: Judgement,
    compared: BaselineComparison,
    view: View,
    *,
    is_quiet: bool,
) -> str:
    """Return the tables and the comparison with the baseline; of a quiet session only failures and bad verdicts."""
    verdicts, gate = terminal.verdicts(judgement, view), compared.gate
    if is_quiet:
        is_well = not judgement.idle and judgement.counts.keys() <= {"ok"}
        parts = ["\n".join(failures(document.records)), compared.sentence, "" if is_well else verdicts]
    else:
        changes = _changes(gate, document, view)
        shown = terminal.summary(document, judgement, view)
        parts = [shown, compared.sentence, changes, verdicts, closing(document.records, view)]
    return "\n\n".join(part for part in parts if part)


def _changes(gate: Gate, document: Document, view: View) -> str:
    """Return the table of the cases that the baseline has as well, or a sentence if there are none."""
    before, after = () if gate.baseline is None else gate.baseline.records, document.records
    table = comparison.table(before, after, strangers=gate.strangers, width=view.width)
    is_missing = bool(before and after) and not table and not gate.thresholds  # findings name such cases
    return comparison.without_common_case(before, after, ("the baseline", "this session")) if is_missing else table
