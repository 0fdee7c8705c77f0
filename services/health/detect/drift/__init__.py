"""Whether a version answers as it did at first."""
