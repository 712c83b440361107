"""Report files: tried before anything is measured, and written whole or not at all at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement


def check(kind: str, path: Path, empty: Document) -> None:
    """Make the report of an empty document in the format `kind`, and write it beside `path`, which stays as it is.

    Raises UsageError for an unknown format, Refusal if the format needs a missing package, and OSError.
    """
    if kind not in FORMATS:
        raise UsageError(f"format {kind}", "unknown", suggestion(kind, FORMATS))
    files.try_beside(path, _text(kind, empty, Judgement(), View()))


def write(kind: str, path: Path, document: Document, judgement: Judgement, view: View) -> None:
    """Write the report in the format `kind`. Raises Refusal and OSError, and then leaves the earlier file unchanged."""
    files.write(path, _text(kind, document, judgement, view))


def written(baseline: Path | None, reports: Iterable[tuple[str, Path]]) -> Iterator[str]:
    """Yield a line for the saved baseline and for each report, given as format and path.

    A page has a link that terminals open.
    """
    if baseline is not None:
        yield f"baseline saved as {baseline}"
    for kind, path in reports:
        shown = path.absolute().as_uri() if kind == "html" else path
        yield f"{'records' if kind == 'json' else kind} written to {shown}"


def _text(kind: str, document: Document, judgement: Judgement, view: View) -> bytes:
    return FORMATS[kind](document, judgement, view).encode("utf-8", "backslashreplace")
