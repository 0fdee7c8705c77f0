"""Targets of other kinds than one class or one number, and how much each row's target counts."""
