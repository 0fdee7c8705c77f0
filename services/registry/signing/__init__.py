"""Signatures of versions: taken in, verified and given out."""
