"""Changes to the platform, found in the shared state and in the registry's audit trail."""
