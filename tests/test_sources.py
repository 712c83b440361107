"""The sources never execute data from a cache, a baseline or a worker."""

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
    "yaml.unsafe_load", "yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "yaml.CLoader",
    "ruamel.yaml.load", "ruamel.yaml.load_all", "ruamel.yaml.unsafe_load",
    "ruamel.yaml.Loader", "ruamel.yaml.UnsafeLoader", "ruamel.yaml.constructor.Constructor",
    "ruamel.yaml.constructor.UnsafeConstructor", "eval", "exec",
    "compile", "__import__", "os.system", "os.popen",
}  # fmt: skip
"""Functions that may execute the data that they read."""

ALLOWED = {
    ("pytest_edgeload/base/pickling.py", "marshal.loads"): "named for a worker, which reads the code of its session",
    ("pytest_edgeload/engine/call.py", "pickle.load"): "a worker reads the function that its parent sends",
    (
        "pytest_edgeload/engine/straight.py",
        "compile",
    ): "a function of numbered variables; names and values of a network are arguments",
    ("pytest_edgeload/engine/straight.py", "exec"): "the same function",
    (
        "pytest_edgeload/exporting/model.py",
        "torch.export.load",
    ): "the user supplies the program, like any code",
    ("pytest_edgeload/peers/torch_load.py", "torch.load"): "tensors only: weights_only=True",
    ("suites/test_runtime.py", "torch.load"): "tensors only: weights_only=True",
    ("pytest_edgeload/skeleton.py", "pickle.load"): "a worker reads the module that its own session pickled",
}
"""The only uses, each with the reason why it does not read a cache, a baseline or a worker."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield the path in the repository and the syntax tree of each source."""
    for path in (*(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")), ROOT / "conftest.py"):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def aliases(tree: ast.Module) -> dict[str, str]:
    """Return the full name of each imported name."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole = {alias.asname: alias.name for alias in node.names if alias.asname}
            tops = (alias.name.partition(".")[0] for alias in node.names if not alias.asname)
            names |= whole | {top: top for top in tops}
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, known: dict[str, str]) -> str:
    """Return the full name of an expression, empty if it is not a name."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, known)}.{node.attr}"
    return ""


def loaders(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield each use of a loader in a source, called or not."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node, known)) in LOADERS:
            yield name, node


def test_all_loaders_are_known() -> None:
    """The sources use the allowed loaders and no others."""
    assert {(path, name) for path, tree in sources() for name, _ in loaders(tree)} == ALLOWED.keys()


def test_yaml_is_read_by_the_safe_loader() -> None:
    """Each YAML loader is ruamel.yaml's safe one in Python, which constructs no objects of other types."""
    trees = [(tree, aliases(tree)) for _, tree in sources()]
    calls = [(node, known) for tree, known in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    readers = [call for call, known in calls if dotted(call.func, known) == "ruamel.yaml.YAML"]
    arguments = [{word.arg: ast.unparse(word.value) for word in call.keywords} for call in readers]
    assert arguments
    assert all(each == {"typ": "'safe'", "pure": "True"} for each in arguments)


def test_torch_load_reads_only_weights() -> None:
    """Each call of torch.load has weights_only=True."""
    calls = [node for _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [call for call in calls if dotted(call.func, {}) == "torch.load"]
    arguments = [{word.arg: ast.unparse(word.value) for word in call.keywords} for call in loads]
    assert {words.get("weights_only") for words in arguments} == {"True"}


def test_loader_is_found_under_any_import() -> None:
    """A loader is found for each way to import it."""
    texts = (
        "import pickle\npickle.loads(b'')", "import pickle as p\np.load(f)", "from pickle import load as l\nl(f)",
        "import torch\ntorch.export.load(f)", "import numpy as np\nnp.load(f)", "x = eval",
        "import os.path\nos.system('')",
    )  # fmt: skip
    assert [len(list(loaders(ast.parse(text)))) for text in texts] == [1] * len(texts)
