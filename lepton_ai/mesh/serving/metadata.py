"""What a call's metadata say."""

from __future__ import annotations

from typing import Any

import grpc

PROBE = "lepton-probe"
"""Metadata key of calls that the platform makes to see whether a model answers: what they hold came from nobody."""


def text_of(context: grpc.aio.ServicerContext[Any, Any], name: str) -> str:
    """The text under a name; empty without one."""
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value
    return ""
