"""What `stream` is made of: units (what is loaded once), their order, and where in memory they go. Pure functions."""
