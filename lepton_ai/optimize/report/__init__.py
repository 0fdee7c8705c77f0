"""What a search has found, for people: a table for terminals, a page with the Pareto picture."""
