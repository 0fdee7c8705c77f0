"""Which candidates are tried, in what order, each in a process of its own; what is known survives a kill."""
