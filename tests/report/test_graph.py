"""A plan as text, dot and Mermaid: the drawing equals the plan with any names of networks and layers."""

from __future__ import annotations

import html
import re
import shutil
import subprocess

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.planning.plan import Plan, Task
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.report import graph
from pytest_edgeload.workload import Request, Workload
from tests.builders import network, plan_of, workload, workloads

GRAPHVIZ = shutil.which("dot")
needs_graphviz = pytest.mark.skipif(GRAPHVIZ is None, reason="Graphviz is not installed")

words = st.text(max_size=12) | st.sampled_from(
    [
        'a"b',
        "a\\",
        "\\n",
        "\\N",
        "a\nb",
        "x[0].y",
        "end",
        "]",
        '"]',
        "&lt;",
        "<b>",
        "#quot;",
        "`a`",
        "%%",
        "-->",
        "1. a",
    ]
)
"""Names, with characters that are special in one of the languages."""


def called(name: str, *layers: str) -> Workload:
    """Return a workload called `name` with one request of a network of that name with `layers`."""
    plain = network(*[(1, 1, 1)] * len(layers))
    named = tuple(msgspec.structs.replace(layer, name=each) for layer, each in zip(plain.layers, layers, strict=True))
    return Workload(name, (Request(msgspec.structs.replace(plain, name=name, layers=named)),))


def edges(plan: Plan) -> list[tuple[int, int]]:
    """Return (awaited, waiting) for each dependency."""
    return sorted((awaited, index) for index, task in enumerate(plan.tasks) for awaited in task.after)


def rows(shown: str) -> list[list[str]]:
    """Return the cells of all tasks in a plan as text."""
    return [line.split() for line in shown.splitlines()[6:]]


def drawn(shown: str, node: str, arrow: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the tasks and the arrows of a plan drawn in lines that match `node` and `arrow`."""
    nodes = [int(match[1]) for match in re.finditer(node, shown, re.MULTILINE)]
    return sorted(nodes), sorted((int(m[1]), int(m[2])) for m in re.finditer(arrow, shown, re.MULTILINE))


@given(workloads(), st.sampled_from([*POLICIES]))
def test_text_has_each_task_once(asked: Workload, policy: str) -> None:
    """Below the heading each task has a row in the order of the run: lane, bytes, and its dependencies."""
    plan = plan_of(policy, asked)
    simulated = simulate(plan, asked)
    found = rows(graph.text(plan, asked, simulated))
    assert [(float(row[0]), int(row[1]), int(row[2])) for row in found] == [
        (round(span.start_s * 1e3, 2), span.lane, span.task) for span in simulated.spans
    ]
    for row, task in zip(found, (plan.tasks[span.task] for span in simulated.spans), strict=True):
        network = asked.requests[task.request].network
        layer = None if task.layer is None else network.layers[task.layer]
        place = ["-", "-"] if layer is None else [str(task.layer), layer.name]
        sign = {"load": "+", "free": "-"}.get(task.kind)
        size = "-" if layer is None or sign is None else sign + format_size(layer.weight_bytes)
        after = ",".join(map(str, task.after)) or "-"
        assert row[3:] == [task.kind, str(task.request), network.name, *place, size, after]


def test_heading_says_that_tied_weights_are_held_once() -> None:
    """If layers share a weight, the peak counts it once, and the heading says so beside loads that list it each."""
    made = network((3 << 20, 1, 1), (1 << 20, 1, 1), (0, 1, 1))
    first, middle, last = made.layers
    tied = msgspec.structs.replace(last, weights=first.weights)
    asked = workload(msgspec.structs.replace(made, layers=(first, middle, tied)))
    plan = plan_of("bulk", asked)
    lines = graph.text(plan, asked, simulate(plan, asked)).splitlines()
    assert "(weights 4M)" in lines[1]
    assert lines[3] == "several layers share weights: each load lists them, but a request reads and holds them once"
    assert sum("+3M" in line for line in lines) == 2


def test_heading_has_the_predicted_peak_and_says_estimates() -> None:
    """The heading has workload, title, lanes, tasks and the predicted peak, and calls times estimates."""
    asked = workload(network((3 << 20, 1 << 20, 1), input_bytes=1))
    plan = plan_of("linear", asked)
    assert graph.text(plan, asked, simulate(plan, asked), "policy linear, memory 1G").splitlines()[:4] == [
        "workload made-up, policy linear, memory 1G, 1 lane, 4 tasks",
        "predicted peak: 4M (weights 3M)",
        "predicted makespan: 3.15 ms; all times are estimates at nominal speeds",
        "",
    ]
    assert graph.text(plan, asked, simulate(plan, asked)).startswith("workload made-up, 1 lane, 4 tasks\n")


@given(words, words)
def test_a_task_is_one_line_with_any_names(name: str, layer: str) -> None:
    """With any names of networks and layers a task is one line, and columns stay aligned."""
    asked = called(name, layer)
    plan = plan_of("bulk", asked)
    shown = graph.text(plan, asked, simulate(plan, asked))
    lines = shown.split("\n")
    assert len(lines) == 6 + len(plan.tasks)
    assert shown.splitlines() == lines
    assert [line[:34].split()[3] for line in lines[6:]] == ["init", "load", "exec", "free"]


def test_columns_of_a_long_plan_are_aligned() -> None:
    """Columns are aligned even with more than ten thousand tasks."""
    asked = workload(*[network(*[(1 << 20, 1, 1)] * 61)] * 55)
    plan = plan_of("partial", asked)
    lines = graph.text(plan, asked, simulate(plan, asked)).splitlines()[4:]
    assert len(lines) > 10_000
    ends = [match.end() for match in re.finditer(r"-+", lines[1])]
    assert all(line[end : end + 2].strip() == "" for line in lines for end in ends[:-1])


@given(workloads(), st.sampled_from([*POLICIES]))
def test_drawings_have_each_task_and_dependency_once(asked: Workload, policy: str) -> None:
    """Dot and Mermaid draw each task and each dependency once, and nothing else."""
    plan = plan_of(policy, asked)
    expected = ([*range(len(plan.tasks))], edges(plan))
    assert drawn(graph.dot(plan, asked), r"^    t(\d+) \[", r"^  t(\d+) -> t(\d+);$") == expected
    assert drawn(graph.mermaid(plan, asked), r"^    t(\d+)[(\[]", r"^  t(\d+) --> t(\d+)$") == expected


def test_drawings_have_a_box_for_each_request() -> None:
    """The tasks of a request are in a box with its number and the name of its network."""
    asked = workload(network((1, 1, 1)), network((1, 1, 1)))
    plan = plan_of("bulk-unchained", asked)
    boxes = re.findall(r"subgraph cluster_(\d) \{\n    label=(.*);\n((?:    t.*\n)*)  \}", graph.dot(plan, asked))
    assert [(box[0], box[1], len(box[2].splitlines())) for box in boxes] == [
        ("0", '"request 0: made-up"', 4),
        ("1", '"request 1: made-up"', 4),
    ]
    boxes = re.findall(r"subgraph r(\d)\[(.*)\]\n((?:    t.*\n)*)  end", graph.mermaid(plan, asked))
    assert [(box[0], box[1], len(box[2].splitlines())) for box in boxes] == [
        ("0", '"request 0: made-up"', 4),
        ("1", '"request 1: made-up"', 4),
    ]


def test_label_shows_what_the_plan_sets() -> None:
    """A label has task, kind, layer and bytes, and lane, priority and reservation if the plan sets them."""
    asked = called("net", "conv1.0")
    plan = Plan((Task("init", 0), Task("load", 0, 0, (0,), lane=1, priority=(1.0, 0.25), reserve=1 << 20)), lanes=2)
    shown = graph.dot(plan, asked)
    assert '[label="0: init",' in shown
    assert r'[label="1: load 0\nconv1.0, 1\nlane 1, priority 1 0.25, reserves 1M",' in shown
    assert '"1: load 0<br/>conv1.0, 1<br/>lane 1, priority 1 0.25, reserves 1M"' in graph.mermaid(plan, asked)


def test_loop_is_drawn_once() -> None:
    """A loop has one row and one box for each task, its steps, and an arrow to the next step; a feed has a line."""
    one = network((1, 1, 1))
    asked = Workload("net", (Request(one), Request(one, steps=32, feeds=(Feed("x", 1, "argmax", 0),))))
    plan = plan_of("linear", asked)
    shown = graph.text(plan, asked, simulate(plan, asked))
    assert "\nrequest 1: input x is the argmax of output 1 of request 0\n" in shown
    assert "\nloop: tasks 5 to 7, x 32; the table has the first step\n" in shown
    assert len(shown.splitlines()) == 8 + len(plan.tasks)
    assert r'[label="6: exec 0\nlayer0\nx 32",' in graph.dot(plan, asked)
    assert "\n  t7 -> t5 [style=dashed, constraint=false];\n" in graph.dot(plan, asked)
    assert "\n  t7 -.-> t5\n" in graph.mermaid(plan, asked)


def test_kinds_look_different() -> None:
    """No two kinds of task look the same in dot or in Mermaid."""
    asked = called("net", "conv1")
    plan = plan_of("linear", asked)
    looks = re.findall(r", shape=(\w+), fillcolor=\"(#\w+)\"", graph.dot(plan, asked))
    assert len(set(looks)) == len(looks) == 4
    shown = graph.mermaid(plan, asked)
    classes = dict(re.findall(r"^  classDef (\w+) fill:(#\w+),", shown, re.MULTILINE))
    assert re.findall(r":::(\w+)$", shown, re.MULTILINE) == ["init", "load", "exec", "free"] == [*classes]
    assert len(set(classes.values())) == 4


@given(words, words)
def test_names_are_escaped_in_dot(name: str, layer: str) -> None:
    """Every string in the dot language is complete and equals the name."""
    asked = called(name, layer)
    shown = graph.dot(plan_of("bulk", asked), asked)
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "S", shown)
    line = r"(?:digraph S \{|graph \[fontname=S\];|node \[fontname=S, style=filled\];|subgraph cluster_0 \{|label=S;"
    line += r"|t\d+ \[label=S, shape=\w+, fillcolor=S\];|t\d+ -> t\d+;|\})"
    assert all(re.fullmatch(line, each.strip()) for each in plain.split("\n"))
    labels = re.findall(r'exec 0\\n((?:[^"\\]|\\.)*)"', shown)
    assert [html.unescape(re.sub(r"\\(.)", r"\1", label)) for label in labels] == [printable(layer)]


@given(words, words)
def test_names_are_escaped_in_mermaid(name: str, layer: str) -> None:
    """No character of a name is special in Mermaid; decoded, it is the name."""
    asked = called(name, layer)
    shown = graph.mermaid(plan_of("bulk", asked), asked)
    labels = re.findall(r'^    t\d+[\[(/]+"([^"]*)"[\])/]+:::\w+$', shown, re.MULTILINE)
    assert len(labels) == 4
    texts = [part for label in labels for part in label.split("<br/>")]
    assert not re.search(r"[<>&`\[\](){}\\|\"]", "".join(texts))
    decoded = [re.sub(r"#(\d+);", lambda match: chr(int(match[1])), part) for part in texts]
    assert decoded.count(printable(layer)) >= 1
    title = re.findall(r'^  subgraph r0\["([^"]*)"\]$', shown, re.MULTILINE)
    assert [re.sub(r"#(\d+);", lambda match: chr(int(match[1])), each) for each in title] == [
        f"request 0: {printable(name)}"
    ]


@needs_graphviz
@settings(max_examples=25)
@given(words, words)
def test_graphviz_draws_any_names(name: str, layer: str) -> None:
    """Graphviz draws the plan without a complaint, and shows the name of a layer literally."""
    asked = called(name, layer)
    assert GRAPHVIZ is not None
    made = subprocess.run(
        [GRAPHVIZ, "-Tsvg"], input=graph.dot(plan_of("bulk", asked), asked).encode(), capture_output=True, check=True
    )
    assert made.stderr == b""
    texts = [html.unescape(found) for found in re.findall(r"<text [^>]*>([^<]*)</text>", made.stdout.decode())]
    assert " ".join(printable(layer).split()) in [" ".join(each.split()) for each in texts] or not layer.strip()
