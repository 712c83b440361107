"""Networks as data (`layer`, `tile`), on disk (`store`, `checkpoint`) and by name (`registry`). Never imports torch."""
