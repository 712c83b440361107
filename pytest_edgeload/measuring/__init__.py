"""The road from a case to its measurement: the prepared machine, the bench, and the figures of this machine."""
