"""What the sources never do with what a cache, a baseline or a worker wrote: no data of others becomes a call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("pytest_edgeload", "models", "suites")

LOADERS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "marshal.load",
    "marshal.loads", "shelve.open", "dill.load", "dill.loads", "joblib.load", "torch.load", "torch.jit.load",
    "torch.export.load", "torch.package.PackageImporter", "numpy.load", "yaml.load", "yaml.load_all", "yaml.full_load",
    "yaml.unsafe_load", "yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "yaml.CLoader", "eval", "exec",
    "compile", "__import__", "os.system", "os.popen",
}  # fmt: skip
"""What may run what it reads."""

ALLOWED = {
    ("pytest_edgeload/engine/call.py", "pickle.load"): "a worker reads the function that its own parent sends it",
    (
        "pytest_edgeload/exporting/model.py",
        "torch.export.load",
    ): "a program that the user gives by hand, as code is given",
    ("suites/peers/torch_load.py", "torch.load"): "tensors only: weights_only=True",
    ("suites/peers/skeleton.py", "torch.load"): "tensors and subclasses of nn.Module only: weights_only=True",
}
"""The only places, and why each is none of a cache, a baseline or a worker."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield each source by its path in the repository."""
    for path in (*(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")), ROOT / "conftest.py"):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def aliases(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole = {alias.asname: alias.name for alias in node.names if alias.asname}
            tops = (alias.name.partition(".")[0] for alias in node.names if not alias.asname)
            found |= whole | {top: top for top in tops}
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dotted(node: ast.AST, known: dict[str, str]) -> str:
    """Return the whole name that an expression is, empty where it is none."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, known)}.{node.attr}"
    return ""


def used(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield each loader that a source names, called or not."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node, known)) in LOADERS:
            yield name, node


def test_nothing_of_others_is_unpickled() -> None:
    """All places that read what could run are known, and there are no others."""
    assert {(path, name) for path, tree in sources() for name, _ in used(tree)} == ALLOWED.keys()


def test_tensors_only() -> None:
    """What PyTorch wrote is read without unpickling anything but tensors."""
    calls = [node for _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [call for call in calls if dotted(call.func, {}) == "torch.load"]
    given = [{word.arg: ast.unparse(word.value) for word in call.keywords} for call in loads]
    assert [words.get("weights_only") for words in given] == ["True"] * 2


def test_what_is_found() -> None:
    """However it is imported, what could run is seen."""
    texts = (
        "import pickle\npickle.loads(b'')", "import pickle as p\np.load(f)", "from pickle import load as l\nl(f)",
        "import torch\ntorch.export.load(f)", "import numpy as np\nnp.load(f)", "x = eval",
        "import os.path\nos.system('')",
    )  # fmt: skip
    assert [len(list(used(ast.parse(text)))) for text in texts] == [1] * len(texts)
