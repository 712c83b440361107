"""Networks as data (`layer`, `tile`), on disk (`folder`, `checkpoint`, `store`), by name (`registry`). No torch."""
