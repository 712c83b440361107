"""The account of bytes held."""

from __future__ import annotations

import sys
import threading

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.engine.ledger import Ledger


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100))))
def test_held_and_peak(holds: list[tuple[int, int]]) -> None:
    """What is held is the sum of what each key holds last, and the peak is the largest such sum there was."""
    ledger, model, sums = Ledger(), dict[int, int](), [0]
    for key, size in holds:
        ledger.hold(key, size)
        model[key] = size
        sums.append(sum(model.values()))
        assert (ledger.held_bytes, ledger.peak_bytes) == (sums[-1], max(sums))


def test_replacing_is_not_holding_both() -> None:
    """A key that holds something else from now on never counts twice."""
    ledger = Ledger()
    ledger.hold("a", 100)
    ledger.hold("a", 90)
    assert (ledger.held_bytes, ledger.peak_bytes) == (90, 100)


def test_lanes_do_not_lose_bytes() -> None:
    """Bytes held by several lanes at once all count."""
    ledger, before = Ledger(), sys.getswitchinterval()

    def work(lane: int) -> None:
        for turn in range(3000):
            ledger.hold((lane, turn), 1)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert ledger.held_bytes == ledger.peak_bytes == 12000
