"""The values of a YAML or JSON text, and the line of each value. Pure; knows nothing of workloads.

ruamel.yaml reads both formats by the rules of YAML 1.2. JSON is checked first, by the rules of JSON.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from pathlib import PurePath
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, StreamMark
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.text import is_name

_MAX_DEPTH = 10
_SUFFIXES = (".yaml", ".yml", ".json")
_PREFIX = "tag:yaml.org,2002:"
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class Place(NamedTuple):
    """A value of the text, the line of its key or item, and its spelling if it is a scalar."""

    line: int
    value: Any
    spelling: str

    @property
    def shown(self) -> str:
        """The value in an error: text in quotes, shortened if it is long."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list" if self.value else "an empty list"
        return reprlib.repr(self.value) if isinstance(self.value, str) else self.spelling or "nothing"


class Source:
    """A YAML or JSON text: its value, and the place of each value in it.

    The name of `file` is used in errors, and its suffix sets the format. Places are found by msgspec's paths, such as
    `$.requests[1].when`. Raises UsageError with the line for a text that cannot be read.
    """

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        suffix = PurePath(file).suffix
        if suffix not in _SUFFIXES:
            raise UsageError(file, "neither YAML nor JSON by its name", "let the name end in .yaml, .yml or .json")
        if suffix == ".json" and text.strip():
            self._check_json(text)
            text = _as_yaml(text)
        yaml = YAML(typ="safe", pure=True)
        yaml.max_depth = _MAX_DEPTH
        yaml.Composer, yaml.Constructor = _LimitedComposer, _Constructor
        try:
            root = yaml.compose(text)
            if root is None:
                raise self._error(1, "the file is empty", "begin with `requests:`")
            self._root: Node = root
            self.value: Any = yaml.constructor.construct_document(root)
        except _Refused as error:
            raise self._error(error.line, error.reason, error.hint) from None
        except MaxDepthExceededError as error:
            raise self._error(_line(error), f"nested deeper than {_MAX_DEPTH} levels", "take some out") from None
        except MarkedYAMLError as error:
            words = ", ".join(filter(None, (error.context, error.problem)))
            raise self._error(_line(error), f"not YAML: {words}") from None
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._error(line, f"not YAML: the character U+{error.character:04X}", "leave it out") from None

    def __getitem__(self, path: str) -> Place:
        """Return the place of the value at `path`. Raises KeyError if there is none."""
        node, value, line = self._root, self.value, self._root.start_mark.line
        for name, index in _STEP.findall(path):
            if index:
                node, value = node.value[int(index)], value[int(index)]
                line = node.start_mark.line
            else:
                value = value[name]
                key, node = next(pair for pair in node.value if pair[0].value == name)
                line = key.start_mark.line
        return Place(line + 1, value, node.value if isinstance(node, ScalarNode) else "")

    def __contains__(self, path: str) -> bool:
        """Return whether the text has a value at `path`."""
        try:
            self[path]
        except (KeyError, TypeError):
            return False
        return True

    def error(self, path: str, reason: str, hint: str = "", *, key: str = "") -> UsageError:
        """Return the error about the value at `path`, with the line of its field `key` if it has that."""
        at = f"{path}.{key}" if key and f"{path}.{key}" in self else path
        where = path.removeprefix("$").removeprefix(".")
        return self._error(self[at].line, f"{where}: {reason}" if where else reason, hint)

    def _error(self, line: int, reason: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._file}:{line}", reason, hint)

    def _check_json(self, text: str) -> None:
        try:
            json.loads(text, parse_int=float)  # float accepts integers of any length
        except json.JSONDecodeError as error:
            raise self._error(error.lineno, f"not JSON: {error.msg[0].lower()}{error.msg[1:]}") from None
        except RecursionError:
            pass  # the composer finds the line


def _as_yaml(text: str) -> str:
    """Return JSON as YAML with the same lines, without what YAML reads differently: tabs, escapes, distant colons."""
    text = re.sub(r"[\t\r]", " ", text)
    return re.sub(r'("(?:[^"\\]|\\.)*")(?:(\s*):)?', _yaml_string, text)


def _yaml_string(match: re.Match[str]) -> str:
    """Return a JSON string, and the colon behind it, in the escapes of YAML."""
    value = json.loads(match[1])
    text = "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
    return f'"{text}"' if match[2] is None else f'"{text}":{match[2]}'


class _Refused(Exception):
    """A node that the text may not have."""

    def __init__(self, mark: StreamMark, reason: str, hint: str) -> None:
        self.line = mark.line + 1
        self.reason = reason
        self.hint = hint


class _LimitedComposer(Composer):
    """Composes nodes, and refuses anchors and aliases, which let a small text grow without end."""

    def get_single_node(self) -> Any:
        try:
            return super().get_single_node()
        except ValueError as error:  # the scanner does not check the escape of a character that Unicode does not have
            raise _Refused(self.loader.reader.get_mark(), f"not YAML: {error}", "leave it out") from None

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if event.anchor:
            raise _Refused(event.start_mark, f"{event.anchor!r} is an anchor or an alias", "write out the value")
        return super().compose_node(parent, index)


class _Constructor(SafeConstructor):
    """Constructs text, finite numbers, truth values, null, lists and mappings, as other programs read them."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # as the base class
        try:
            value = super().construct_object(node, deep)
            is_portable = _is_portable(value)
        except (ValueError, LookupError, ArithmeticError):
            is_portable = False
        if not is_portable:
            spelling = reprlib.repr(node.value)
            raise _Refused(node.start_mark, f"{spelling} is not a value that can be read", "give a plain one")
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # as the base class
        names: set[str] = set()
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            name = key.value if isinstance(key, ScalarNode) else ""
            if not is_name(name) or not isinstance(self.construct_object(key), str):
                raise _Refused(key.start_mark, f"{reprlib.repr(name)} is not the name of a field", "give one")
            if name in names:
                raise _Refused(key.start_mark, f"{reprlib.repr(name)} is given twice", "keep one")
            names.add(name)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: Any) -> None:
        """Leave `<<` as it is: YAML 1.2 merges no mappings."""

    def construct_undefined(self, node: Any) -> None:
        kind = str(node.tag).removeprefix(_PREFIX)
        raise _Refused(node.start_mark, f"a value of the kind {kind}, which no field takes", "write text in quotes")


_Constructor.yaml_constructors = {
    f"{_PREFIX}{kind}": getattr(SafeConstructor, f"construct_yaml_{kind}")
    for kind in ("null", "bool", "int", "float", "str", "seq", "map")
} | {f"{_PREFIX}{kind}": SafeConstructor.construct_yaml_str for kind in ("timestamp", "value", "merge")}
_Constructor.yaml_constructors[None] = _Constructor.construct_undefined


def _is_portable(value: Any) -> bool:
    """Return whether a value can be encoded, or is finite. Raises ValueError or OverflowError if it is neither."""
    if isinstance(value, str):
        return value.encode().decode() == value
    return value is None or isinstance(value, (list, dict)) or math.isfinite(value)


def _line(error: MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark else 1
