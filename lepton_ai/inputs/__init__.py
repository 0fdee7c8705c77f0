"""What comes into a model, in counts: features of raw inputs, their bins, and the profile of the training data."""
