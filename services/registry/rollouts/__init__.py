"""Rollouts: a new version gets its share of the requests step by step, as long as it does no harm."""
