"""Several processes of a service on one port: what reserves it, their parent, and what ties them to it."""
