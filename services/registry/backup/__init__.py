"""Backups of the registry while it serves, and their way back into an empty one."""
