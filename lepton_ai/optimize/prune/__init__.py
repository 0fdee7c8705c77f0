"""Less of a network: channels that matter least, whole; or single weights, which are then zero."""
