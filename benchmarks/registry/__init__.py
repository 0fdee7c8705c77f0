"""What the registry does in a second."""
