"""Plans: what they are, whether one can work, in which order its tasks run, and what that takes. Pure; never torch."""
