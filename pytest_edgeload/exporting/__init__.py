"""Turns a module into a stored network, in a process of its own. Imports torch."""
