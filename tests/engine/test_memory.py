from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_edgeload.engine.memory import is_refusal


@contextmanager
def no_more_memory() -> Iterator[None]:
    """Let the kernel refuse all further memory to this process."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    ],
)
def test_refused_memory_is_known_by_its_error(error: Exception) -> None:
    assert is_refusal(error)


def test_refused_memory_is_known_without_words_for_it() -> None:
    """An error of oneDNN does not say why it could not create a primitive."""
    error = RuntimeError("could not create a primitive")
    assert not is_refusal(error)
    with no_more_memory():
        refused = is_refusal(error)
    assert refused
