"""The checks of profiles, each on data built to have that fault, and cleaning."""
