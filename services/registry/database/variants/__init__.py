"""Variants of versions in the registry's database, and which of them a model lets answer."""
