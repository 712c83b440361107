"""The page of an advice: the limit to use, the curve of each policy over memory, how sure it is, the next steps."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.report import advice as texts
from pytest_edgeload.report.html import about, frame
from pytest_edgeload.report.html.advice_chart import curves
from pytest_edgeload.results.advice import Advice
from pytest_edgeload.results.document import Document


def render(advice: Advice, next_steps: Sequence[str], document: Document) -> str:
    """Return the page. `next_steps` are commands and lines of code, and `document` describes the machine.

    Raises Unsupported if jinja2 or plotly is not installed.
    """
    first, *others = texts.sentences(advice)
    return frame.page(
        "advice.html.j2",
        "advice.js",
        document,
        curves(advice),
        title=texts.title(advice),
        subtitle=f"Predicted with {texts.source(advice)}; {about.origin(document)}",
        figure=texts.figure_name(advice.objective),
        advice=first,
        sentences=others,
        has_goal=advice.objective.worst is not None,
        limits=texts.best_by_limit(advice),
        confirmations=texts.confirmations(advice),
        policies=texts.by_policy(advice),
        next_steps=next_steps,
    )
