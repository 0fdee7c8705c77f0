"""Speed of the platform and of training beside something simple, as ratios measured in one run: `make bench`."""
