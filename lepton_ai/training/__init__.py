"""Training: the loop, what it is told, what it watches and what it leaves behind."""
