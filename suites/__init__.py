"""The experiments, one question per file, and the peers that some of them measure."""
