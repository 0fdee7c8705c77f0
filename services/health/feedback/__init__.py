"""What users say of predictions: taken, joined with what was predicted, and counted for each version."""
