"""The judge of metrics: each number is compared with its past, those of a process with one another."""
