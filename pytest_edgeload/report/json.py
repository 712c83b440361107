"""The whole document as JSON, in the schema of records; a baseline has the same schema."""

from __future__ import annotations

from pytest_edgeload.report.view import View
from pytest_edgeload.results import document as documents
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement


def render(document: Document, judgement: Judgement, view: View) -> str:  # noqa: ARG001  # shows all records
    """Return the document as JSON."""
    return documents.render(document).decode()
