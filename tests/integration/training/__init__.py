"""Training with real processes."""
