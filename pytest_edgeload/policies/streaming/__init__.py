"""The parts of `stream`: uses of tiles, their order, and their places in memory. Pure functions."""
