"""JSON, read by the standard library, which is fast but knows no lines. They are searched only to report an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, partial

from pytest_edgeload.workload.raw import MAX_DEPTH, BadSyntax, Members, Position, Raw, too_deep

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[][{}]|[^][{},:"\s]++')  # in valid JSON all but commas and colons
_MAX_DIGITS = 400  # of an integer; one with more is infinite as a float


def read_json(text: str) -> Raw:
    """Return the value of a text. Raises BadSyntax."""
    value = None
    try:
        value = json.loads(text, object_pairs_hook=Members, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise BadSyntax(error.lineno, f"not JSON: {error.msg[0].lower()}{error.msg[1:]}") from None
    except RecursionError:
        pass  # the next check finds the line
    _check_depth(text)
    return Raw(value, cache(partial(_find, text)))


def _integer(text: str) -> float:
    return int(text) if len(text) <= _MAX_DIGITS else float(text)


def _check_depth(text: str) -> None:
    depth = 1
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > MAX_DEPTH:
            raise too_deep(_line(text, token.start()))


def _find(text: str, path: str) -> Position | None:
    """Return the position of a value, for which all tokens are read, but none is kept."""
    tokens = _TOKEN.finditer(text)
    root = next(tokens)
    position = None
    for candidate, begin, spelling in _values(tokens, "$", root.start(), root[0]):
        if candidate == path:
            position = Position(_line(text, begin), spelling)
    return position


def _line(text: str, begin: int) -> int:
    return 1 + text.count("\n", 0, begin)


def _values(tokens: Iterator[re.Match[str]], path: str, begin: int, first: str) -> Iterator[tuple[str, int, str]]:
    """Yield the path, the begin and the first token of a value and of all values in it. `tokens` are those after it."""
    yield path, begin, first
    if first == "[":
        index = 0
        while (item := next(tokens))[0] != "]":
            yield from _values(tokens, f"{path}[{index}]", item.start(), item[0])
            index += 1
    elif first == "{":
        while (key := next(tokens))[0] != "}":
            yield from _values(tokens, f"{path}.{json.loads(key[0])}", key.start(), next(tokens)[0])
