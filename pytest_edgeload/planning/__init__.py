"""Plans: their data, their check, the order in which their tasks run, and the memory they need. Pure; never torch."""
