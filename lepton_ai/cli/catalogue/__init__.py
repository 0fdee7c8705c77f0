"""Commands and pages about what the registry keeps."""
