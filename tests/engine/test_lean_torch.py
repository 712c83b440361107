"""PyTorch without its kernels for tensors without data, in processes of their own, as a worker is one."""

from __future__ import annotations

import subprocess
import sys

LEAN = "from pytest_edgeload.engine import lean_torch; import sys, torch; "
IS_WHOLE = "'torch._meta_registrations' in sys.modules"
SHAPE = "torch.empty(3, 4, device='meta').matmul(torch.empty(4, 5, device='meta')).shape"
PRIM = "from pytest_edgeload.engine.kernels import compile_op; from pytest_edgeload.networks.layer import Op; "


def _said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_left_out() -> None:
    """What PyTorch would have imported is not there; what it computes with data is."""
    code = f"{LEAN} print({IS_WHOLE}, torch.ones(2, 3).matmul(torch.ones(3, 1)).tolist())"
    assert _said(code) == "False [[3.0], [3.0]]"


def test_whole() -> None:
    """It comes when it is asked for; then PyTorch traces as ever, and asking again does nothing."""
    code = f"{LEAN} lean_torch.complete(); import torch._dynamo; lean_torch.complete(); print({IS_WHOLE}, *{SHAPE})"
    assert _said(code) == "True 3 5"


def test_something_of_it() -> None:
    """It comes, too, when something of the module is asked for that PyTorch has under its name."""
    code = f"{LEAN} print(torch._meta_registrations.meta_sort.__module__, {IS_WHOLE}, *{SHAPE})"
    assert _said(code) == "torch._meta_registrations True 3 5"


def test_other_operators() -> None:
    """An op that is not ATen's brings it in, for some of those are registered nowhere else."""
    op = "Op('prims.sin.default', [{'value': 'x'}], {}, 'y', ('x',))"
    code = f"{LEAN} {PRIM} values = dict(x=torch.zeros(2)); compile_op({op})(values, dict()); print(values, {IS_WHOLE})"
    assert _said(code) == "{'y': tensor([0., 0.])} True"


def test_imported_already() -> None:
    """Where PyTorch is imported already nothing of it is lost."""
    assert _said(f"import torch; {LEAN} print({IS_WHOLE}, *{SHAPE})") == "True 3 5"
