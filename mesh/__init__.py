"""Render animations on all machines of a mesh, without a manager."""

__version__ = "0.1.0"
