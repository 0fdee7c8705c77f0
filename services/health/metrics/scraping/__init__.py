"""Finds who is to be measured, and takes measurements."""
