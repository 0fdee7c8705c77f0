"""Whether a call costs the same, however many models, callers and replicas there are."""
