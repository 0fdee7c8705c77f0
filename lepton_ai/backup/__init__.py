"""Backups of a registry, as they lie in a folder."""
