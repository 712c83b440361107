"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A deadline is a timing, and no timing is asserted here.
settings.register_profile("edgeload", deadline=None)
settings.load_profile("edgeload")
