"""Commands on packages: made, checked, packed, brought in from elsewhere and written out for others."""
