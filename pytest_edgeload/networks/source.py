"""The source of a module: its file, and the part of it that decides what it computes. Standard library only."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path


def find_source(module: str) -> Path | None:
    """Return the file that `module` would be imported from, or None if there is none.

    Only the top level is looked up: looking up a submodule would import its package, and with it torch.
    """
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top) if top else None
    except ValueError:  # of a module that was not imported from anywhere
        spec = None
    if spec is None:
        return None
    if not inner:
        candidates = [Path(spec.origin)] if spec.origin is not None else []
    else:
        folders = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
        candidates = [path for folder in folders for path in (folder / "__init__.py", folder.with_suffix(".py"))]
    return next((path for path in candidates if path.is_file()), None)


def code_digest(path: Path) -> str:
    """Return the digest of the code in a file, empty if it cannot be read."""
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    except (OSError, ValueError):  # ValueError: no file can have this path
        return ""


@lru_cache(maxsize=1024)
def _digest(path: Path, *_stamp: int) -> str:
    return hashlib.sha256(code_of(path.read_bytes())).hexdigest()


def code_of(source: bytes) -> bytes:
    """Return the syntax tree of Python source, without comments, layout and docstrings; other text unchanged."""
    try:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                _remove_docstring(node)
        return ast.dump(tree).encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two of nesting that is too deep
        return source


def _remove_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    match node.body:
        case [ast.Expr(ast.Constant(str())), *rest]:
            node.body = rest
