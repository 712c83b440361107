"""Requests to the kernel about this process."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> None:
    """Let the kernel send this process a signal when its parent dies; see PR_SET_PDEATHSIG(2const)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
