"""Commands and pages about single models of the registry."""
