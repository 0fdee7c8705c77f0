"""Predictions that feedback can be joined with, and for whom they were made."""
