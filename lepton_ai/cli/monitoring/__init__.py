"""Commands that show how the platform is doing."""
