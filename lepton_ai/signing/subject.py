"""What a signature names."""

from __future__ import annotations


def subject(model: str, version: int, variant: str = "") -> str:
    """MODEL@VERSION, or MODEL@VERSION+VARIANT for a variant of it."""
    return f"{model}@{version}+{variant}" if variant else f"{model}@{version}"
