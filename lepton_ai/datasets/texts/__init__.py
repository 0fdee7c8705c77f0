"""Texts of columns and files: what they are, how they are written, in which encoding."""
