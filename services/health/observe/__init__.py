"""What is up: replicas, what they serve, whether predictions work."""
