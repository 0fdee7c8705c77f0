"""Speed of the platform beside a bare loop and bare Triton, as ratios measured in one run: `make bench`."""
