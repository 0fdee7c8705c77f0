"""Fewer bits for a number: 8 for weights and activations, 16 for all, 8 or 4 for large weights alone."""
