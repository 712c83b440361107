"""The capped process from outside: its cap, its swap, its counters, its start and its end."""
