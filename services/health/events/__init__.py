"""What happened: changes to the platform and log records worth reading, on one time line."""
