"""Variants of versions: which may answer in their place, which one does, and when it is loaded."""
