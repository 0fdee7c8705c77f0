"""Packages as single files, and the safe reading of zips from strangers."""
