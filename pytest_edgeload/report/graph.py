"""Drawings of a plan: a table in the order of execution, a Graphviz graph, a Mermaid flowchart. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.networks.layer import Layer
from pytest_edgeload.planning.plan import Kind, Plan, Span, StepLoop, Task
from pytest_edgeload.planning.simulate import Simulation
from pytest_edgeload.report.grid import text_table
from pytest_edgeload.report.stream_timeline import stream_timeline
from pytest_edgeload.results.derived import rows, weight_bytes
from pytest_edgeload.workload import Workload

_NONE = "-"
_HEADERS = ("start ms", "lane", "task", "kind", "request", "network", "layer", "name", "bytes", "after")

_TIED = "several layers share weights: each load lists them, but a request reads and holds them once"
_COLOURS: dict[Kind, str] = {"init": "#d9d9d9", "load": "#9ecae1", "exec": "#a1d99b", "free": "#ffffff"}
_MERMAID_SHAPES: dict[Kind, str] = {"init": '(["{}"])', "load": '[/"{}"/]', "exec": '["{}"]', "free": '("{}")'}
_DOT_SHAPES: dict[Kind, str] = {"init": "ellipse", "load": "box3d", "exec": "box", "free": "note"}


def text(
    plan: Plan, workload: Workload, simulated: Simulation, title: str = "", speeds: str = "at nominal speeds"
) -> str:
    """Return a table of the tasks in the order of execution, below the predicted peak and makespan of the plan.

    Of a loop, it has the first step. A workload with streams has a table of these as well.
    `title` adds facts that the plan does not contain: its policy and the memory. `speeds` says at which speeds it ran.
    """
    head = [f"workload {printable(workload.name)}", title, _count(plan.lanes, "lane"), _count(len(plan.tasks), "task")]
    peak = f"{format_size(simulated.peak_bytes)} (weights {format_size(simulated.peak_weight_bytes)})"
    lines = [_row(span, plan.tasks[span.task], workload) for span in simulated.spans if not span.step]
    table = text_table(_HEADERS, lines, texts={3, 5, 7, 9})
    return "\n".join(
        [
            ", ".join(part for part in head if part),
            f"predicted peak: {peak}",
            f"predicted makespan: {_milliseconds(simulated.makespan_s)} ms; all times are estimates {speeds}",
            *([_TIED] if any(request.network.tied_weights for request in workload.requests) else []),
            *_feeds(workload),
            *map(_loop, plan.loops),
            *stream_timeline(plan, workload, simulated),
            "",
            *(line.rstrip() for line in table.splitlines()),
        ]
    )


def _feeds(workload: Workload) -> Iterator[str]:
    """Yield a line for each input that comes from an earlier request."""
    for r, request in enumerate(workload.requests):
        for feed in request.feeds:
            output = f"output {feed.output} of request {feed.request}"
            value = output if feed.rule == "same" else f"the {feed.rule} of {output}"
            yield f"request {r}: input {printable(str(feed.input))} is {value}"


def _loop(loop: StepLoop) -> str:
    return f"loop: tasks {loop.first} to {loop.end - 1}, x {loop.steps}; the table has the first step"


def dot(plan: Plan, workload: Workload) -> str:
    """Return the plan in Graphviz' language: a cluster for each request, an arrow from each awaited task.

    A dashed arrow leads from a task to one that waits for it in the next step of a loop.

    Syntax: https://graphviz.org/doc/info/lang.html
    """
    lines = [
        f"digraph {_dot_quoted(workload.name)} {{",
        '  graph [fontname="sans-serif"];',
        '  node [fontname="sans-serif", style=filled];',
    ]
    for r, members in _requests(plan, workload):
        lines += [f"  subgraph cluster_{r} {{", f"    label={_dot_quoted(_request(r, workload))};"]
        for index in members:
            task = plan.tasks[index]
            label = _dot_quoted(*_label(index, plan, workload))
            shape, colour = _DOT_SHAPES[task.kind], _COLOURS[task.kind]
            lines.append(f'    t{index} [label={label}, shape={shape}, fillcolor="{colour}"];')
        lines.append("  }")
    lines += [f"  t{before} -> t{after};" for before, after in _edges(plan)]
    lines += [f"  t{before} -> t{after} [style=dashed, constraint=false];" for before, after in _carried(plan)]
    return "\n".join([*lines, "}"])


def mermaid(plan: Plan, workload: Workload) -> str:
    """Return the plan as a Mermaid flowchart: a subgraph for each request, an arrow from each awaited task.

    A dotted arrow leads from a task to one that waits for it in the next step of a loop.

    Syntax: https://mermaid.js.org/syntax/flowchart.html
    """
    lines = ["flowchart TD"]
    for r, members in _requests(plan, workload):
        lines.append(f'  subgraph r{r}["{_mermaid_escaped(_request(r, workload))}"]')
        for index in members:
            task = plan.tasks[index]
            label = "<br/>".join(map(_mermaid_escaped, _label(index, plan, workload)))
            lines.append(f"    t{index}{_MERMAID_SHAPES[task.kind].format(label)}:::{task.kind}")
        lines.append("  end")
    lines += [f"  t{before} --> t{after}" for before, after in _edges(plan)]
    lines += [f"  t{before} -.-> t{after}" for before, after in _carried(plan)]
    lines += [f"  classDef {kind} fill:{colour},stroke:#555555,color:#000000" for kind, colour in _COLOURS.items()]
    return "\n".join(lines)


FORMATS: dict[str, Callable[[Plan, Workload], str]] = {"dot": dot, "mermaid": mermaid}
"""The formats that draw a plan without simulating it."""


def _row(span: Span, task: Task, workload: Workload) -> tuple[str, ...]:
    layer = _layer(task, workload)
    sign = {"load": "+", "free": "-"}.get(task.kind)
    return (
        _milliseconds(span.start_s),
        str(span.lane),
        str(span.task),
        task.kind,
        str(task.request),
        workload.requests[task.request].network.name,
        _NONE if task.layer is None else str(task.layer),
        _NONE if layer is None else layer.name + rows(task),
        _NONE if sign is None else sign + format_size(weight_bytes(task, workload)),
        ",".join(map(str, task.after)) or _NONE,
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _layer(task: Task, workload: Workload) -> Layer | None:
    return None if task.layer is None else workload.requests[task.request].network.layers[task.layer]


def _requests(plan: Plan, workload: Workload) -> Iterator[tuple[int, list[int]]]:
    """Yield each request with the indices of its tasks."""
    members: list[list[int]] = [[] for _ in workload.requests]
    for index, task in enumerate(plan.tasks):
        members[task.request].append(index)
    yield from enumerate(members)


def _edges(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield (awaited, waiting) for each dependency."""
    for index, task in enumerate(plan.tasks):
        for awaited in task.after:
            yield awaited, index


def _carried(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield (awaited, waiting) for each dependency on the step before."""
    for index, task in enumerate(plan.tasks):
        for awaited in task.carried:
            yield awaited, index


def _request(r: int, workload: Workload) -> str:
    request = workload.requests[r]
    return f"request {r}: {request.network.name}{f', stream {request.stream}' if request.stream else ''}"


def _label(index: int, plan: Plan, workload: Workload) -> list[str]:
    """Return the lines of a task's label: index and kind, name of its layer, and the dispatcher's rules for it."""
    task = plan.tasks[index]
    layer = _layer(task, workload)
    lines = [f"{index}: {task.kind}" + ("" if layer is None else f" {task.layer}")]
    if layer is not None:
        size = f", {format_size(weight_bytes(task, workload))}" if task.kind in {"load", "free"} else ""
        lines.append(layer.name + rows(task) + size)
    rules = [] if task.lane is None else [f"lane {task.lane}"]
    if task.priority:
        rules.append(f"priority {' '.join(f'{part:g}' for part in task.priority)}")
    if task.reserve:
        rules.append(f"reserves {format_size(task.reserve)}")
    if task.weights_of is not None:
        rules.append(f"weights of request {task.weights_of}")
    if task.place is not None:
        rules.append(f"to {format_size(task.place)}")
    rules += [f"x {loop.steps}" for loop in plan.loops if index in loop]
    return [*lines, ", ".join(rules)] if rules else lines


def _dot_quoted(*lines: str) -> str:
    """Return `lines` as one string in Graphviz' language, in which backslashes and `&` are special."""
    escaped = [printable(line).replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;") for line in lines]
    return '"' + r"\n".join(escaped) + '"'


def _mermaid_escaped(line: str) -> str:
    """Return `line` with entities for all characters that are special in labels, Markdown or HTML."""
    return "".join(char if char.isalnum() or char in " _,:.+-" else f"#{ord(char)};" for char in printable(line))
