"""The experiments, one question per file."""
