"""The same arithmetic in fewer operations."""
