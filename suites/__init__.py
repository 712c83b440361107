"""The experiments, one question a file, and the peers that some of them run."""
