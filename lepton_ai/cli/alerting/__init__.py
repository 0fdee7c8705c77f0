"""Commands for alerts and for what is promised of models."""
