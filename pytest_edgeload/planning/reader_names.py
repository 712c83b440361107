"""The names of the readers that decisions depend on."""

DIRECT = "direct"
"""Reads past the page cache."""

THROUGH_CACHE = "read"
"""Copies bytes through the page cache."""

MAPPING = "mmap"
"""Maps the pages of the page cache."""
