"""What is likely to have caused an alert: what else was wrong, changed, logged or full at the time."""
