"""The header and the summary of a session, as texts. Pure functions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.plugin.comparison import Comparison
from pytest_edgeload.plugin.settings import File
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.report import comparison, terminal
from pytest_edgeload.report.closing import closing
from pytest_edgeload.report.notes import failures
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.caps.outer import below_machine
from pytest_edgeload.sandbox.environment import removed


def header(setup: Setup, *, is_interleaved: bool) -> str | None:
    """Return the lines of the header, with the limits and what enforces them; None under --edge-skip."""
    settings, seed = setup.settings, setup.seed
    if settings.skip:
        return None
    if settings.disable:
        return f"edgeload: disabled, every case runs once without a limit and nothing is recorded, seed {seed}"
    enforced = f"enforced by {setup.cap}" if setup.is_enforced else "NOT enforced (cap none)"
    reads = "" if settings.read_bw is None else f"reads at {exact_size(settings.read_bw)}/s, "
    threads = f"threads {settings.threads}, " if setup.devices.devices.keys() == {None} else ""
    order = "" if is_interleaved else " not interleaved (xdist)"
    # As another user than root, there is no choice of a user, so the header does not name it.
    user = "" if setup.user.ids is None and os.geteuid() != 0 else f"workers as {setup.user.name}, "
    instruments = removed(settings.keep_env)
    without = f"runs without {instruments} (see --edge-keep-env), " if instruments else ""
    line = (
        f"edgeload: {setup.devices} {enforced}, swap {settings.swap}, "
        f"{reads}{threads}rounds {settings.rounds}{order}, {user}{without}seed {seed}"
    )
    return "\n".join(filter(None, [line, _outer(setup)]))


def _outer(setup: Setup) -> str:
    """Return a line about the limits of the groups around pytest; empty without any."""
    words = ", ".join(map(str, below_machine(CAPS[setup.cap].outer().limits)))
    return printable(f"edgeload: groups around pytest hold every run to {words}") if words else ""


def text(
    document: Document,
    judgement: Judgement,
    compared: Comparison,
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
        before = () if gate.baseline is None else gate.baseline.records
        changes = comparison.table(before, document.records, is_alike=gate.is_alike, width=view.width)
        shown = terminal.summary(document, judgement, view)
        parts = [shown, compared.sentence, changes, verdicts, closing(document.records, view)]
    return "\n\n".join(part for part in parts if part)


def files_written(baseline: Path | None, files: Sequence[File]) -> Iterator[str]:
    """Yield a line for the saved baseline and for each report file; a page has a link that terminals open."""
    if baseline is not None:
        yield f"baseline saved as {baseline}"
    for file in files:
        path = file.path.absolute().as_uri() if file.format == "html" else file.path
        yield f"{'records' if file.format == 'json' else file.format} written to {path}"
