"""Venom Hive: turns machines you own into one computer."""

__version__ = "0.1.0"
