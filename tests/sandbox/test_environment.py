"""Measured processes inherit no instrument of pytest, unless the user keeps it; then the row says so."""

from __future__ import annotations

import pytest

from pytest_edgeload.sandbox.environment import inherited, instruments, notices, removed

INSTRUMENTS = (
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COV_CORE_SOURCE", "SLIPCOVER_ENABLED", "NODE_V8_COVERAGE"),
    *("PYTHONTRACEMALLOC", "PYTHONDEVMODE", "PYTHONPROFILEIMPORTTIME", "PYTHONMALLOC", "PYTHONINSPECT"),
    *("PYTHONPERFSUPPORT", "PYTHON_PERF_JIT_SUPPORT", "PYTHONVERBOSE", "PYTHONASYNCIODEBUG"),
    *("LD_PRELOAD", "LD_AUDIT", "LD_DEBUG", "MALLOC_ARENA_MAX", "MALLOC_CONF", "MALLOC_PERTURB_", "HEAPPROFILE"),
)
OTHERS = (
    *("PATH", "HOME", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "COVERAGE_FILE", "PYTEST_ADDOPTS"),
    *("PYTHONPATH", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONFAULTHANDLER", "PYTHONUNBUFFERED", "MY_LD_PRELOAD"),
)
OF_PYTEST = ("PYTEST_CURRENT_TEST", "PYTEST_VERSION", "PYTEST_XDIST_WORKER")


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_instrument_is_left_out(name: str) -> None:
    """An instrument is left out and named; if it is kept, the row says so."""
    environ = {name: "1", "PATH": "/bin"}
    assert (inherited((), environ), removed((), environ)) == ({"PATH": "/bin"}, name)
    assert (inherited((name,), environ), removed((name,), environ)) == (environ, "")
    assert notices(environ) == (f"its environment contained {name}, which can change its figures",)


@pytest.mark.parametrize("name", OTHERS)
def test_other_variable_is_inherited(name: str) -> None:
    """Any other variable is inherited, and not worth a word."""
    assert inherited((), {name: "1"}) == {name: "1"}
    assert instruments([name]) == []
    assert notices({name: "1"}) == ()


@pytest.mark.parametrize("name", OF_PYTEST)
def test_variable_of_pytest_is_left_out_silently(name: str) -> None:
    """A variable that pytest sets differs in each test, and may be longer than the kernel accepts."""
    assert inherited((), {name: "x" * (1 << 20)}) == {}
    assert removed((), {name: "1"}) == ""
