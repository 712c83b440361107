"""Exporting: how a module becomes a stored network, in a process of its own. Imports torch."""
