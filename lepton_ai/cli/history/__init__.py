"""Commands that show what happened: the time line, and log records of all processes."""
