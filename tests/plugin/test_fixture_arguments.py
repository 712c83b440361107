"""The arguments of the fixtures: converted if they are unambiguous, and refused in one sentence otherwise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.plugin.cases import to_limit
from pytest_edgeload.plugin.programs import row_name, to_env
from pytest_edgeload.plugin.running import as_mix
from pytest_edgeload.workload import Mix


@pytest.mark.parametrize(
    "memory",
    ["64M", 64 << 20, float(64 << 20), np.int64(64 << 20), np.str_("64M"), Limit(64 << 20)],
)
def test_memory_is_a_limit_its_text_or_bytes(memory: Any) -> None:
    """A limit may be given as a limit, as text, and as a whole number of bytes of any type."""
    assert to_limit(memory) == Limit(64 << 20)
    assert str(to_limit(memory)) == "64M"


def test_memory_may_be_left_out() -> None:
    """None is not a limit; a limit above the idle worker may be small."""
    assert to_limit(None) is None
    assert to_limit("base+4K") == Limit(4096, above_base=True)


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (512, "memory=512: no process fits into 512 bytes; did you mean 512M?"),
        ("512", "memory='512': no process fits into 512 bytes; did you mean 512M?"),
        ("4K", "memory='4K': no process fits into 4K bytes; try 512M, 1G or base+256M"),
        (0, "memory=0: too small; give at least 1"),
        (True, "memory=True: not a whole number; try 512M, 1G or base+256M"),
        (64.5, "memory=64.5: not a whole number; try 512M, 1G or base+256M"),
        (b"64M", "memory=b'64M': not a whole number; try 512M, 1G or base+256M"),
        ([64], "memory=[64]: not a whole number; try 512M, 1G or base+256M"),
    ],
)
def test_other_memory_is_refused(memory: Any, message: str) -> None:
    """A value that is not a limit, and a number of bytes that was meant as another unit, are refused."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        to_limit(memory)


def test_variables_become_text() -> None:
    """Numbers, bytes and paths in an environment become text."""
    env = {"N": 4, "F": np.float64(0.5), "P": Path("/tmp"), "B": b"b"}  # never opened
    assert to_env(env) == {"N": "4", "F": "0.5", "P": "/tmp", "B": "b"}
    assert to_env(None) == {}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"N": True}, "env['N']=True: neither text, a number nor a path; give text in quotes, as the program reads it"),
        ({"A=B": "c"}, "env='A=B': not the name of a variable; give one without ="),
        ({"": "c"}, "env='': not the name of a variable; give one without ="),
        (["N=4"], "env=['N=4']: not a mapping; try {'NAME': 'value'}"),
    ],
)
def test_other_environments_are_refused(env: Any, message: str) -> None:
    """A variable that programs spell differently, or that the kernel cannot have, is refused."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        to_env(env)


@pytest.mark.parametrize("workload", [["a", "b"], ("a", "b"), np.array(["a", "b"]), {"a": 1, "b": 2}.keys()])
def test_a_workload_may_be_names(workload: Any) -> None:
    """Names of networks in any ordered collection are a mix that asks each once; a single name is one network."""
    assert as_mix(workload) == Mix.of("a+b", ["a", "b"])
    assert as_mix("a") == Mix.of("a", ["a"])


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ([], "workload=[]: an empty list; name at least one network"),
        (5, "workload=5: not a list; give a Mix, or a list of names of networks"),
        ([5], "workload[0]=5: not text; give a Mix, or a list of names of networks"),
        (b"a", "workload=b'a': not a list; give a Mix, or a list of names of networks"),
    ],
)
def test_other_workloads_are_refused(workload: Any, message: str) -> None:
    """A value that names no networks is refused."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        as_mix(workload)


def test_the_name_of_a_row_is_text() -> None:
    """A name that is not text is refused; text of NumPy is a name."""
    assert row_name(np.str_("row"), "x") == "row"
    with pytest.raises(UsageError, match=r"^name=5: not text; give text in quotes$"):
        row_name(5, "x")  # type: ignore[arg-type]
