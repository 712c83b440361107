"""The comparison with a baseline: which machines are the same kind as then."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.results.comparison import strangers
from pytest_edgeload.results.document import Document, document, machine

SMALL, LARGE = (msgspec.structs.replace(machine(), processors=count) for count in (4, 64))


@pytest.fixture(scope="module")
def before() -> Document:
    """Return a session on a small host and a large one, which measured nothing."""
    return document((), {}, Path(__file__).parent, measured_on=SMALL, hosts={"pi": SMALL, "pc": LARGE})


def test_each_host_is_compared_with_itself(before: Document) -> None:
    """A host is another machine if its own kind differs, whatever the others are; a new host is none."""
    assert strangers(before, LARGE, {"pc": LARGE, "new": LARGE}) == {None}
    assert strangers(before, SMALL, {"pi": LARGE, "pc": LARGE}) == {"pi"}
    assert strangers(before, SMALL, {}) == set()
