"""The ways of a raw item to its answer, and the choice among them by measurement."""
