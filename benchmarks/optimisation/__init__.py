"""What `lepton optimise` finds on real models, how near to the best that is, and what small students learn."""
