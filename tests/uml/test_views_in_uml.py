"""Version 2 of cgroups as seen from other places than root at its root, in User-mode Linux."""

from __future__ import annotations

import pytest

from tests.uml import guest, kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")


def test_version_2_from_other_places() -> None:
    """Whole and partial delegations, busy groups, containers, a read-only mount, the doctor: inside/views.py passes."""
    assert len(guest.outcomes("tests/uml/inside/views.py")) >= 13
