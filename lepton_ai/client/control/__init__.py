"""What a client asks of the registry beside predictions: what is served, rollouts, what its storage holds."""
