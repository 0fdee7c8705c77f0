"""The cache that replicas share: a store, the client of a real one, and what keeps its faults from callers."""
