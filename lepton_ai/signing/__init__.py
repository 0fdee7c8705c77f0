"""Signatures of versions by OpenSSF Model Signing: made at push, verified in the registry and where they are loaded."""
