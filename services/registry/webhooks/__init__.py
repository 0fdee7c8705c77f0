"""Webhooks: what happens in the registry is told to others, by MLflow's names and signatures."""
