"""Rules in Prometheus's format: numbers that are worked out ahead, and what is wrong when they say so."""
