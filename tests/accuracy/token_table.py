"""The cells of `token_goals`, and the tables of their times and goals. Pure, except that `tables` reads files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tabulate import tabulate

from pytest_edgeload.results.document import parse
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record

MIB = 1 << 20
LIMITS: Mapping[str, int | None] = {
    "none": None, "three-quarters": 517 * MIB, "half": 345 * MIB, "quarter": 172 * MIB, "96M": 96 * MIB,
}  # fmt: skip
"""The room for the 690 MiB of weights of smol_360m, by the name of the limit."""

OWN_BYTES = {
    "llama.cpp-mmap": 48 * MIB, "generate": 352 * MIB, "generate-mmap": 352 * MIB, "airllm": 352 * MIB,
}  # fmt: skip
"""Memory that a program holds beside the weights, above the idle worker that calls functions."""

PEERS_BYTES = 176 * MIB
"""The same for the other peers, above the idle worker of the policies: they import all of PyTorch and transformers."""


@dataclass(frozen=True)
class Cell:
    """A method that runs a decoder with a limit: a policy, a peer or a program.

    `tokens` are those that it generates, of which the first comes from the prompt. They are fewer if each takes long,
    because the time of a token is then steady.
    """

    method: str
    limit: str
    type: str = "f16"
    tokens: int = 32
    sequences: int = 1
    read_bw: str = ""

    @property
    def name(self) -> str:
        """The cell in words, which are the id of its test."""
        several = "two-sequences" if self.sequences > 1 else ""
        return " ".join(filter(None, (self.method, self.type, self.limit, several, self.read_bw)))

    @property
    def network(self) -> str:
        """The decoder of this type."""
        if self.method.startswith("onnxruntime"):
            return "smol_360m_cached"  # a converted model takes and returns its cache, and begins with one token
        return "smol_360m" if self.type == "f16" else f"smol_360m_{self.type}"

    @property
    def title(self) -> str:
        """The name of the mix."""
        return f"{self.network}, {self.sequences} x {self.tokens} tokens"

    @property
    def is_peer(self) -> bool:
        """Whether this is not one of the policies."""
        return self.method != "stream"

    def is_due(self, edge_round: int, measured: int) -> bool:
        """Return whether this round measures the cell, of which so many rounds are measured.

        Other programs take longer and vary less, so they are measured in every second round, and throttled reads, which
        vary least, in two.
        """
        if self.read_bw:
            return measured <= edge_round < 2
        if self.is_peer:
            return edge_round % 2 == 0 and edge_round // 2 >= measured
        return edge_round >= measured

    @property
    def memory(self) -> str | None:
        """The limit: the room for weights above the memory that the method itself needs."""
        room_bytes = LIMITS[self.limit]
        if room_bytes is None:
            return None
        own_bytes = OWN_BYTES.get(self.method, PEERS_BYTES if self.is_peer else 0)
        return f"base+{(room_bytes + own_bytes) // MIB}M"


THROTTLED = Cell("stream", "half", tokens=8, read_bw="90M")
"""The cell whose reads are held to 90 MB/s; a session of its own measures it."""

_TOKENS = {"none": 32, "three-quarters": 32, "half": 32, "quarter": 16, "96M": 16}
"""The tokens of a decoder under `stream`, by limit."""

CELLS = (
    *(Cell("stream", limit, kind, tokens) for kind in ("f16", "bf16", "int8") for limit, tokens in _TOKENS.items()),
    Cell("stream", "half", sequences=2),
    *(Cell("llama.cpp-mmap", limit, tokens=6) for limit in LIMITS),
    *(Cell("torch-load-mmap", limit, tokens=5) for limit in ("none", "half", "quarter", "96M")),
    *(Cell("generate-mmap", limit, tokens=5) for limit in ("none", "half")),
    *(Cell(peer, limit, tokens=4) for peer in ("accelerate-disk", "safetensors-lazy") for limit in ("half", "quarter")),
    *(Cell(method, "none", tokens=16) for method in ("torch-load", "generate")),
    *(Cell("airllm", limit, tokens=4) for limit in ("half", "quarter")),
    Cell("onnxruntime", "none", tokens=8),
    Cell("onnxruntime-mmap", "half", tokens=4),
    THROTTLED,
)

Figures = Mapping[Cell, Sequence[Measurement]]
"""The measurements of each cell, one for each round."""


def tables(files: Iterable[Path]) -> str:
    """Return the tables of the records in these files, as Markdown."""
    figures = measured(files)
    return f"{_times(figures)}\n\n{_goals(figures)}\n"


def measured(files: Iterable[Path]) -> Figures:
    """Return the measurements in these files by cell, in the order of the cells."""
    records = [record for file in files for record in parse(file.read_bytes()).records]
    found: dict[str, list[Measurement]] = {}
    for record in records:
        found.setdefault(_cell_name(record), []).extend(record.rounds)
    return {cell: found[cell.name] for cell in CELLS if cell.name in found}


def _cell_name(record: Record) -> str:
    """Return the id of a record's test, without the other parameters in it."""
    return next((cell.name for cell in CELLS[::-1] if f"[{cell.name}]" in record.case.test), "")


def _times(figures: Figures) -> str:
    rows = [(cell.name, len(runs), *_row(runs)) for cell, runs in figures.items()]
    headers = ("cell", "rounds", "s/token", "x bound", "tokens/s", "peak MiB", "swap MiB", "major faults", "outcome")
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _row(runs: Sequence[Measurement]) -> tuple[str, ...]:
    return (
        _text(_middle(runs, _s_per_token)),
        _text(_middle(runs, _bounds)),
        _text(_middle(runs, lambda run: run.steps_per_s)),
        _text(_middle(runs, lambda run: run.peak_bytes / MIB if run.peak_bytes is not None else None), 0),
        _text(_middle(runs, _swap_mib), 0),
        _text(_middle(runs, lambda run: run.major_faults), 0),
        "/".join(dict.fromkeys(run.outcome for run in runs)),
    )


def _goals(figures: Figures) -> str:
    """Return a row for each goal: the figure, and whether it is met; nothing for what was not measured."""
    rows = [
        (
            name,
            _text(ratio),
            f"{sign} {goal:g}",
            "met" if (ratio <= goal if sign == "<=" else ratio >= goal) else "missed",
        )
        for name, ratio, sign, goal in _ratios(figures)
        if ratio is not None
    ]
    return tabulate(rows, ("figure", "value", "goal", ""), tablefmt="github", disable_numparse=True)


def _ratios(figures: Figures) -> Iterable[tuple[str, float | None, str, float]]:
    """Yield the name, value, direction and goal of each ratio."""

    def time_s(method: str, limit: str, kind: str = "f16") -> float | None:
        cells = [cell for cell in figures if (cell.method, cell.limit, cell.type) == (method, limit, kind)]
        plain = [cell for cell in cells if cell.sequences == 1 and not cell.read_bw]
        return _middle(figures[plain[0]], _s_per_token) if plain else None

    for cell, runs in figures.items():
        if cell.method == "stream" and cell.sequences == 1:
            yield f"{cell.name} / bound", _middle(runs, _bounds), "<=", 1.05 if cell.read_bw else 1.25
    for limit, goal in (("none", 1.0), ("half", 0.2), ("quarter", 0.15)):
        yield f"f16 {limit} / llama.cpp", _ratio(time_s("stream", limit), time_s("llama.cpp-mmap", limit)), "<=", goal
    for limit in ("half", "quarter", "96M"):
        peers = {cell.method for cell in figures if cell.is_peer and cell.method != "llama.cpp-mmap"}
        best = min((time for peer in peers if (time := time_s(peer, limit)) is not None), default=None)
        yield f"f16 {limit} / best other peer", _ratio(time_s("stream", limit), best), "<=", 0.3
    yield "f16 none / plain PyTorch", _ratio(time_s("stream", "none"), time_s("torch-load", "none")), "<=", 1.0
    for limit in ("half", "quarter", "96M"):
        yield f"int8 {limit} / f16", _ratio(time_s("stream", limit, "int8"), time_s("stream", limit)), "<=", 0.6
    speeds = [
        _middle(figures.get(Cell("stream", "half", sequences=n), ()), lambda run: run.steps_per_s) for n in (2, 1)
    ]
    yield "tokens/s of two sequences / of one", _ratio(*speeds), ">=", 1.8
    own = [run for cell, runs in figures.items() if cell.method == "stream" for run in runs]
    yield "most MiB swapped by stream", max(map(_swap_mib, own), default=None), "<=", 0
    yield "most major faults of stream", max((run.major_faults or 0 for run in own), default=None), "<=", 0
    lost = sum(run.outcome != "ok" for run in own)
    yield "runs of stream that exceed the limit or fail", lost if own else None, "<=", 0


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value / other


def _middle(runs: Sequence[Measurement], value: Callable[[Measurement], float | None]) -> float | None:
    """Return the median of a value over the runs that have it and ended well."""
    found = [number for run in runs if run.outcome == "ok" and (number := value(run)) is not None]
    return median(found) if found else None


def _s_per_token(run: Measurement) -> float | None:
    own = run.own.get("s_per_token")
    return run.step_mean_s if own is None or isinstance(own.value, tuple) else own.value


def _bounds(run: Measurement) -> float | None:
    return run.step_mean_s / run.bound_step_s if run.step_mean_s and run.bound_step_s else None


def _swap_mib(run: Measurement) -> float:
    return ((run.swap_in_bytes or 0) + (run.swap_out_bytes or 0)) / MIB


def _text(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
