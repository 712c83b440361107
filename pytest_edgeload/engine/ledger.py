"""The byte-exact account of weights and activations held right now."""

from __future__ import annotations

import threading
from collections.abc import Hashable


class Ledger:
    """Bytes held by key, their sum, and the largest sum so far; safe to use from several lanes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Hashable, int] = {}
        self.held_bytes = 0
        self.peak_bytes = 0

    def hold(self, key: Hashable, size_bytes: int) -> None:
        """Note that `key` holds `size_bytes` from now on, instead of what it held before."""
        with self._lock:
            self.held_bytes += size_bytes - self._held.pop(key, 0)
            if size_bytes:
                self._held[key] = size_bytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)
