"""Signals that end a session: none is lost."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from pytest_edgeload.base.interrupts import ended_alike

PATIENCE_S = 100.0


class Interrupted:
    """An object that a signal interrupts while Python deletes it."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        """Send the signal to this process, whose handler raises here."""
        os.kill(os.getpid(), self.number)
        time.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_deletion_comes_again(number: signal.Signals) -> None:
    """Python ignores what a deletion raises; Ctrl-C and SIGTERM end the code after it nevertheless."""
    usual = sys.unraisablehook
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as interrupt, ended_alike():
        _wait_after_deletion(number)
    assert time.monotonic() - began < PATIENCE_S  # the wait was ended
    assert str(interrupt.value) == ("" if number is signal.SIGINT else number.name)
    assert sys.unraisablehook is usual


def _wait_after_deletion(number: signal.Signals) -> None:
    Interrupted(number)
    time.sleep(PATIENCE_S)
