"""The reference of the site, generated from the code when the site is built.

Each section is a pure function that returns Markdown and imports no torch. In a page, the line
`<!-- reference: options -->` is replaced by that section.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from pytest_edgeload import _MODULES, plugin
from pytest_edgeload.cli import SUBCOMMANDS
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.plugin import fixtures as fixture_functions
from pytest_edgeload.plugin import hookspecs, options
from pytest_edgeload.plugin.settings import OPTIONS, Option
from pytest_edgeload.policies import FAMILIES, POLICIES
from pytest_edgeload.report import FORMATS
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.stream_stats import STREAM_METRICS, of_stream
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.workload.file import schema

_PLACEHOLDER = re.compile(r"^<!-- reference: (?P<name>[a-z-]+) -->$", re.MULTILINE)


def fill_page(text: str) -> str:
    """Return the page with all sections in place of their placeholders. Raises KeyError for an unknown section."""
    return _PLACEHOLDER.sub(lambda match: SECTIONS[match["name"]](), text)


def option_table() -> str:
    """Return all options, each with its flag, ini key and environment variable."""
    return "\n".join(_option(name, option) for name, option in OPTIONS.items())


def _option(name: str, option: Option[Any]) -> str:
    value = "" if option.is_switch else f"[={option.metavar}]" if option.bare else f"={option.metavar}"
    names = f"`{options.flag(name)}{value}`, ini key `{options.ini_key(name)}`, environment `{options.variable(name)}`"
    return f"## `{options.flag(name)}`\n\n{_escaped(option.help)}.\n\n{names}\n"


def fixture_list() -> str:
    """Return all fixtures with their docstrings."""
    functions = {name: getattr(fixture_functions, name) for name in plugin.__all__}
    return "\n".join(f"### `{name}`\n\n{_docstring(inspect.unwrap(fixture))}\n" for name, fixture in functions.items())


def marker_list() -> str:
    """Return the markers of `pytest --markers`."""
    rows = [line.partition(": ") for line in plugin.MARKERS]
    return "\n".join(f"### `{name}`\n\n{meaning[:1].upper()}{meaning[1:]}.\n" for name, _, meaning in rows)


def hook_list() -> str:
    """Return the hooks that a project can implement, with signature and docstring."""
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("pytest_edge_")}
    return "\n".join(
        f"### `{name}`\n\n```python\ndef {name}{_signature(hook)}: ...\n```\n\n{_docstring(hook)}\n"
        for name, hook in hooks.items()
    )


def policy_list() -> str:
    """Return all policies with the docstring of their file: purpose, source and graph."""
    return _files({**POLICIES, **FAMILIES})


def reader_list() -> str:
    """Return all readers with the docstring of their file."""
    return _files(READERS)


def cap_list() -> str:
    """Return all caps with the docstring of their file."""
    return _files({name: type(cap) for name, cap in CAPS.items()})


def format_list() -> str:
    """Return all report formats with the docstring of their file."""
    return _files(FORMATS)


def metric_table() -> str:
    """Return all metrics with unit, direction and meaning, at the end those of streams."""
    streams = {of_stream(name, "STREAM"): metric for name, metric in STREAM_METRICS.items()}
    rows = [
        (f"`{name}`", metric.unit, metric.better, metric.meaning) for name, metric in {**METRICS, **streams}.items()
    ]
    return _table(("metric", "unit", "better", "meaning"), rows)


def record_tables() -> str:
    """Return tables of the fields of a document and of all structs in it, made from its JSON Schema."""
    json_schema = msgspec.json.schema(Document)
    parts = [_struct(name, json_schema["$defs"][name]) for name in ("Document", "Case", "Measurement")]
    others = sorted(set(json_schema["$defs"]) - {"Document", "Case", "Measurement"})
    return "\n".join([*parts, *(_struct(name, json_schema["$defs"][name]) for name in others)])


def record_schema() -> str:
    """Return the JSON Schema of a file of records."""
    return f"```json\n{json.dumps(msgspec.json.schema(Document), indent=2)}\n```\n"


def workload_tables() -> str:
    """Return tables of the fields of a workload file, made from its JSON Schema."""
    return "\n".join(_struct(name, json_schema) for name, json_schema in schema()["$defs"].items())


def workload_schema() -> str:
    """Return the JSON Schema of a workload file."""
    return f"```json\n{json.dumps(schema(), indent=2)}\n```\n"


def command_list() -> str:
    """Return the `--help` text of each command."""
    return "\n".join(f"## `edgeload {name}`\n\n```text\n{_help(name)}```\n" for name in SUBCOMMANDS)


def api_list() -> str:
    """Return autodoc directives for all public names. Their modules are read as text, because some import PyTorch."""
    lines = [
        _autodoc(f"pytest_edgeload.{module}", name) for module, names in sorted(_MODULES.items()) for name in names
    ]
    return "```{eval-rst}\n" + "\n".join(lines) + "```\n"


SECTIONS: Mapping[str, Callable[[], str]] = {
    "options": option_table,
    "fixtures": fixture_list,
    "markers": marker_list,
    "hooks": hook_list,
    "policies": policy_list,
    "readers": reader_list,
    "caps": cap_list,
    "formats": format_list,
    "metrics": metric_table,
    "records": record_tables,
    "record-schema": record_schema,
    "workloads": workload_tables,
    "workload-schema": workload_schema,
    "commands": command_list,
    "api": api_list,
}


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx, so that pages are filled when they are read."""

    def fill(_app: object, _page: str, source: list[str]) -> None:
        source[0] = fill_page(source[0])

    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# ---- Markdown --------------------------------------------------------------------------------------------------------


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_escaped(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _escaped(words: str) -> str:
    """Return the words with HTML and emphasis escaped; code in backticks stays unchanged."""
    parts = words.split("`")
    return "`".join(part if i % 2 else re.sub(r"([<*_\[])", r"\\\1", part) for i, part in enumerate(parts))


def _docstring(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def _files(table: Mapping[str, Any]) -> str:
    """Return a section for each row of a table, with the docstring of the row's file."""
    return "\n".join(f"### `{name}`\n\n{_words(sys.modules[row.__module__], name)}\n" for name, row in table.items())


def _words(module: ModuleType, name: str) -> str:
    """Return the docstring of a file as a sentence, without the leading name."""
    words = _docstring(module).removeprefix(f"`{name}`: ")
    return words[:1].upper() + words[1:]


def _signature(function: Callable[..., Any]) -> str:
    return re.sub(r"'([^']*)'", r"\1", str(inspect.signature(function)))  # annotations are strings here


def _help(name: str) -> str:
    """Return the output of `edgeload NAME --help` on a terminal of 100 columns."""
    parser = argparse.ArgumentParser(
        prog=f"edgeload {name}", formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100)
    )
    SUBCOMMANDS[name].add_arguments(parser)
    return parser.format_help()


def _struct(name: str, json_schema: Mapping[str, Any]) -> str:
    """Return a section about a struct: its docstring and a table of its named fields."""
    words = inspect.cleandoc(json_schema.get("description", ""))
    if "prefixItems" in json_schema:
        words += f"\n\nAn {_type(json_schema)}."
    fields, required = json_schema.get("properties", {}), json_schema.get("required", ())
    rows = [(f"`{name}`", _type(kind), "" if name in required else _default(kind)) for name, kind in fields.items()]
    headings = ("field", "type", "default")
    meanings = [kind.get("description", "") for kind in fields.values()]
    if any(meanings):
        table = _table((*headings, "meaning"), [(*row, meaning) for row, meaning in zip(rows, meanings, strict=True)])
    else:
        table = _table(headings, rows) if rows else ""
    return f"## `{name}`\n\n{words}\n\n{table}"


def _type(kind: Mapping[str, Any]) -> str:
    """Return the type of a field in words."""
    words = str(kind.get("type", "anything"))
    if "$ref" in kind:
        words = f"`{kind['$ref'].rpartition('/')[2]}`"
    elif "anyOf" in kind:
        words = " or ".join(_type(option) for option in kind["anyOf"])
    elif "enum" in kind:
        words = ", ".join(f"`{value}`" for value in kind["enum"])
    elif "prefixItems" in kind:
        words = f"array of {', '.join(_type(item) for item in kind['prefixItems'])}"
    elif kind.get("items"):
        words = f"array of {_type(kind['items'])}"
    elif isinstance(kind.get("additionalProperties"), dict):
        words = f"object of {_type(kind['additionalProperties'])}"
    return words


def _default(kind: Mapping[str, Any]) -> str:
    return f"`{json.dumps(kind.get('default'))}`"


def _autodoc(module: str, name: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    kind = next((type(node) for node in tree.body if getattr(node, "name", None) == name), None)
    if kind is ast.ClassDef:
        members = "" if name in {"Case", "Measurement"} else "   :members:\n"  # the tables of the record show them
        return f".. autoclass:: {module}.{name}\n{members}"
    if kind is ast.FunctionDef:
        return f".. autofunction:: {module}.{name}\n"
    return f".. autodata:: {module}.{name}\n   :no-value:\n"
