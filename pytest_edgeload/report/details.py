"""The table below a table of requests over time: by stream, or by network if they belong to no streams. Pure."""

from __future__ import annotations

from pytest_edgeload.report import networks, streams
from pytest_edgeload.report.grid import Grid
from pytest_edgeload.report.tables import Table


def grid(table: Table) -> Grid | None:
    """Return the details of a table; None if all requests arrive at once."""
    return streams.grid(table) or networks.grid(table)
