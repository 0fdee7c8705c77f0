"""Alerts: what is wrong now, told to the right person, once."""
