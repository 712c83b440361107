"""The import of PyTorch without its kernels for tensors without data, in separate processes like a worker's."""

from __future__ import annotations

import subprocess
import sys

LEAN = "from pytest_edgeload.engine import lean_torch; import sys, torch; "
IS_COMPLETE = "'torch._meta_registrations' in sys.modules"
SHAPE = "torch.empty(3, 4, device='meta').matmul(torch.empty(4, 5, device='meta')).shape"
PRIM = "from pytest_edgeload.engine.kernels import compile_op; from pytest_edgeload.networks.layer import Op; "


def _output(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_meta_registrations_are_not_imported() -> None:
    """The module is not imported; operators on tensors with data work."""
    code = f"{LEAN} print({IS_COMPLETE}, torch.ones(2, 3).matmul(torch.ones(3, 1)).tolist())"
    assert _output(code) == "False [[3.0], [3.0]]"


def test_complete_imports_them() -> None:
    """After `complete` PyTorch traces as usual; calling it again does nothing."""
    code = f"{LEAN} lean_torch.complete(); import torch._dynamo; lean_torch.complete(); print({IS_COMPLETE}, *{SHAPE})"
    assert _output(code) == "True 3 5"


def test_attribute_access_imports_them() -> None:
    """Accessing an attribute through PyTorch's name for the module imports it."""
    code = f"{LEAN} print(torch._meta_registrations.meta_sort.__module__, {IS_COMPLETE}, *{SHAPE})"
    assert _output(code) == "torch._meta_registrations True 3 5"


def test_other_namespaces_import_them() -> None:
    """Compiling an op outside the namespace aten imports them, because some of those ops are registered only there."""
    op = "Op('prims.sin.default', [{'value': 'x'}], {}, 'y', ('x',))"
    code = (
        f"{LEAN} {PRIM} values = dict(x=torch.zeros(2)); compile_op({op})(values, dict()); print(values, {IS_COMPLETE})"
    )
    assert _output(code) == "{'y': tensor([0., 0.])} True"


def test_an_earlier_import_of_torch_is_complete() -> None:
    """If PyTorch is already imported, the module changes nothing."""
    assert _output(f"import torch; {LEAN} print({IS_COMPLETE}, *{SHAPE})") == "True 3 5"
