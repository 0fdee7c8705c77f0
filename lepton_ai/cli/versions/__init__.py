"""Versions on the command line: which there are, their states and tags."""
