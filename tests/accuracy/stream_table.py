"""The tables of stream_goals: each cell is a mix under a limit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from pytest_edgeload import Record, format_size, spread

KEEP_ALIVE = ("lru", "ttl", "pin")
LOW_SHARE, MIN_RATIO = 0.6, 1.5
"""At 768M, `stream` should have 1.5 times the share in time of the best keep-alive policy if that is below 60 %."""

Cell = dict[str, Record]
"""The records of a mix under a limit, by policy."""


def report(records: Sequence[Record]) -> str:
    """Return one table of all cells, and one with all figures for each mix, in Markdown."""
    cells: dict[tuple[str, str], Cell] = {}
    for record in records:
        cells.setdefault((record.case.workload, record.case.limit or "none"), {})[record.case.policy] = record
    tables = [_table(("mix", "limit", "stream", "best keep-alive", "ratio", "best other", "goals"), _goals(cells))]
    for mix in dict.fromkeys(mix for mix, _ in cells):
        head = (mix, "policy", "in time", "p90 s", "swap", "peak", "over best keep-alive")
        tables.append(_table(head, (row for (name, limit), cell in cells.items() if name == mix
                                    for row in _figures(limit, cell))))  # fmt: skip
    return "\n\n".join(tables) + "\n"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def _goals(cells: dict[tuple[str, str], Cell]) -> Iterator[Sequence[str]]:
    for (mix, limit), cell in cells.items():
        keeper, other = _best(cell, keep_alive=True), _best(cell, keep_alive=False)
        ours = _share(cell.get("stream"))
        yield (
            *(mix, limit, _percent(ours), _named(keeper, cell), _ratio(ours, _share(cell.get(keeper)))),
            *(_named(other, cell), "; ".join(missed(cell, limit)) or "met"),
        )


def _figures(limit: str, cell: Cell) -> Iterator[Sequence[str]]:
    best = _share(cell.get(_best(cell, keep_alive=True)))
    for policy, record in cell.items():
        share = _share(record)
        swap = sum(_median(record, metric) or 0 for metric in ("swap_in_bytes", "swap_out_bytes"))
        peak, p90_s = _median(record, "peak_bytes"), _median(record, "response_p90_s")
        failed = [run.outcome for run in record.rounds if run.outcome != "ok"]
        yield (
            *(limit, policy, ", ".join(failed) or _percent(share), "" if p90_s is None else f"{p90_s:.2f}"),
            *(format_size(int(swap)), "" if peak is None else format_size(int(peak)), _ratio(share, best)),
        )


def missed(cell: Cell, limit: str) -> list[str]:
    """Return the goals that `stream` does not meet in this cell."""
    ours = _share(cell.get("stream"))
    if ours is None:
        return ["no share in time"]
    others = [share for policy, record in cell.items() if policy != "stream" and (share := _share(record)) is not None]
    best = _share(cell.get(_best(cell, keep_alive=True)))
    goals = {
        f"lower than {_percent(max(others, default=0.0))}": ours >= max(others, default=0.0),
        "swapped": not _median(cell["stream"], "swap_out_bytes"),
        f"below {MIN_RATIO} x keep-alive": limit != "768M" or best is None or best >= LOW_SHARE
        or ours >= MIN_RATIO * best,
    }  # fmt: skip
    return [goal for goal, is_met in goals.items() if not is_met]


def _best(cell: Cell, *, keep_alive: bool) -> str:
    """Return the policy with the highest share in time, of keep-alive policies or of others except `stream`."""
    shares = {
        policy: share
        for policy, record in cell.items()
        if policy != "stream" and (policy.partition("(")[0] in KEEP_ALIVE) == keep_alive
        and (share := _share(record)) is not None
    }  # fmt: skip
    return max(shares, key=shares.__getitem__, default="")


def _share(record: Record | None) -> float | None:
    """Return the median share of requests in time; a run that failed has none in time."""
    if record is None:
        return None
    return 0.0 if any(run.outcome != "ok" for run in record.rounds) else _median(record, "in_time")


def _median(record: Record, metric: str) -> float | None:
    found = spread(record, metric)
    return None if found is None else found.median


def _named(policy: str, cell: Cell) -> str:
    return f"{_percent(_share(cell[policy]))} {policy}" if policy else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _ratio(ours: float | None, other: float | None) -> str:
    return "" if ours is None or not other else f"{ours / other:.2f}"
