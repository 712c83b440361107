"""The capped process seen from outside: what enforces its limit, its swap, its counters, its start and its end."""
