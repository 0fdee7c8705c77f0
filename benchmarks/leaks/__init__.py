"""Whether memory grows with the number of requests."""
