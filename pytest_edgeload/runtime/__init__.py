"""The runtime: answers requests in the user's own process, in little memory, by any loading policy. Imports torch."""

from __future__ import annotations

from pytest_edgeload.runtime.runtime import Runtime as Runtime
from pytest_edgeload.runtime.server import TooManyRequests as TooManyRequests

__all__ = ["Runtime", "TooManyRequests"]
