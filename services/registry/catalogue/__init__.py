"""What the registry tells of models, versions and files."""
