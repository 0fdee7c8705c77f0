"""The judge of rollouts against simulated versions, beside two rivals."""
