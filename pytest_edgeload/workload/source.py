"""The checked value of a YAML or JSON text, and the place of each value in it. Pure; knows nothing of workloads."""

from __future__ import annotations

import math
import re
import reprlib
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.text import is_name
from pytest_edgeload.workload.json_text import read_json
from pytest_edgeload.workload.raw import BadSyntax, Foreign, Members, Position
from pytest_edgeload.workload.yaml_text import read_yaml

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_READERS = {".yaml": read_yaml, ".yml": read_yaml, ".json": read_json}


class Place(NamedTuple):
    """A value of the text, the line of its key or item, and its spelling if it is a scalar."""

    line: int
    value: Any
    spelling: str

    @property
    def shown(self) -> str:
        """The value in an error, shortened if it is long; text is in quotes."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list" if self.value else "an empty list"
        if isinstance(self.value, str):
            return reprlib.repr(self.value)
        return reprlib.repr(self.spelling)[1:-1] or "nothing"


class Source:
    """A YAML or JSON text: its value, and the place of each value in it.

    The name of `file` is used in errors, and its suffix sets the format. Places are found by msgspec's paths, such as
    `$.requests[1].when`. Keys are unique names, text is Unicode, and numbers are finite, so that other programs read
    the same values. Raises UsageError with the line for any other text.
    """

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        suffix = PurePath(file).suffix
        if suffix not in _READERS:
            raise UsageError(file, "neither YAML nor JSON by its name", "let the name end in .yaml, .yml or .json")
        try:
            self._raw = (_READERS[suffix] if text.strip() else read_yaml)(text)
        except BadSyntax as error:
            raise self._error(error.line, error.reason, error.hint) from None
        self.value: Any = self._checked("$", self._raw.value)

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the text start at."""
        return Path(self._file).parent

    def __getitem__(self, path: str) -> Place:
        """Return the place of the value at `path`. Raises KeyError if there is none."""
        position = self._find(path)
        value = self.value
        for name, index in _STEP.findall(path):
            value = value[int(index) if index else name]
        return Place(position.line, value, position.spelling)

    def __contains__(self, path: str) -> bool:
        """Return whether the text has a value at `path`."""
        return self._raw.find(path) is not None

    def error(self, path: str, reason: str, hint: str = "", *, key: str | None = None) -> UsageError:
        """Return the error about the value at `path`, with the line of its field `key` if it has that."""
        where = path.removeprefix("$").removeprefix(".")
        position = (None if key is None else self._raw.find(f"{path}.{key}")) or self._find(path)
        return self._error(position.line, f"{where}: {reason}" if where else reason, hint)

    def _find(self, path: str) -> Position:
        position = self._raw.find(path)
        if position is None:
            raise KeyError(path)
        return position

    def _error(self, line: int, reason: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._file}:{line}", reason, hint)

    def _checked(self, path: str, raw: Any) -> Any:
        """Return the value `raw` with dictionaries for mappings. Raises UsageError."""
        if isinstance(raw, Members):
            value: dict[str, Any] = {}
            for name, member in raw:
                if not is_name(name):
                    raise self.error(path, f"{reprlib.repr(name)} is not the name of a field", "give one", key=name)
                if name in value:
                    raise self.error(path, f"{reprlib.repr(name)} is given twice", "keep one", key=name)
                value[name] = member if _is_portable(member) else self._checked(f"{path}.{name}", member)
            return value
        if isinstance(raw, list):
            items = enumerate(raw)
            return [item if _is_portable(item) else self._checked(f"{path}[{i}]", item) for i, item in items]
        if isinstance(raw, Foreign):
            raise self.error(path, f"a value of the kind {raw.kind}, which no field takes", "write text in quotes")
        if not _is_portable(raw):
            spelling = reprlib.repr(raw if isinstance(raw, str) else self._find(path).spelling)
            raise self.error(path, f"{spelling} is not a value that can be read", "give a plain one")
        return raw


def _is_portable(raw: Any) -> bool:
    """Return whether `raw` is a scalar that other programs read too."""
    try:
        if isinstance(raw, str):
            return raw.encode().decode() == raw
        return raw is None or math.isfinite(raw)
    except (TypeError, ValueError, OverflowError):  # not a scalar, half of a character, an integer beyond all floats
        return False
