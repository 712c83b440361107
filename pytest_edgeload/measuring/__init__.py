"""The road from a case to its measurement: the machine made ready, the runs, what a session shares."""
