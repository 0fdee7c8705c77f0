"""The part of the client for files: packages on their way to the registry and back, and backups."""
