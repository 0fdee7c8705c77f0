"""Who calls whom in this platform, whether or not a trace has shown it lately."""

from __future__ import annotations

from collections.abc import Mapping

CALLS: Mapping[str, tuple[str, ...]] = {
    "client": ("inference",),
    "inference": ("preprocess", "triton", "registry"),
    "health": ("inference", "registry"),
}
"""Caller → callees. A test holds it against the topology that traces and the README are checked with."""
