"""Packages from what other tools write, and what other tools read from packages."""
