"""YAML 1.2, composed by ruamel.yaml into nodes, which know their lines. Anchors, aliases and other tags are refused."""

from __future__ import annotations

import math
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pytest_edgeload.workload.raw import MAX_DEPTH, BadSyntax, Foreign, Members, Position, Raw, too_deep

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = ("null", "bool", "int", "float")
_TEXTS = ("str", "timestamp", "value", "merge")  # dates, `=` and `<<` are text to other programs
_KINDS = {MappingNode: {"map"}, SequenceNode: {"seq"}, ScalarNode: {*_SCALARS, *_TEXTS}}


def read_yaml(text: str) -> Raw:
    """Return the value of a text. Raises BadSyntax."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.Composer, yaml.Constructor = _LimitedComposer, _Constructor
    try:
        root = yaml.compose(text)
    except MaxDepthExceededError as error:
        raise too_deep(_line(error)) from None
    except MarkedYAMLError as error:
        words = ", ".join(filter(None, (error.context, error.problem)))
        raise BadSyntax(_line(error), f"not YAML: {words}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadSyntax(line, f"not YAML: the character U+{error.character:04X}", "leave it out") from None
    if root is None:
        raise BadSyntax(1, "the file is empty", "begin with `requests:`")
    positions: dict[str, Position] = {}
    value = _value(yaml.constructor, positions, "$", root.start_mark.line, root)
    return Raw(value, positions.get)


def _value(constructor: Any, positions: dict[str, Position], path: str, line: int, node: Node) -> Any:
    """Return the value of `node`, which begins in `line`, and add its position and those of all values in it."""
    positions[path] = Position(line + 1, node.value if isinstance(node, ScalarNode) else "")
    kind = str(node.tag).removeprefix(_PREFIX)
    if kind not in _KINDS[type(node)]:
        return Foreign(kind)
    if isinstance(node, MappingNode):
        pairs = ((key.value if isinstance(key, ScalarNode) else "", key, item) for key, item in node.value)
        return Members(
            (name, _value(constructor, positions, f"{path}.{name}", key.start_mark.line, item))
            for name, key, item in pairs
        )
    if isinstance(node, SequenceNode):
        return [
            _value(constructor, positions, f"{path}[{i}]", item.start_mark.line, item)
            for i, item in enumerate(node.value)
        ]
    try:
        return constructor.construct_object(node)
    except (ValueError, LookupError, ArithmeticError):
        return math.nan  # which is refused, as all numbers that are not finite


def _line(error: MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark else 1


class _LimitedComposer(Composer):
    """Composes nodes, and refuses anchors and aliases, which let a small text grow without end."""

    def get_single_node(self) -> Any:
        try:
            return super().get_single_node()
        except ValueError as error:  # the scanner does not check the escape of a character that Unicode does not have
            raise BadSyntax(self.loader.reader.get_mark().line + 1, f"not YAML: {error}", "leave it out") from None

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if event.anchor:
            reason = f"{event.anchor!r} is an anchor or an alias"
            raise BadSyntax(event.start_mark.line + 1, reason, "write out the value")
        return super().compose_node(parent, index)


class _Constructor(SafeConstructor):
    """Constructs scalars only."""


_Constructor.yaml_constructors = {
    f"{_PREFIX}{kind}": getattr(SafeConstructor, f"construct_yaml_{kind}") for kind in _SCALARS
} | {f"{_PREFIX}{kind}": SafeConstructor.construct_yaml_str for kind in _TEXTS}
