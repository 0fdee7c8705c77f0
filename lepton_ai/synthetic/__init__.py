"""Pictures and voices that are made on the spot, for examples and tests without a data set."""
