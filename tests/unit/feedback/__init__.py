"""Feedback outside the platform."""
