"""The values of a YAML or JSON text, and the line of each. Pure; knows nothing of workloads.

Both are read by composing YAML nodes, which know their lines; what a scalar stands for, the format itself decides.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple

import yaml

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.text import is_name


class Place(NamedTuple):
    """A value of the text, how it is written there, and where its item or the key before it begins."""

    mark: yaml.Mark
    value: Any
    source: str

    @property
    def shown(self) -> str:
        """The value in an error: texts in quotes, and shortened where they are long."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list" if self.value else "an empty list"
        return reprlib.repr(self.value) if isinstance(self.value, str) else self.source or "nothing"


Places = dict[str, Place]
"""By path, as msgspec writes it: `$.requests[1].when`."""

_Scalar = Callable[[yaml.Node], Any]

_DEEPEST = 10
_SUFFIXES = (".yaml", ".yml", ".json")
_PREFIX = "tag:yaml.org,2002:"
_TAGS: dict[type[yaml.Node], set[str]] = {
    yaml.MappingNode: {_PREFIX + "map"},
    yaml.SequenceNode: {_PREFIX + "seq"},
    yaml.ScalarNode: {_PREFIX + kind for kind in ("str", "int", "float", "bool", "null")},
}


def fault(mark: yaml.Mark, path: str, words: str) -> UsageError:
    """Return the error that says where in the file what is wrong."""
    where = path.removeprefix("$").removeprefix(".")
    return UsageError(": ".join(filter(None, (f"{mark.name}:{mark.line + 1}", where, words))))


def read(text: str, file: str) -> Places:
    """Return all values of `text`; `file` names it in errors, and by its suffix its format. Raises UsageError."""
    suffix = PurePath(file).suffix
    if suffix not in _SUFFIXES:
        raise UsageError(f"{file}: neither YAML nor JSON by its name; let that end in .yaml, .yml or .json")
    if suffix == ".json" and text.strip():
        _check_json(text, file)
        text = _as_yaml(text)
    try:
        node = _Loader(text, file).get_single_node()
    except yaml.MarkedYAMLError as error:
        words = ", ".join(filter(None, (error.context, error.problem)))
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{file}:{line}: not YAML: {words}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{file}:{line}: not YAML: the character U+{error.character:04X}; leave it out") from None
    if node is None:
        raise UsageError(f"{file}:1: the file is empty; begin with `requests:`")
    places: Places = {}
    _add(places, "$", node.start_mark, node, _json_value if suffix == ".json" else _yaml_value)
    return places


def _check_json(text: str, file: str) -> None:
    try:
        json.loads(text, parse_int=float)  # of an integer of any length, float makes no error
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}:{error.lineno}: not JSON: {error.msg[0].lower()}{error.msg[1:]}") from None
    except RecursionError:
        pass  # the loader says so, with the line


def _as_yaml(text: str) -> str:
    """Return JSON, line by line as it is, with what YAML would read otherwise: tabs, odd characters, colons apart."""
    text = re.sub(r"[\t\r]", " ", text)
    text = re.sub(r"[^\n -~]", lambda match: json.dumps(match[0])[1:-1], text)
    return re.sub(r'("(?:[^"\\]|\\.)*")(\s+):', r"\1:\2", text)


class _Loader(yaml.SafeLoader):
    """Composes nodes whose marks know the file; refuses what could grow without end, anchors and depth."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.name = file
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor:
            words = f"{event.anchor!r} is an anchor or an alias of one; write out what it stands for"
            raise fault(event.start_mark, "", words)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise fault(event.start_mark, "", f"nested deeper than {_DEEPEST} levels; take some out")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _add(places: Places, path: str, mark: yaml.Mark, node: yaml.Node, scalar: _Scalar) -> Any:
    """Return the value of `node`, and add it and all in it to `places`."""
    source = _source(node) if isinstance(node, yaml.ScalarNode) else ""
    if node.tag not in _TAGS[type(node)]:
        kind = node.tag.removeprefix(_PREFIX)
        words = f"{source or 'this'} is of the kind {kind}, which no field takes; write text in quotes"
        raise fault(mark, path, " ".join(words.split()))
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        for key, item in node.value:
            name = _name(path, key, value)
            value[name] = _add(places, f"{path}.{name}", key.start_mark, item, scalar)
    elif isinstance(node, yaml.SequenceNode):
        items = enumerate(node.value)
        value = [_add(places, f"{path}[{i}]", item.start_mark, item, scalar) for i, item in items]
    else:
        value = _value(path, mark, node, scalar)
    places[path] = Place(mark, value, source)
    return value


def _name(path: str, key: yaml.Node, taken: dict[str, Any]) -> str:
    """Return the name of a field that is not yet `taken`."""
    name = key.value if isinstance(key, yaml.ScalarNode) else ""
    if not is_name(name):
        raise fault(key.start_mark, path, f"{reprlib.repr(name)} is no name of a field; give one")
    if name in taken:
        raise fault(key.start_mark, path, f"{reprlib.repr(name)} is given twice; keep one")
    return str(name)


def _value(path: str, mark: yaml.Mark, node: yaml.Node, scalar: _Scalar) -> Any:
    """Return a scalar's value, if other programs could read it too."""
    try:
        value = scalar(node)
        is_portable = _is_portable(value)
    except (ValueError, LookupError, ArithmeticError):
        is_portable = False
    if not is_portable:
        raise fault(mark, path, f"{reprlib.repr(_source(node))} is no value that can be read; give a plain one")
    return value


def _is_portable(value: Any) -> bool:
    """Tell whether a scalar is finite, or can be encoded. Raises ValueError or OverflowError where it is not."""
    if isinstance(value, str):
        return value.encode().decode() == value
    return value is None or math.isfinite(value)


def _yaml_value(node: yaml.Node) -> Any:
    """Return a scalar's value. Raises ValueError for numbers to the base 8, 16 or 60, which look like others."""
    value = yaml.constructor.SafeConstructor().construct_object(node)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and float(_source(node)) != value:
        raise ValueError(value)
    return value


def _json_value(node: yaml.Node) -> Any:
    return json.loads(_source(node))


def _source(node: yaml.Node) -> str:
    """Return the text that `node` was made of."""
    return str(node.start_mark.buffer or "")[node.start_mark.pointer : node.end_mark.pointer]
