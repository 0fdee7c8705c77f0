"""Keeps measurements: hours in memory and on disk, weeks on disk."""
